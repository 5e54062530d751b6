"""Names of Google's TensorFlow 1 code, which Huawei's NEZHA for TensorFlow shares."""

from __future__ import annotations

from plm.checkpoints.maps.rules import embeddings, linears, norms
from plm.checkpoints.name_map import MAPS, NameMap, Rule
from plm.checkpoints.transforms import TRANSPOSE

BACKBONE = (
    *embeddings(
        {
            "embeddings.word": "bert/embeddings/word_embeddings",
            "embeddings.position": "bert/embeddings/position_embeddings",
            "embeddings.token_type": "bert/embeddings/token_type_embeddings",
        },
        weight="",
    ),
    *norms(
        {
            "embeddings.norm": "bert/embeddings/LayerNorm",
            "blocks.{n}.attention_norm": "bert/encoder/layer_{n}/attention/output/LayerNorm",
            "blocks.{n}.feed_forward_norm": "bert/encoder/layer_{n}/output/LayerNorm",
        },
        suffixes=("/gamma", "/beta"),
    ),
    *linears(
        {
            "blocks.{n}.attention.query": "bert/encoder/layer_{n}/attention/self/query",
            "blocks.{n}.attention.key": "bert/encoder/layer_{n}/attention/self/key",
            "blocks.{n}.attention.value": "bert/encoder/layer_{n}/attention/self/value",
            "blocks.{n}.attention.output": "bert/encoder/layer_{n}/attention/output/dense",
            "blocks.{n}.feed_forward.up": "bert/encoder/layer_{n}/intermediate/dense",
            "blocks.{n}.feed_forward.down": "bert/encoder/layer_{n}/output/dense",
            "pooler.dense": "bert/pooler/dense",
        },
        suffixes=("/kernel", "/bias"),
        transforms=(TRANSPOSE,),
    ),
)

MAPS.add(
    "google-tf1",
    NameMap(
        name="google-tf1",
        families=("bert", "nezha"),
        parts={
            "backbone": BACKBONE,
            "language_model": (
                *linears(
                    {"dense": "cls/predictions/transform/dense"},
                    suffixes=("/kernel", "/bias"),
                    transforms=(TRANSPOSE,),
                ),
                *norms({"norm": "cls/predictions/transform/LayerNorm"}, suffixes=("/gamma", "/beta")),
                Rule("bias", "cls/predictions/output_bias"),
            ),
            # Output weights of these three are stored (labels, hidden), as torch does.
            "next_sentence": linears({"": "cls/seq_relationship/output"}, suffixes=("_weights", "_bias")),
            "classifier": linears({"": "output"}, suffixes=("_weights", "_bias")),
            "span": linears({"": "cls/squad/output"}, suffixes=("_weights", "_bias")),
        },
        ignored=(
            ("*/adam_[mv]", "an Adam moment"),
            ("*/lamb_[mv]", "a LAMB moment"),
            ("*/Adam", "an Adam moment"),
            ("*/Adam_1", "an Adam moment"),
            ("*/AdamWeightDecayOptimizer*", "optimizer state"),
            ("*/shadow", "NEZHA's fp32 copy of an fp16 weight"),
            ("global_step", "a counter"),
            ("*good_steps", "loss scaling state"),
            ("*bad_steps", "loss scaling state"),
            ("*loss_scale*", "loss scaling state"),
            ("beta[12]_power", "optimizer state"),
        ),
        # modeling.py's gelu() is the tanh approximation, and both constants are in the code.
        activations={"gelu": "gelu_new"},
        defaults={"layer_norm_eps": 1e-12, "max_relative_position": 64},
        layouts=("google-tf1",),
    ),
)
