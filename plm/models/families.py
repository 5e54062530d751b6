"""The model families that plm knows, by the `model_type` of config.json. A third party adds its own the same way."""

from __future__ import annotations

from plm.models.bert import BertConfig, build_bert
from plm.models.family import Family
from plm.models.gpt1 import Gpt1Config, build_gpt1
from plm.models.nezha import NezhaConfig, build_nezha
from plm.models.tinybert import TinyBertConfig
from plm.registry import Registry

ENCODER_HEADS = (
    "pretraining",
    "masked_lm",
    "causal_lm",
    "next_sentence",
    "sequence_classification",
    "token_classification",
    "crf_token_classification",
    "question_answering",
    "multiple_choice",
    "matching",
)
DECODER_HEADS = (
    "causal_lm",
    "double_heads",
    "sequence_classification",
    "token_classification",
    "crf_token_classification",
    "question_answering",
    "multiple_choice",
    "matching",
    "classification_with_lm",
    "multiple_choice_with_lm",
)

FAMILIES: Registry[Family] = Registry("model_type")
FAMILIES.add("bert", Family(config=BertConfig, build=build_bert, heads=ENCODER_HEADS))
FAMILIES.add("nezha", Family(config=NezhaConfig, build=build_nezha, heads=ENCODER_HEADS))
FAMILIES.add("openai-gpt", Family(config=Gpt1Config, build=build_gpt1, heads=DECODER_HEADS))
FAMILIES.add("tinybert", Family(config=TinyBertConfig, build=build_bert, heads=(*ENCODER_HEADS, "hidden_projection")))
