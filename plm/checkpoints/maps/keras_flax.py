"""Names of transformers' former Keras (.h5) and Flax (.msgpack) classes."""

from __future__ import annotations

from functools import partial

from plm.checkpoints.maps.rules import embeddings, linears, norms
from plm.checkpoints.name_map import MAPS, NameMap, Rule
from plm.checkpoints.transforms import DROP_LEADING_ONE, TRANSPOSE


def clean_keras(name: str) -> str:
    """`bert/tf_bert_for_x/bert/encoder/layer_._0/output/dense/kernel:0` -> `bert/encoder/layer/0/output/dense/kernel`.

    What stands before and in the `tf_*` component names Keras objects, `mlm___cls` is `cls` in its own scope, `_._`
    separates a list from an index.
    """
    parts = name.removesuffix(":0").split("/")
    start = next((i + 1 for i, part in enumerate(parts) if part.startswith("tf_")), 0)
    return "/".join(part.split("___")[-1] for part in parts[start:]).replace("_._", "/")


def bert_parts(*, table: str, word: str, scale: str, shift: str) -> dict[str, tuple[Rule, ...]]:
    """The tables of both libraries, which differ in the last component of some names."""
    dense = partial(linears, suffixes=("/kernel", "/bias"), transforms=(TRANSPOSE,))
    norm = partial(norms, suffixes=(scale, shift))
    return {
        "backbone": (
            *embeddings({"embeddings.word": "embeddings/word_embeddings"}, weight=word),
            *embeddings(
                {
                    "embeddings.position": "embeddings/position_embeddings",
                    "embeddings.token_type": "embeddings/token_type_embeddings",
                },
                weight=table,
            ),
            *norm(
                {
                    "embeddings.norm": "embeddings/LayerNorm",
                    "blocks.{n}.attention_norm": "encoder/layer/{n}/attention/output/LayerNorm",
                    "blocks.{n}.feed_forward_norm": "encoder/layer/{n}/output/LayerNorm",
                },
            ),
            *dense(
                {
                    "blocks.{n}.attention.query": "encoder/layer/{n}/attention/self/query",
                    "blocks.{n}.attention.key": "encoder/layer/{n}/attention/self/key",
                    "blocks.{n}.attention.value": "encoder/layer/{n}/attention/self/value",
                    "blocks.{n}.attention.output": "encoder/layer/{n}/attention/output/dense",
                    "blocks.{n}.feed_forward.up": "encoder/layer/{n}/intermediate/dense",
                    "blocks.{n}.feed_forward.down": "encoder/layer/{n}/output/dense",
                    "pooler.dense": "pooler/dense",
                },
            ),
        ),
        "language_model": (
            *dense({"dense": "cls/predictions/transform/dense"}),
            *norm({"norm": "cls/predictions/transform/LayerNorm"}),
            Rule("bias", "cls/predictions/bias"),
        ),
        "next_sentence": dense({"": "cls/seq_relationship"}),
        "classifier": dense({"": "classifier"}),
        "span": dense({"": "qa_outputs"}),
    }


MAPS.add(
    "flax",
    NameMap(
        name="flax",
        families=("bert",),
        formats=("flax_msgpack",),
        parts=bert_parts(table="/embedding", word="/embedding", scale="/scale", shift="/bias"),
        prefixes=("bert/", ""),
    ),
)
MAPS.add(
    "keras",
    NameMap(
        name="keras",
        families=("bert",),
        formats=("keras_h5",),
        parts=bert_parts(table="/embeddings", word="/weight", scale="/gamma", shift="/beta"),
        prefixes=("bert/", ""),
        clean=clean_keras,
    ),
)


def _conv1d(ours: str | tuple[str, ...], theirs: str) -> tuple[Rule, Rule]:
    names = (ours,) if isinstance(ours, str) else ours
    return (
        Rule(tuple(f"{name}.weight" for name in names), f"{theirs}/weight", (TRANSPOSE,)),
        Rule(tuple(f"{name}.bias" for name in names), f"{theirs}/bias", (DROP_LEADING_ONE,)),
    )


MAPS.add(
    "keras-gpt1",
    NameMap(
        name="keras-gpt1",
        families=("openai-gpt",),
        formats=("keras_h5",),
        parts={
            "backbone": (
                *embeddings({"embeddings.word": "tokens_embed"}, weight="/weight"),
                *embeddings({"embeddings.position": "positions_embed"}, weight="/embeddings"),
                *norms(
                    {"blocks.{n}.attention_norm": "h/{n}/ln_1", "blocks.{n}.feed_forward_norm": "h/{n}/ln_2"},
                    suffixes=("/gamma", "/beta"),
                ),
                *_conv1d(
                    tuple(f"blocks.{{n}}.attention.{name}" for name in ("query", "key", "value")), "h/{n}/attn/c_attn"
                ),
                *_conv1d("blocks.{n}.attention.output", "h/{n}/attn/c_proj"),
                *_conv1d("blocks.{n}.feed_forward.up", "h/{n}/mlp/c_fc"),
                *_conv1d("blocks.{n}.feed_forward.down", "h/{n}/mlp/c_proj"),
            ),
            "language_model": (),
            "classifier": (
                Rule("weight", "score/weight", (TRANSPOSE,), aliases=("score/kernel",)),
                Rule("bias", "score/bias"),
            ),
            "choice": linears(
                {"": "multiple_choice_head/summary"}, suffixes=("/kernel", "/bias"), transforms=(TRANSPOSE,)
            ),
        },
        prefixes=("transformer/", ""),
        clean=clean_keras,
        # The Keras class of GPT-1 hard-codes the erf form, unlike its PyTorch twin.
        activations={"gelu": "gelu"},
    ),
)
