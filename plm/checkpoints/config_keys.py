"""What the keys of outside config files mean here: a field of ours under another name, or nothing at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plm.registry import Registry

MODEL_TYPE_ALIASES = {"gpt": "openai-gpt", "openai_gpt": "openai-gpt", "gpt1": "openai-gpt"}

# Class names in transformers begin so.
CLASS_PREFIXES = {"bert": "Bert", "nezha": "Nezha", "openai-gpt": "OpenAIGPT", "tinybert": "TinyBert"}

# Spellings of activations that mean one of ours in every source. The first of several is the one to write.
ACTIVATION_ALIASES = {
    "gelu_erf": "gelu",
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu_new",
    "gelu_tanh": "gelu_new",
    "swish": "silu",
}

# Fields of ours that transformers has no key for, or that it leaves out as we do: written when not at their default.
UNSAID = (
    "norm",
    "attention_pattern",
    "classifier_pooling",
    "classifier_activation",
    "classifier_bias",
    "language_model_transform",
    "fit",
    "fit_size",
    "id2label",
    "problem_type",
)


@dataclass(frozen=True, kw_only=True)
class ConfigKeys:
    """How transformers spells the config of one family.

    names: field of ours -> key there, for reading and writing. Fields that are not listed have our names.
    also_read: key -> field of ours; other spellings that are read.
    unsaid: fields besides UNSAID that are written only when not at their default.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    also_read: Mapping[str, str] = field(default_factory=dict)
    unsaid: tuple[str, ...] = ()

    def field_of(self, key: str) -> str:
        """The field of ours that a key stands for, or the key itself."""
        return next((ours for ours, theirs in self.names.items() if theirs == key), self.also_read.get(key, key))

    def spellings(self) -> set[str]:
        """All keys that differ from our names."""
        return {*self.names.values(), *self.also_read}


CONFIG_KEYS: Registry[ConfigKeys] = Registry("table of config keys")
"""By model type; a family that is not listed spells its fields as we do."""

CONFIG_KEYS.add("bert", ConfigKeys(also_read={"sent_type_vocab_size": "type_vocab_size"}))  # ERNIE
CONFIG_KEYS.add(
    "openai-gpt",
    ConfigKeys(
        names={
            "hidden_size": "n_embd",
            "num_hidden_layers": "n_layer",
            "num_attention_heads": "n_head",
            "max_position_embeddings": "n_positions",
            "hidden_act": "afn",
            "hidden_dropout_prob": "resid_pdrop",
            "attention_probs_dropout_prob": "attn_pdrop",
            "embedding_dropout_prob": "embd_pdrop",
            "layer_norm_eps": "layer_norm_epsilon",
            "summary_dropout": "summary_first_dropout",
        },
        also_read={"n_vocab": "vocab_size"},
        # constants of transformers' OpenAIGPTConfig
        unsaid=("intermediate_size", "type_vocab_size", "classifier_dropout"),
    ),
)

# Keys that ask for another model unless they have one of these values; the first is named in the message.
ONLY: dict[str, tuple[Any, ...]] = {
    "add_cross_attention": (False,),
    "position_embedding_type": ("absolute", None),
    "use_relative_positions": (False,),  # MindSpore's, learned
    "pool_act": ("tanh",),
    "pooler_type": ("first_token_transform",),
    "summary_type": ("cls_index",),
    "summary_use_proj": (True,),
    "summary_proj_to_labels": (True,),
    "summary_activation": (None,),
    "pruned_heads": ({}, None),
    "chunk_size_feed_forward": (0,),
    "tie_encoder_decoder": (False,),
}

# Keys that are no fields and yet are understood, in files and from callers.
UNDERSTOOD = ("model_type", "architectures", "num_labels", "label2id", "is_decoder", "use_relative_position")

# Keys of files that change nothing here, whatever their value.
NEUTRAL = frozenset(
    (
        "_name_or_path", "transformers_version", "paddlenlp_version", "torch_dtype", "dtype", "ms_dtype", "use_cache",
        "bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id", "mask_token_id", "decoder_start_token_id",
        "num_choices", "finetuning_task", "task_specific_params", "gradient_checkpointing", "output_attentions",
        "output_hidden_states", "return_dict", "use_return_dict", "torchscript", "directionality", "pooler_fc_size",
        "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head", "embedding_size", "emb_size",
        "cell", "structure", "pre_trained", "training", "fuse", "seq_length", "compute_type", "predict_special_tokens",
        "n_ctx", "n_special", "vocab_file", "do_lower_case", "initializer", "tokenizer_class",
        "sentence_transformers", "bias_dropout_prob", "exported",
    )
)  # fmt: skip


def keys_of(model_type: str) -> ConfigKeys:
    """How a family's config is spelled; third-party families need no table."""
    return CONFIG_KEYS.get(model_type) if model_type in CONFIG_KEYS else ConfigKeys()
