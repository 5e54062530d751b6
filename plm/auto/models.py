"""`AutoModel` and its kin: models by task, or of several tasks. `AutoConfig`: the config alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch

from plm.auto.arguments import refuse_foreign
from plm.auto.model import PretrainedModel
from plm.checkpoints.dtypes import as_dtype
from plm.checkpoints.hub import CONFIG_FILES, resolve
from plm.checkpoints.loading import fill_model
from plm.checkpoints.store import open_checkpoint, read_config_file
from plm.errors import ConfigError
from plm.heads.model import build_model
from plm.heads.several import Plans
from plm.models.config import ModelConfig
from plm.models.families import FAMILIES
from plm.models.init import initialize


class AutoConfig:
    """Loads configs; there is nothing to instantiate."""

    def __init__(self) -> None:
        raise OSError("AutoConfig is not a config: use AutoConfig.from_pretrained(name_or_path)")

    @staticmethod
    def from_pretrained(
        name_or_path: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        subfolder: str | None = None,
        **overrides: Any,
    ) -> ModelConfig:
        """The config of a folder, a config file or a hub name, as its family's frozen dataclass.

        Without the weights, `hidden_act` means what Hugging Face means by it.
        overrides: config fields that win over the file.
        """
        refuse_foreign(overrides)
        path = resolve(
            name_or_path,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            subfolder=subfolder,
            files=CONFIG_FILES,
        )
        return read_config_file(path, overrides)


class AutoModel:
    """The backbone alone: returns `last_hidden_state` and, where there is a pooler, `pooler_output`."""

    heads: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        name = type(self).__name__
        raise OSError(f"{name} is not a model: use {name}.from_pretrained(name_or_path) or {name}.from_config(config)")

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        config: str | Path | Mapping[str, Any] | None = None,
        dtype: str | torch.dtype = "float32",
        device: str | torch.device = "cpu",
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        subfolder: str | None = None,
        **overrides: Any,
    ) -> PretrainedModel:
        """A model in evaluation mode, from a checkpoint of any known framework.

        name_or_path: a folder, a weight file, a TensorFlow prefix, an embedded model ("plm/tiny-en") or a hub name.
        config: a config file or its content, in place of the one beside the weights.
        dtype: "float32", "bfloat16", "float16", or "auto" for the type stored.
        overrides: config fields that win over the file (num_labels=3, hidden_dropout_prob=0.2, is_decoder=True, ...);
            an unknown one is an error.
        `model.loaded` tells what was filled, initialised, ignored. A head that the checkpoint lacks is initialised;
        a backbone that it lacks is a CheckpointError. The many arguments are those that users of transformers know;
        what else they may bring along is a ConfigError that says what to do instead.
        """
        refuse_foreign(overrides)
        weights_dtype = as_dtype(dtype)
        path = resolve(
            name_or_path,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            subfolder=subfolder,
        )
        return _opened(path, heads=cls.heads, config=config, overrides=overrides, dtype=weights_dtype, device=device)

    @classmethod
    def from_config(
        cls, config: ModelConfig, *, dtype: str | torch.dtype = "float32", generator: torch.Generator | None = None
    ) -> PretrainedModel:
        """A model with random weights, in training mode. Raises ConfigError for a head that the family has not."""
        _require_heads(config, cls.heads)
        return _random(config, cls.heads, dtype=dtype, generator=generator)


def _opened(
    path: Path,
    *,
    heads: tuple[str, ...] | Plans | None,
    config: str | Path | Mapping[str, Any] | None,
    overrides: Mapping[str, Any],
    dtype: torch.dtype | None,
    device: torch.device | str,
) -> PretrainedModel:
    """The model of a file or folder. heads, dtype: as plm.checkpoints.loading.load_model."""
    config = Path(config) if isinstance(config, str) else config
    try:
        checkpoint = open_checkpoint(path, config=config, overrides=overrides)
    except ConfigError:
        if heads and overrides:  # an option of a head that the family has not is best explained by that
            _require_heads(open_checkpoint(path, config=config).config, heads)
        raise
    if heads is not None:
        _require_heads(checkpoint.config, heads)
    model, report = fill_model(checkpoint, heads=heads, dtype=dtype, device=device)
    return PretrainedModel.of(model, loaded=report)


def _random(
    config: ModelConfig, heads: tuple[str, ...] | Plans, *, dtype: str | torch.dtype, generator: torch.Generator | None
) -> PretrainedModel:
    model = build_model(config, heads)
    initialize(model, std=config.initializer_range, generator=generator)
    return PretrainedModel.of(model.to(as_dtype(dtype) or torch.float32))


def _require_heads(config: ModelConfig, heads: Collection[str] | Plans) -> None:
    """Refuse a head that only other families have. One that no family lists is a third party's, and goes with any."""
    family = FAMILIES.get(config.model_type)
    listed = {head for _, one in FAMILIES.items() for head in one.heads}
    kinds = [plan.kind for plan in heads.values() if plan.kind] if isinstance(heads, Mapping) else heads
    for head in kinds:
        if head in listed and head not in family.heads:
            raise ConfigError(f"{config.model_type} has no head {head!r} (it has: {', '.join(family.heads)})")


class AutoModelForTasks:
    """Several tasks on one backbone, each with a head of its own, or sharing one with another: see plm.HeadPlan.

    model(**batch, head="slots") asks one head, model.predict_heads(**batch) encodes once and asks all, and
    model.with_head("slots") is a model for that task alone.
    """

    def __init__(self) -> None:
        raise OSError(
            "AutoModelForTasks is not a model: use AutoModelForTasks.from_pretrained(name_or_path, heads={...}) or "
            "AutoModelForTasks.from_config(config, heads={...})"
        )

    @staticmethod
    def from_pretrained(
        name_or_path: str | Path,
        *,
        heads: Plans | None = None,
        config: str | Path | Mapping[str, Any] | None = None,
        dtype: str | torch.dtype = "float32",
        device: str | torch.device = "cpu",
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        subfolder: str | None = None,
        **overrides: Any,
    ) -> PretrainedModel:
        """A model with several heads in evaluation mode; arguments as AutoModel.from_pretrained.

        heads: plans by name, for a start from any checkpoint. A head that it stores under the same name and kind comes
            from there; of a checkpoint for one task, the first head of that kind. None = all that is stored, as
            `save_pretrained` wrote it.
        """
        refuse_foreign(overrides)
        weights_dtype = as_dtype(dtype)
        path = resolve(
            name_or_path,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            subfolder=subfolder,
        )
        return _opened(path, heads=heads, config=config, overrides=overrides, dtype=weights_dtype, device=device)

    @staticmethod
    def from_config(
        config: ModelConfig,
        *,
        heads: Plans,
        dtype: str | torch.dtype = "float32",
        generator: torch.Generator | None = None,
    ) -> PretrainedModel:
        """A model with random weights, in training mode; arguments as AutoModel.from_config."""
        _require_heads(config, heads)
        return _random(config, heads, dtype=dtype, generator=generator)


class AutoModelForPreTraining(AutoModel):
    """Masked words and next sentence together: `prediction_logits`, `seq_relationship_logits`."""

    heads = ("pretraining",)


class AutoModelForMaskedLM(AutoModel):
    """Masked language model: `logits` over the vocabulary, at masked positions when labels are given."""

    heads = ("masked_lm",)


class AutoModelForCausalLM(AutoModel):
    """Causal language model: `logits` of each token's successor."""

    heads = ("causal_lm",)


class AutoModelForNextSentencePrediction(AutoModel):
    """Does the second segment follow the first? `logits`, (batch, 2); 0 = yes."""

    heads = ("next_sentence",)


class AutoModelForSequenceClassification(AutoModel):
    """One decision a text: `logits`, (batch, classes)."""

    heads = ("sequence_classification",)


class AutoModelForTokenClassification(AutoModel):
    """One decision a token: `logits`, (batch, length, classes)."""

    heads = ("token_classification",)


class AutoModelForQuestionAnswering(AutoModel):
    """Extractive answers: `start_logits` and `end_logits`, (batch, length)."""

    heads = ("question_answering",)


class AutoModelForMultipleChoice(AutoModel):
    """One of several texts: `logits`, (batch, choices)."""

    heads = ("multiple_choice",)


class AutoModelForDoubleHeads(AutoModel):
    """GPT-1's language model and multiple choice together: `logits`, `mc_logits`."""

    heads = ("double_heads",)
