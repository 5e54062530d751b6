"""From an opened checkpoint to a model with every parameter filled."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plm.checkpoints.devices import require_device
from plm.checkpoints.formats.finite import is_finite
from plm.checkpoints.head_plans import Wanted, wanted_heads
from plm.checkpoints.name_map import Rule, expand
from plm.checkpoints.report import LoadReport
from plm.checkpoints.sizes import POOLER, backbone_shapes, misfit, missing_tensors, read
from plm.checkpoints.store import Checkpoint, open_checkpoint
from plm.errors import CheckpointError, did_you_mean
from plm.heads.head import HEADS
from plm.heads.model import Model, build_model, heads_that_pool
from plm.heads.several import Plans, settle
from plm.models.init import initialize

logger = logging.getLogger(__name__)


def load_model(
    path: Path,
    *,
    heads: Collection[str] | Plans | None = None,
    config: Path | Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = torch.float32,
    device: torch.device | str = "cpu",
) -> tuple[Model, LoadReport]:
    """Load weights into a new model, in evaluation mode.

    heads: names in HEADS; () = the backbone alone; None = whatever the checkpoint holds. Plans by name: several heads,
        see plm.heads.several; what a plan does not say comes from the checkpoint.
    config, overrides: as open_checkpoint. dtype: None = as stored.
    The weights of mapped formats stay mapped: they are read from disk when first used.
    Raises CheckpointError when a backbone tensor is missing, has another shape, or holds NaN or infinity; a missing
    head is initialised and reported.
    """
    checkpoint = open_checkpoint(path, config=config, overrides=overrides)
    return fill_model(checkpoint, heads=heads, dtype=dtype, device=device)


def fill_model(
    checkpoint: Checkpoint,
    *,
    heads: Collection[str] | Plans | None,
    dtype: torch.dtype | None,
    device: torch.device | str,
) -> tuple[Model, LoadReport]:
    """Build the model that a checkpoint and the wanted heads ask for, and fill it. Arguments as in load_model."""
    require_device(device)
    _refuse_missing_backbone(checkpoint)
    wanted = wanted_heads(heads, stored=checkpoint.plans, kinds=checkpoint.stored_heads(), entry=checkpoint.entry)
    config, plans = settle(checkpoint.config, wanted.plans)
    pooler = _stores_pooler(checkpoint) or bool(heads_that_pool(config, plans))
    model = build_model(config, plans, pooler=pooler)
    filling = _Filling(checkpoint, model)
    filling.take_all(wanted)
    if not plans and model.backbone.pooler is None and POOLER in backbone_shapes(config):
        filling.notes.append("no pooler is stored, so the model has no pooler_output")
    _refuse_non_finite(checkpoint)
    _assign(model, filling.filled, dtype=dtype, device=device)
    report = filling.report()
    if report.missing or report.mismatched:
        logger.info("%s", report)
    return model.eval(), report


class _Filling:
    """Takes tensors out of a checkpoint for the parameters of a model, and keeps the account.

    wanted: shapes by parameter name. filled: tensors by parameter name.
    mismatched: parameters of heads whose stored shape is another one, with both shapes.
    """

    def __init__(self, checkpoint: Checkpoint, model: Model) -> None:
        self.checkpoint = checkpoint
        self.wanted = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
        self.filled: dict[str, Tensor] = {}
        self.mismatched: dict[str, str] = {}
        self.notes = list(checkpoint.notes)

    def take_all(self, heads: Wanted) -> None:
        """Take what is stored for the backbone and these heads."""
        source, parts = self.checkpoint.source, parts_of(heads.in_table)
        for prefix, part in parts:
            names = {name.removeprefix(prefix): None for name in self.wanted if name.startswith(prefix)}
            for rule, number in expand(source.name_map.rules_of(part, names), max(source.count(part), 1)):
                found = source.find(part, rule, number)
                if found is not None and rule.applies(names, number):
                    self._take(rule, found, [prefix + name for name in rule.ours_at(number)])
        for head, stored in heads.own.items():
            ours = [name for name in self.wanted if name.startswith(f"heads.{head}.")]
            theirs = [f"heads.{stored}.{name.removeprefix(f'heads.{head}.')}" for name in ours]
            for name, found in zip(ours, theirs, strict=True):
                if found in source:
                    self._take(Rule(name, found), found, [name])
        self._separate()
        for name in self.wanted:
            copy = source.find_copy(name)
            if copy is not None and name not in self.filled:
                self._take(Rule(name, copy), copy, [name])
        for prefix, part in parts:
            for rule in source.name_map.parts.get(part, ()):
                if rule.tied_to in self.filled:
                    self._settle_copy(prefix + rule.names[0], self.filled[rule.tied_to], source.find(part, rule, 0))

    def _separate(self) -> None:
        """Give tensors that several heads start from to each of them anew: they are trained apart."""
        heads = [name for name in self.filled if name.startswith("heads.")]
        seen: set[int] = set()
        for name in heads:
            if self.filled[name].data_ptr() in seen:
                self.filled[name] = self.filled[name].clone()
            seen.add(self.filled[name].data_ptr())

    def _take(self, rule: Rule, found: str, ours: list[str]) -> None:
        """Give one of their tensors to ours."""
        source, entry = self.checkpoint.source, self.checkpoint.entry
        source.used.add(found)
        for name, tensor in zip(ours, read(rule, source, found, entry), strict=True):
            stored, wanted = tuple(tensor.shape), self.wanted[name]
            if stored == wanted and tensor.is_floating_point():
                self.filled[name] = tensor
            elif name.startswith("backbone.") or not tensor.is_floating_point():
                raise misfit(entry, source, found, wanted=wanted, ours=name)
            else:
                self.mismatched[name] = f"{name} (stored {stored}, wanted {wanted})"

    def _settle_copy(self, ours: str, original: Tensor, found: str | None) -> None:
        """A copy that a tied model has no parameter for must equal its original; an untied one needs its own memory."""
        if ours not in self.wanted:
            if found is not None and not _is_same(self.checkpoint.source.take(found), original):
                raise CheckpointError(
                    f"{self.checkpoint.entry}: {self.checkpoint.source.original[found]} should repeat the word "
                    "embeddings and does not: pass tie_word_embeddings=False to keep an output table of its own"
                )
        elif found is None:
            self.filled[ours] = original.clone()
            self.notes.append(f"{ours} is not stored and starts as a copy of the word embeddings")
        elif ours in self.filled and self.filled[ours].data_ptr() == original.data_ptr():
            self.filled[ours] = original.clone()

    def report(self) -> LoadReport:
        """The account so far."""
        checkpoint, source, name_map = self.checkpoint, self.checkpoint.source, self.checkpoint.name_map
        reasons = {name: name_map.reason_to_ignore(name) for name in source if name not in source.used}
        return LoadReport(
            source=checkpoint.entry,
            format=checkpoint.format.name,
            layout=name_map.name,
            model_type=checkpoint.config.model_type,
            prefix=source.prefix("backbone"),
            wrapper=source.wrapper,
            loaded=tuple(self.filled),
            missing=tuple(name for name in self.wanted if name not in self.filled and name not in self.mismatched),
            mismatched=tuple(self.mismatched.values()),
            unused=tuple(source.original[name] for name, reason in reasons.items() if reason is None),
            ignored={source.original[name]: reason for name, reason in reasons.items() if reason is not None},
            notes=tuple(self.notes),
        )


def parts_of(heads: Mapping[str, str]) -> list[tuple[str, str]]:
    """(prefix of our names, part of the table) of a model, the backbone first. heads: kinds by name."""
    inside = [(f"heads.{head}.{inner}." if inner else f"heads.{head}.", part)
              for head, kind in heads.items() for inner, part in HEADS.get(kind).parts]  # fmt: skip
    return [("backbone.", "backbone"), *inside]


def _stores_pooler(checkpoint: Checkpoint) -> bool:
    rules = checkpoint.name_map.parts["backbone"]
    return any(rule.names == (POOLER,) and checkpoint.source.find("backbone", rule, 0) for rule in rules)


def _refuse_missing_backbone(checkpoint: Checkpoint) -> None:
    missing = missing_tensors(checkpoint.config, checkpoint.source)
    if missing:
        ours, theirs = next(iter(missing.items()))
        raise CheckpointError(
            f"{checkpoint.entry}: {len(missing)} backbone tensors are missing, first {theirs!r} (here {ours})"
            f"{did_you_mean(theirs, checkpoint.source)}; a model with random layers is of no use"
        )


def _refuse_non_finite(checkpoint: Checkpoint) -> None:
    """Refuse NaN and infinity. Formats that can look at their files without keeping them in memory do so themselves."""
    source, scan = checkpoint.source, checkpoint.format.non_finite
    used = {source.original[name]: source.peek(name) for name in source.used}
    if scan is not None:
        bad = [name for name in scan(checkpoint.entry) if name in used]
    else:
        bad = [name for name, tensor in used.items() if not is_finite(tensor)]
    if bad:
        raise CheckpointError(
            f"{checkpoint.entry}: NaN or infinity in {', '.join(bad[:3])}: the file is damaged or its training diverged"
        )


def _assign(
    model: Model, filled: Mapping[str, Tensor], *, dtype: torch.dtype | None, device: torch.device | str
) -> None:
    """Make tensors the parameters of a model, and initialise the others. dtype: None = one that holds all as stored."""
    stored = {tensor.dtype for tensor in filled.values()}
    if dtype is None:
        dtype = stored.pop() if len(stored) == 1 else torch.float64 if torch.float64 in stored else torch.float32
    tensors = {name: tensor.to(device=device, dtype=dtype).contiguous() for name, tensor in filled.items()}
    model.load_state_dict(tensors, strict=False, assign=True)
    new = {name for name, _ in model.named_parameters()} - tensors.keys()
    initialize(model, std=model.config.initializer_range, names=new)
    model.to(device=device, dtype=dtype)  # new parameters, and constants


def _is_same(first: Tensor, second: Tensor) -> bool:
    if first.data_ptr() == second.data_ptr():
        return True
    return first.dtype == second.dtype and torch.equal(first, second)
