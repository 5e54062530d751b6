"""Names of PaddleNLP (BERT and TinyBERT; NEZHA) and of PALM and ERNIE 1. Paddle's Linear stores (in, out)."""

from __future__ import annotations

from plm.checkpoints.maps.rules import embeddings, linears, norms, tied_decoder
from plm.checkpoints.name_map import MAPS, NameMap, Rule
from plm.checkpoints.transforms import TRANSPOSE

_T = (TRANSPOSE,)

_EMBEDDINGS = (
    *embeddings(
        {
            "embeddings.word": "embeddings.word_embeddings",
            "embeddings.position": "embeddings.position_embeddings",
            "embeddings.token_type": "embeddings.token_type_embeddings",
        }
    ),
    *norms({"embeddings.norm": "embeddings.layer_norm"}),
)
_HEADS = {
    "next_sentence": linears({"": "cls.seq_relationship"}, transforms=_T),
    "classifier": linears({"": "classifier"}, transforms=_T),
    # PaddleNLP calls the two rows of extractive question answering a classifier as well.
    "span": linears({"": "classifier"}, transforms=_T),
    "fit": linears({"shared": "fit_dense", "per_layer.{n}": "fit_denses.{n}"}, transforms=_T),
}

MAPS.add(
    "paddlenlp",
    NameMap(
        name="paddlenlp",
        families=("bert", "tinybert"),
        parts={
            "backbone": (
                *_EMBEDDINGS,
                *norms(
                    {
                        "blocks.{n}.attention_norm": "encoder.layers.{n}.norm1",
                        "blocks.{n}.feed_forward_norm": "encoder.layers.{n}.norm2",
                    }
                ),
                *linears(
                    {
                        "blocks.{n}.attention.query": "encoder.layers.{n}.self_attn.q_proj",
                        "blocks.{n}.attention.key": "encoder.layers.{n}.self_attn.k_proj",
                        "blocks.{n}.attention.value": "encoder.layers.{n}.self_attn.v_proj",
                        "blocks.{n}.attention.output": "encoder.layers.{n}.self_attn.out_proj",
                        "blocks.{n}.feed_forward.up": "encoder.layers.{n}.linear1",
                        "blocks.{n}.feed_forward.down": "encoder.layers.{n}.linear2",
                        "pooler.dense": "pooler.dense",
                    },
                    transforms=_T,
                ),
            ),
            "language_model": (
                *linears({"dense": "cls.predictions.transform"}, transforms=_T),
                *norms({"norm": "cls.predictions.layer_norm"}),
                Rule("bias", "cls.predictions.decoder_bias", aliases=("cls.predictions.decoder.bias",)),
                tied_decoder("cls.predictions.decoder.weight"),
            ),
            **_HEADS,
        },
        prefixes=("bert.", "tinybert.", ""),
        head_prefixes=("", "tinybert."),  # fit layers belong to the backbone there
        ignored=(("*cls.predictions.decoder.bias", "a copy of cls.predictions.decoder_bias"),),
    ),
)
MAPS.add(
    "paddlenlp-nezha",
    NameMap(
        name="paddlenlp-nezha",
        families=("nezha",),
        parts={
            "backbone": (
                *_EMBEDDINGS,
                *norms(
                    {
                        "blocks.{n}.attention_norm": "encoder.layer.{n}.attention.layer_norm",
                        "blocks.{n}.feed_forward_norm": "encoder.layer.{n}.layer_norm",
                    }
                ),
                *linears(
                    {
                        "blocks.{n}.attention.query": "encoder.layer.{n}.attention.query",
                        "blocks.{n}.attention.key": "encoder.layer.{n}.attention.key",
                        "blocks.{n}.attention.value": "encoder.layer.{n}.attention.value",
                        "blocks.{n}.attention.output": "encoder.layer.{n}.attention.dense",
                        "blocks.{n}.feed_forward.up": "encoder.layer.{n}.ffn",
                        "blocks.{n}.feed_forward.down": "encoder.layer.{n}.ffn_output",
                        "pooler.dense": "pooler.dense",
                    },
                    transforms=_T,
                ),
            ),
            "language_model": (
                *linears({"dense": "cls.predictions.dense"}, transforms=_T),
                *norms({"norm": "cls.predictions.layer_norm"}),
                Rule("bias", "cls.predictions.decoder_bias"),
                tied_decoder("cls.predictions.decoder_weight"),
            ),
            **_HEADS,
        },
        prefixes=("nezha.", ""),
        ignored=(("*relative_positions_encoding*", "NEZHA's sinusoid table, a constant that is computed"),),
    ),
)

_LAYER = "encoder_layer_{n}_"
_FC = (".w_0", ".b_0")
_SCALE = ("_scale", "_bias")

MAPS.add(
    "palm",
    NameMap(
        name="palm",
        families=("bert",),
        parts={
            "backbone": (
                *embeddings(
                    {
                        "embeddings.word": "word_embedding",
                        "embeddings.position": "pos_embedding",
                        "embeddings.token_type": "sent_embedding",
                    },
                    weight="",
                ),
                *norms(
                    {
                        "embeddings.norm": "pre_encoder_layer_norm",
                        "blocks.{n}.attention_norm": _LAYER + "post_att_layer_norm",
                        "blocks.{n}.feed_forward_norm": _LAYER + "post_ffn_layer_norm",
                    },
                    suffixes=_SCALE,
                ),
                *linears(
                    {
                        "blocks.{n}.attention.query": _LAYER + "multi_head_att_query_fc",
                        "blocks.{n}.attention.key": _LAYER + "multi_head_att_key_fc",
                        "blocks.{n}.attention.value": _LAYER + "multi_head_att_value_fc",
                        "blocks.{n}.attention.output": _LAYER + "multi_head_att_output_fc",
                        "blocks.{n}.feed_forward.up": _LAYER + "ffn_fc_0",
                        "blocks.{n}.feed_forward.down": _LAYER + "ffn_fc_1",
                        "pooler.dense": "pooled_fc",
                    },
                    suffixes=_FC,
                    transforms=_T,
                ),
            ),
            "language_model": (
                *linears({"dense": "mask_lm_trans_fc"}, suffixes=_FC, transforms=_T),
                *norms({"norm": "mask_lm_trans_layer_norm"}, suffixes=_SCALE),
                Rule("bias", "mask_lm_out_fc.b_0"),
            ),
            "next_sentence": linears({"": "next_sent_fc"}, suffixes=_FC, transforms=_T),
            "classifier": linears({"": "cls_out"}, suffixes=("_w", "_b"), transforms=_T),
            "span": linears({"": "cls_squad_out"}, suffixes=("_w", "_b"), transforms=_T),
        },
        head_prefixes=("", "*"),  # a PALM task may put its name in front
        ignored=(
            ("*_moment[12]_0", "optimizer state"),
            ("*_pow_acc_0", "optimizer state"),
            ("@*@", "a counter or setting of training"),
            ("learning_rate*", "a counter or setting of training"),
        ),
        refused=(("*task_embedding", "ERNIE adds an embedding of the task, which no family here has"),),
        defaults={"layer_norm_eps": 1e-6},
    ),
)
