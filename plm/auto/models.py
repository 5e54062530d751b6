"""`AutoModel` and its kin: models by task, or of several tasks. `AutoConfig`: the config alone.

Imports no torch: what needs it is imported when it is called, so that backends without it can be used without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

from plm.auto.arguments import refuse_foreign, refuse_torch_only
from plm.auto.backend_model import BackendModel
from plm.auto.choosing import TORCH
from plm.blocks.dtype_names import INT8
from plm.checkpoints.hub import CONFIG_FILES, resolve
from plm.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from plm.auto.model import PretrainedModel
    from plm.heads.several import Plans
    from plm.models.config import ModelConfig


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
        from plm.checkpoints.store import read_config_file

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

    @overload
    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        backend: Literal["torch"] = "torch",
        config: str | Path | Mapping[str, Any] | None = None,
        dtype: str | torch.dtype = "float32",
        device: str | torch.device = "cpu",
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        subfolder: str | None = None,
        **overrides: Any,
    ) -> PretrainedModel: ...

    @overload
    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        backend: str,
        config: str | Path | Mapping[str, Any] | None = None,
        dtype: str | torch.dtype = "float32",
        device: str | torch.device = "cpu",
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        subfolder: str | None = None,
        **overrides: Any,
    ) -> PretrainedModel | BackendModel: ...

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        backend: str = TORCH,
        config: str | Path | Mapping[str, Any] | None = None,
        dtype: str | torch.dtype = "float32",
        device: str | torch.device = "cpu",
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        subfolder: str | None = None,
        **overrides: Any,
    ) -> PretrainedModel | BackendModel:
        """A model in evaluation mode, from a checkpoint of any known framework.

        name_or_path: a folder, a weight file, a TensorFlow prefix, an embedded model ("plm/tiny-en") or a hub name.
        backend: who computes: "torch", or another name in plm.backends.BACKENDS, such as "compiled", "int8", "onnx" and
            "numpy"; these give a BackendModel, which predicts from a checkpoint as it is and has no other use.
        config: a config file or its content, in place of the one beside the weights.
        dtype: "float32", "bfloat16", "float16", or "auto" for the type stored; "int8" for backends that know it.
        overrides: config fields that win over the file (num_labels=3, hidden_dropout_prob=0.2, is_decoder=True, ...);
            an unknown one is an error.
        `model.loaded` tells what was filled, initialised, ignored. A head that the checkpoint lacks is initialised
        (by "torch"; the others refuse it); a backbone that it lacks is a CheckpointError. The many arguments are those
        that users of transformers know; what else they may bring along is a ConfigError that says what to do instead.
        """
        refuse_foreign(overrides)
        is_torch = backend == TORCH
        if is_torch:
            _check_dtype(dtype)
        else:
            refuse_torch_only(backend, cls.heads, config=config, device=device, overrides=overrides)
        path = resolve(
            name_or_path,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            subfolder=subfolder,
        )
        if not is_torch:
            head = cls.heads[0] if cls.heads else None
            return BackendModel.open(path, head, backend=backend, dtype=str(dtype).removeprefix("torch."))
        from plm.auto.building import opened

        return opened(path, heads=cls.heads, config=config, overrides=overrides, dtype=dtype, device=device)

    @classmethod
    def from_config(
        cls, config: ModelConfig, *, dtype: str | torch.dtype = "float32", generator: torch.Generator | None = None
    ) -> PretrainedModel:
        """A model with random weights, in training mode. Raises ConfigError for a head that the family has not."""
        from plm.auto.building import random_model

        return random_model(config, cls.heads, dtype=dtype, generator=generator)


def _check_dtype(dtype: str | torch.dtype) -> None:
    """Raise ConfigError for a type that a model of PyTorch has not, before anything is fetched or read."""
    from plm.checkpoints.dtypes import as_dtype

    if dtype == INT8:
        raise ConfigError('dtype: "int8" is for backends: say backend="int8", or backend="onnx" with it')
    as_dtype(dtype)


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
        from plm.auto.building import opened

        refuse_foreign(overrides)
        if "backend" in overrides:
            raise ConfigError(
                "backend: computes one head; save the one that you need with model.with_head(name).save_pretrained(...)"
            )
        _check_dtype(dtype)
        path = resolve(
            name_or_path,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            subfolder=subfolder,
        )
        return opened(path, heads=heads, config=config, overrides=overrides, dtype=dtype, device=device)

    @staticmethod
    def from_config(
        config: ModelConfig,
        *,
        heads: Plans,
        dtype: str | torch.dtype = "float32",
        generator: torch.Generator | None = None,
    ) -> PretrainedModel:
        """A model with random weights, in training mode; arguments as AutoModel.from_config."""
        from plm.auto.building import random_model

        return random_model(config, heads, dtype=dtype, generator=generator)


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
