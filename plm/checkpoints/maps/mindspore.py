"""Names of MindSpore's model zoo BERT, in both generations, and of its poem model.

MindSpore's Dense stores (out, in), as torch does: nothing is transposed.
"""

from __future__ import annotations

from plm.checkpoints.maps.rules import embeddings, linears, norms
from plm.checkpoints.name_map import MAPS, NameMap, Rule

_GAMMA_BETA = (".gamma", ".beta")
_LAYER = "bert_encoder.layers.{n}."

BACKBONE = (
    *embeddings({"embeddings.word": "bert_embedding_lookup"}, weight=".embedding_table"),
    Rule(
        "embeddings.position.weight",
        "bert_embedding_postprocessor.full_position_embedding.embedding_table",
        aliases=("bert_embedding_postprocessor.full_position_embeddings",),  # before the zoo used nn.Embedding, 2020
    ),
    Rule(
        "embeddings.token_type.weight",
        "bert_embedding_postprocessor.token_type_embedding.embedding_table",
        aliases=("bert_embedding_postprocessor.embedding_table",),
    ),
    *norms(
        {
            "embeddings.norm": "bert_embedding_postprocessor.layernorm",
            "blocks.{n}.attention_norm": _LAYER + "attention.output.layernorm",
            "blocks.{n}.feed_forward_norm": _LAYER + "output.layernorm",
        },
        suffixes=_GAMMA_BETA,
    ),
    *linears(
        {
            "blocks.{n}.attention.query": _LAYER + "attention.attention.query_layer",
            "blocks.{n}.attention.key": _LAYER + "attention.attention.key_layer",
            "blocks.{n}.attention.value": _LAYER + "attention.attention.value_layer",
            "blocks.{n}.attention.output": _LAYER + "attention.output.dense",
            "blocks.{n}.feed_forward.up": _LAYER + "intermediate",
            "blocks.{n}.feed_forward.down": _LAYER + "output.dense",
            "pooler.dense": "dense",
        }
    ),
)

IGNORED = (
    *((f"{slot}.*", "optimizer state") for slot in
      ("adam_m", "adam_v", "lamb_m", "lamb_v", "moment1", "moment2", "moments", "vhat", "accum")),
    *((name, "a counter or setting of training") for name in
      ("global_step", "learning_rate", "epoch_num", "step_num", "loss_scale", "current_iterator_step",
       "last_overflow_iterator_step", "*total_num", "*start_num", "*end_num")),
)  # fmt: skip

REFUSED = (
    (
        "*_generate_relative_positions_embeddings*",
        "MindSpore's NEZHA learns a relative table for each layer, which is another model than Huawei's NEZHA",
    ),
)

# bert_model.py calls the tanh form "gelu" and has the epsilon of its LayerNorm in the code.
_ACTIVATIONS = {"gelu": "gelu_new"}
_DEFAULTS = {"layer_norm_eps": 1e-7}

MAPS.add(
    "mindspore",
    NameMap(
        name="mindspore",
        families=("bert",),
        parts={
            "backbone": BACKBONE,
            "language_model": (
                *linears({"dense": "cls1.dense"}),
                *norms({"norm": "cls1.layernorm"}, suffixes=_GAMMA_BETA),
                Rule("bias", "cls1.output_bias"),
            ),
            "next_sentence": linears({"": "cls2.dense"}),
            "classifier": linears({"": "dense_1"}),
            "span": linears({"": "dense1"}),
        },
        prefixes=("bert.bert.", "bert.", ""),
        head_prefixes=("bert.", ""),
        ignored=IGNORED,
        refused=REFUSED,
        activations=_ACTIVATIONS,
        defaults=_DEFAULTS,
    ),
)
MAPS.add(
    "mindspore-poem",
    NameMap(
        name="mindspore-poem",
        families=("bert",),
        parts={
            "backbone": BACKBONE,
            "language_model": (
                *linears({"dense": "MLM_Dense"}),
                *norms({"norm": "layer_norm"}, suffixes=_GAMMA_BETA),
                Rule("bias", "MLM_output_biasadd"),
            ),
        },
        prefixes=("bert.", "bert.bert.", ""),
        ignored=IGNORED,
        refused=REFUSED,
        activations=_ACTIVATIONS,
        defaults={**_DEFAULTS, "attention_pattern": "causal"},
    ),
)
