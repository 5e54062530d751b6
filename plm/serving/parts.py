"""A folder that is to be served, as what its doors are made of: one model of PyTorch, or what a backend opens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from plm.auto.choosing import TORCH, settled
from plm.checkpoints.dtypes import as_dtype
from plm.checkpoints.exported import exported_entry
from plm.checkpoints.loading import load_model
from plm.checkpoints.store import open_checkpoint, read_config_file
from plm.errors import CheckpointError
from plm.heads.model import Model, build_model
from plm.heads.several import HeadPlan, Plans
from plm.models.config import ModelConfig
from plm.pipelines.source import Source
from plm.tasks import AnyTask
from plm.tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What is known of a folder.

    model: with all its heads, loaded once; of other backends than "torch" the folder, which is opened for each door.
    config, plans: of the model. backend, dtype: settled. is_program: True = exported, perhaps for one head alone.
    """

    model: Model | Path
    config: ModelConfig
    plans: Plans
    backend: str
    dtype: str
    is_program: bool

    @classmethod
    def of(cls, place: Path, *, backend: str, dtype: str) -> Parts:
        """Read a folder. Raises CheckpointError for heads that are not stored, whose answers would be random."""
        backend, dtype = settled(backend, dtype)
        if backend == TORCH:
            model = _load(place, dtype)
            return cls(
                model=model, config=model.config, plans=model.plans, backend=backend, dtype=dtype, is_program=False
            )
        entry = exported_entry(place)
        if entry is not None:
            config, plans = read_config_file(place), entry.plans
        else:
            checkpoint = open_checkpoint(place)
            config = checkpoint.config
            plans = dict(checkpoint.plans) or {kind: HeadPlan(kind) for kind in map(_asked, checkpoint.stored_heads())}
        return cls(model=place, config=config, plans=plans, backend=backend, dtype=dtype, is_program=entry is not None)

    @property
    def parameters(self) -> int:
        """Of the model with all its heads, whatever the backend keeps of them."""
        if isinstance(self.model, Model):
            return self.model.num_parameters()
        with torch.device("meta"):
            return build_model(self.config, self.plans).num_parameters()

    def head(self, kind: str) -> str | None:
        """The name of the first head of a kind; None = there is none."""
        return next((name for name, plan in self.plans.items() if plan.kind == kind), None)

    def source(
        self,
        task: str,
        head: str | None,
        *,
        tokenizer: Tokenizer,
        tokens_per_batch: int,
        settings: AnyTask | None = None,
        max_length: int | None = None,
    ) -> Source:
        """The model as a pipeline takes it, with one head or with none."""
        return Source(
            task=task,
            model=self.model if isinstance(self.model, Path) else _alone(self.model, head),
            tokenizer=tokenizer,
            backend=self.backend,
            dtype=self.dtype,
            settings=settings,
            max_length=max_length,
            tokens_per_batch=tokens_per_batch,
        )


def _alone(model: Model, head: str | None) -> Model:
    return Model(model.config, model.backbone, {}) if head is None else model.with_head(head)


def _asked(kind: str) -> str:
    """Of the two heads that BERT was pretrained with, the one that fills in words."""
    return "masked_lm" if kind == "pretraining" else kind


def _load(place: Path, dtype: str) -> Model:
    """The model with all its heads."""
    checkpoint = open_checkpoint(place)
    kinds = [_asked(kind) for kind in checkpoint.stored_heads()]
    model, report = load_model(place, heads=None if checkpoint.plans else kinds, dtype=as_dtype(dtype))
    random = [*report.missing, *report.mismatched]
    if random:
        raise CheckpointError(
            f"{report.source}: {', '.join(random[:3])} would be initialised, and answers be random; fine-tune it first"
        )
    return model
