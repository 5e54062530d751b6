"""Hugging Face's names for BERT-shaped models, which Huawei, NVIDIA and pytorch-pretrained-bert share.

This is the layout that plm writes by default.
"""

from __future__ import annotations

from dataclasses import replace

from plm.checkpoints.maps.rules import embeddings, linears, norms, tied_decoder
from plm.checkpoints.name_map import MAPS, NameMap, Rule

BACKBONE = (
    *embeddings(
        {
            "embeddings.word": "embeddings.word_embeddings",
            "embeddings.position": "embeddings.position_embeddings",
            "embeddings.token_type": "embeddings.token_type_embeddings",
        }
    ),
    *norms(
        {
            "embeddings.norm": "embeddings.LayerNorm",
            "blocks.{n}.attention_norm": "encoder.layer.{n}.attention.output.LayerNorm",
            "blocks.{n}.feed_forward_norm": "encoder.layer.{n}.output.LayerNorm",
            "final_norm": "encoder.final_norm",  # pre-norm models only: no other library has them in this layout
        }
    ),
    *linears(
        {
            "blocks.{n}.attention.query": "encoder.layer.{n}.attention.self.query",
            "blocks.{n}.attention.key": "encoder.layer.{n}.attention.self.key",
            "blocks.{n}.attention.value": "encoder.layer.{n}.attention.self.value",
            "blocks.{n}.attention.output": "encoder.layer.{n}.attention.output.dense",
            "blocks.{n}.feed_forward.up": "encoder.layer.{n}.intermediate.dense",
            "blocks.{n}.feed_forward.down": "encoder.layer.{n}.output.dense",
            "pooler.dense": "pooler.dense",
        }
    ),
)

LANGUAGE_MODEL = (
    *linears({"dense": "cls.predictions.transform.dense"}),
    *norms({"norm": "cls.predictions.transform.LayerNorm"}),
    Rule("bias", "cls.predictions.bias", aliases=("cls.predictions.decoder.bias",)),
    tied_decoder("cls.predictions.decoder.weight"),
    # With an output table of its own, the bias of transformers' decoder layer is the one that counts there.
    Rule("bias", "cls.predictions.decoder.bias", beside="decoder.weight"),
)

# transformers has no CRF; these are the names of pytorch-crf in a module called crf, as taggers on BERT have them.
CRF = tuple(Rule(name, f"crf.{name}") for name in ("start_transitions", "transitions", "end_transitions"))

HEADS = {
    "language_model": LANGUAGE_MODEL,
    "next_sentence": linears({"": "cls.seq_relationship"}),
    "classifier": linears({"": "classifier"}),
    "crf": CRF,
    "span": linears({"": "qa_outputs"}),
    "fit": linears({"shared": "fit_dense", "per_layer.{n}": "fit_denses.{n}"}),
}

IGNORED = (
    ("*position_ids", "a buffer of transformers before 4.31, rebuilt at run time"),
    ("*relative_positions_encoding.positions_encoding", "NEZHA's sinusoid table, a constant that is computed"),
    ("*cls.predictions.decoder.bias", "a copy of cls.predictions.bias"),
)

MAPS.add(
    "huggingface",
    NameMap(
        name="huggingface",
        families=("bert", "nezha", "tinybert"),
        parts={"backbone": BACKBONE, **HEADS},
        prefixes=("bert.", "nezha.", "tinybert.", ""),
        aliases=(
            (".LayerNorm.gamma", ".LayerNorm.weight"),  # pytorch-pretrained-bert up to 0.3
            (".LayerNorm.beta", ".LayerNorm.bias"),
        ),
        ignored=IGNORED,
        layouts=("huggingface", "huawei"),
    ),
)


def _with_activation(name: str) -> str:
    """NVIDIA's layers that include their activation are called dense_act."""
    for layer in ("intermediate.dense", "pooler.dense"):
        name = name.replace(layer, f"{layer}_act")
    return name


MAPS.add(
    "nvidia",
    NameMap(
        name="nvidia",
        families=("bert",),
        parts={
            "backbone": tuple(replace(rule, theirs=_with_activation(rule.theirs)) for rule in BACKBONE),
            **HEADS,
            "language_model": (
                *linears({"dense": "cls.predictions.transform.dense_act"}),
                *LANGUAGE_MODEL[2:],
            ),
        },
        prefixes=("bert.", ""),
        ignored=IGNORED,
        # NVIDIA's modeling.py calls gelu with approximate=True whatever the config says.
        activations={"gelu": "gelu_new", "bias_gelu": "gelu_new"},
        defaults={"layer_norm_eps": 1e-12},
    ),
)
