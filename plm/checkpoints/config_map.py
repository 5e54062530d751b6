"""Config files of other libraries, read into our configs and written back."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from plm.config import from_dict
from plm.errors import ConfigError, did_you_mean
from plm.heads.head import HEADS
from plm.models.config import ModelConfig, default_labels
from plm.models.families import FAMILIES

# Spellings of activations that mean one of ours, in every source.
ACTIVATION_ALIASES = {
    "gelu_pytorch_tanh": "gelu_new",
    "gelu_tanh": "gelu_new",
    "gelu_python": "gelu",
    "gelu_erf": "gelu",
    "swish": "silu",
}

# Sizes that decide what a model is: never guessed, always from the file (or the tensors).
REQUIRED = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")

MODEL_TYPE_ALIASES = {"gpt": "openai-gpt", "openai_gpt": "openai-gpt", "gpt1": "openai-gpt"}

CLASS_PREFIXES = {"bert": "Bert", "nezha": "Nezha", "openai-gpt": "OpenAIGPT", "tinybert": "TinyBert"}

BERT_FIELDS = {
    "sent_type_vocab_size": "type_vocab_size",  # ERNIE
}
GPT1_FIELDS = {
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_positions": "max_position_embeddings",
    "n_vocab": "vocab_size",
    "n_ctx_file": "max_position_embeddings",
    "afn": "hidden_act",
    "resid_pdrop": "hidden_dropout_prob",
    "attn_pdrop": "attention_probs_dropout_prob",
    "embd_pdrop": "embedding_dropout_prob",
    "layer_norm_epsilon": "layer_norm_eps",
    "summary_first_dropout": "summary_dropout",
}
# The spelling to write, where two are read.
GPT1_WRITTEN = {ours: theirs for theirs, ours in GPT1_FIELDS.items() if theirs not in ("n_vocab", "n_ctx_file")}

# Keys that change nothing here, with the only values for which that is true (None: any value).
NEUTRAL: dict[str, tuple[Any, ...] | None] = {
    "add_cross_attention": (False,),
    "position_embedding_type": ("absolute", None),
    "use_relative_positions": (False,),
    "use_return_dict": None,
    "pool_act": ("tanh",),
    "pooler_type": ("first_token_transform",),
    "summary_type": ("cls_index",),
    "summary_use_proj": (True,),
    "summary_proj_to_labels": (True,),
    "summary_activation": (None,),
    "pruned_heads": ({}, None),
    "chunk_size_feed_forward": (0,),
    "tie_encoder_decoder": (False,),
    **dict.fromkeys(
        (
            "_name_or_path", "architectures", "model_type", "transformers_version", "torch_dtype", "dtype", "ms_dtype",
            "use_cache", "bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id", "mask_token_id",
            "decoder_start_token_id", "label2id", "num_labels", "num_choices", "finetuning_task",
            "task_specific_params", "gradient_checkpointing", "output_attentions", "output_hidden_states", "return_dict", "torchscript",
            "directionality", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers",
            "pooler_size_per_head", "use_relative_position", "embedding_size", "emb_size", "cell", "structure",
            "pre_trained", "training", "paddlenlp_version", "fuse", "seq_length", "dtype", "compute_type",
            "predict_special_tokens", "n_ctx", "n_special", "is_decoder", "vocab_file", "do_lower_case",
            "initializer", "tokenizer_class", "problem_type_", "sentence_transformers", "bias_dropout_prob",
        )
    ),
}  # fmt: skip


@dataclass
class RawConfig:
    """A config file as found, and what plm made of it.

    values: fields of the family's config. architecture: head named by `architectures`, if any.
    """

    source: str
    model_type: str
    values: dict[str, Any]
    architecture: str | None = None
    notes: list[str] = field(default_factory=list)


def read_config(
    raw: Mapping[str, Any],
    *,
    source: str,
    tensor_names: Collection[str] = (),
    overrides: Mapping[str, Any] | None = None,
) -> RawConfig:
    """Understand a config of transformers, Google, Huawei, NVIDIA, PaddleNLP, PALM, MindSpore or MindNLP.

    tensor_names: names in the weights, which tell a family when the config does not.
    overrides: fields of ours or keys of theirs that win over the file; `model_type` and `num_labels` too.
    Raises ConfigError for an unknown model_type (listing the known ones) and for values of the wrong type.
    """
    raw = {**raw, **(overrides or {})}
    model_type = _model_type(raw, source, tensor_names)
    known = {f.name for f in dataclasses.fields(FAMILIES.get(model_type).config)}
    table = GPT1_FIELDS if model_type == "openai-gpt" else BERT_FIELDS
    result = RawConfig(source, model_type, {}, architecture=_architecture(raw))
    for key, value in raw.items():
        name = table.get(key, key)
        if name in known:
            result.values[name] = value
        elif key == "is_decoder" and value is True and "attention_pattern" not in raw:
            result.values["attention_pattern"] = "causal"
        else:
            _report_unmapped(key, value, known | set(table), result.notes, source)
    _read_labels(raw, result)
    return result


def finish_config(raw: RawConfig, *, inferred: Mapping[str, Any], activations: Mapping[str, str]) -> ModelConfig:
    """The family's config from what the file says and what the tensors say.

    inferred: values taken from tensors or from the code of the source, used where the file is silent; those that the
        family does not have are left out.
    activations: what `hidden_act` means in this source.
    Raises ConfigError naming the file and the missing or wrong fields.
    """
    cls = FAMILIES.get(raw.model_type).config
    known = {f.name for f in dataclasses.fields(cls)}
    values = {name: value for name, value in inferred.items() if name in known} | raw.values
    missing = [name for name in REQUIRED if name not in values]
    if missing:
        raise ConfigError(
            f"{raw.source}: missing field {', '.join(map(repr, missing))}; plm never guesses sizes: add them to the "
            f"file or pass them, from_pretrained(..., {missing[0]}=...)"
        )
    if "hidden_act" in values:
        values["hidden_act"] = resolve_activation(values["hidden_act"], activations)
    if values.get("intermediate_size") is None and isinstance(values["hidden_size"], int):
        values["intermediate_size"] = 4 * values["hidden_size"]
    return from_dict(cls, values, source=raw.source)


def resolve_activation(name: Any, activations: Mapping[str, str]) -> Any:
    """Our name of an activation as a source calls it. Strangers pass: the config's own check names them."""
    if not isinstance(name, str):
        return name
    name = activations.get(name, name)
    return ACTIVATION_ALIASES.get(name, name)


def write_config(config: ModelConfig, heads: Collection[str], *, dtype: str) -> dict[str, Any]:
    """config.json as transformers writes it, plus the fields of ours that transformers does not know."""
    defaults = {f.name: f.default for f in dataclasses.fields(config)}
    values: dict[str, Any] = {"model_type": config.model_type, "dtype": dtype}
    gpt1 = config.model_type == "openai-gpt"
    extra = {"norm", "attention_pattern", "classifier_pooling", "classifier_activation", "classifier_bias",
             "language_model_transform", "fit", "fit_size"}  # fmt: skip
    for name, default in defaults.items():
        value = getattr(config, name)
        if name in extra and (value == default or (name == "attention_pattern" and value == "causal")):
            continue
        if name in ("id2label", "problem_type", "classifier_dropout") and value is None:
            continue
        if (
            gpt1
            and name in ("intermediate_size", "type_vocab_size", "classifier_dropout")
            and value == (4 * config.hidden_size if name == "intermediate_size" else default)
        ):
            continue  # constants of transformers' OpenAIGPTConfig
        values[GPT1_WRITTEN.get(name, name) if gpt1 else name] = value
    if gpt1:
        values["afn"] = {"gelu_new": "gelu", "gelu": "gelu_erf"}.get(config.hidden_act, config.hidden_act)
        values.setdefault("n_positions", config.max_position_embeddings)
    else:
        values["is_decoder"] = config.attention_pattern == "causal"
    if config.id2label is not None:
        values["id2label"] = {str(i): label for i, label in config.id2label.items()}
        values["label2id"] = {label: i for i, label in config.id2label.items()}
    values["architectures"] = [architecture_name(config.model_type, heads)]
    return values


def architecture_name(model_type: str, heads: Collection[str]) -> str:
    """The class name that transformers would use, such as BertForSequenceClassification."""
    prefix = CLASS_PREFIXES.get(model_type, "".join(part.capitalize() for part in model_type.split("-")))
    suffixes = [suffix for name in heads if name in HEADS and (suffix := HEADS.get(name).architecture)]
    return prefix + (suffixes[0] if suffixes else "Model")


def _model_type(raw: Mapping[str, Any], source: str, tensor_names: Collection[str]) -> str:
    named = raw.get("model_type")
    fit = any("fit_dense" in name for name in tensor_names)
    if named is None or named == "":
        return _inferred_type(raw, fit)
    if not isinstance(named, str):
        raise ConfigError(f"{source}: model_type: expected str, got {type(named).__name__}")
    named = MODEL_TYPE_ALIASES.get(named, named)
    if named not in FAMILIES:
        known = ", ".join(map(repr, FAMILIES.names()))
        raise ConfigError(
            f"{source}: model_type {named!r} is not known{did_you_mean(named, FAMILIES)} (known: {known})"
        )
    if named == "bert" and raw.get("use_relative_position") is True:
        return "nezha"
    # Huawei's general TinyBERTs call themselves bert; a classifier fine-tuned elsewhere really is one.
    if named == "bert" and fit and not _architecture(raw):
        return "tinybert"
    return named


def _inferred_type(raw: Mapping[str, Any], fit: bool) -> str:
    if "n_embd" in raw or "n_layer" in raw:
        return "openai-gpt"
    if raw.get("use_relative_position") is True:
        return "nezha"
    if fit or {"cell", "emb_size"} <= raw.keys() or {"cell", "structure"} <= raw.keys():
        return "tinybert"
    if "max_relative_position" in raw and raw.get("use_relative_position") is not False:
        return "nezha"
    return "bert"


def _architecture(raw: Mapping[str, Any]) -> str | None:
    """The head that `architectures` names. Longest suffix first, since ForX may end in Y."""
    named = raw.get("architectures")
    if not isinstance(named, (list, tuple)) or not named or not isinstance(named[0], str):
        return None
    name = named[0].lower()
    suffixes = sorted(HEADS.items(), key=lambda item: -len(item[1].architecture))
    return next(
        (head for head, spec in suffixes if spec.architecture and name.endswith(spec.architecture.lower())), None
    )


def _read_labels(raw: Mapping[str, Any], result: RawConfig) -> None:
    """id2label from whichever of id2label and num_labels is there; overrides of num_labels reach here too."""
    count = raw.get("num_labels")
    labels = result.values.get("id2label")
    if count is not None:
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ConfigError(f"{result.source}: num_labels: expected a positive integer, got {count!r}")
        if not isinstance(labels, Mapping) or len(labels) != count:
            result.values["id2label"] = default_labels(count)


def _report_unmapped(key: str, value: Any, known: Collection[str], notes: list[str], source: str) -> None:
    if key not in NEUTRAL:
        notes.append(f"{source}: {key!r} is not used{did_you_mean(key, known)}")
        return
    allowed = NEUTRAL[key]
    if allowed is not None and value not in allowed:
        raise ConfigError(
            f"{source}: {key}: {value!r} asks for something that plm does not have (only {allowed[0]!r} is supported)"
        )
