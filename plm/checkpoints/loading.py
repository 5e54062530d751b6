"""From an opened checkpoint to a model with every parameter filled."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plm.checkpoints.name_map import Rule, Source, expand
from plm.checkpoints.report import LoadReport
from plm.checkpoints.store import Checkpoint, open_checkpoint
from plm.errors import CheckpointError, did_you_mean
from plm.heads.head import HEADS
from plm.heads.model import Model, build_model
from plm.models.config import default_labels
from plm.models.init import initialize

logger = logging.getLogger(__name__)

# Parts of a backbone that a checkpoint may lack: they belong to what sits on top.
OPTIONAL_IN_BACKBONE = ("pooler.",)


def load_model(
    path: Path,
    *,
    heads: Collection[str] | None = None,
    config: Path | Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = torch.float32,
    device: torch.device | str = "cpu",
) -> tuple[Model, LoadReport]:
    """Load weights into a new model, in evaluation mode.

    heads: names in HEADS; () = the backbone alone; None = whatever the checkpoint holds.
    config, overrides: as open_checkpoint. dtype: None = as stored.
    The weights of mapped formats stay mapped: they are read from disk when first used.
    Raises CheckpointError when a backbone tensor is missing, has another shape, or holds NaN or infinity; a missing
    head is initialised and reported.
    """
    checkpoint = open_checkpoint(path, config=config, overrides=overrides)
    return fill_model(checkpoint, heads=heads, overrides=overrides or {}, dtype=dtype, device=device)


def fill_model(
    checkpoint: Checkpoint,
    *,
    heads: Collection[str] | None,
    overrides: Mapping[str, Any],
    dtype: torch.dtype | None,
    device: torch.device | str,
) -> tuple[Model, LoadReport]:
    """Build the model that a checkpoint and the wanted heads ask for, and fill it."""
    wanted = checkpoint.stored_heads() if heads is None else tuple(heads)
    source = checkpoint.source
    model = build_model(checkpoint.config, wanted, pooler=_needs_pooler(checkpoint, wanted))
    state = dict(model.named_parameters())
    filled: dict[str, Tensor] = {}
    mismatched: list[str] = []
    parts = _parts_of(wanted)
    for prefix, part in parts:
        rules = checkpoint.name_map.parts.get(part, ())
        for rule, number in expand(rules, max(source.count(part), 1)):
            _fill(rule, number, part, prefix, source, state, filled, mismatched, checkpoint)
    missing = [name for name in state if name not in filled]
    _refuse_missing_backbone(missing, checkpoint)
    _check_finite(checkpoint)
    converted = {
        name: tensor.to(device=device, dtype=dtype or tensor.dtype).contiguous() for name, tensor in filled.items()
    }
    model.load_state_dict(converted, strict=False, assign=True)
    initialize(model, std=checkpoint.config.initializer_range, names=set(missing))
    if missing:
        stored = next(iter(converted.values())).dtype if converted else torch.float32
        model.to(device=device, dtype=dtype or stored)
    elif torch.device(device).type != "cpu":
        model.to(device)  # constants that are no parameters
    report = _report(checkpoint, filled, missing, mismatched, parts)
    return model.eval(), report


def _parts_of(heads: Collection[str]) -> list[tuple[str, str]]:
    """(prefix of our names, part of the table) of a model with these heads."""
    parts = [("backbone.", "backbone")]
    for head in heads:
        for inner, part in HEADS.get(head).parts:
            parts.append((f"heads.{head}.{inner}." if inner else f"heads.{head}.", part))
    return parts


def _needs_pooler(checkpoint: Checkpoint, heads: Collection[str]) -> bool:
    rule = next((r for r in checkpoint.name_map.parts["backbone"] if r.names == ("pooler.dense.weight",)), None)
    stored = rule is not None and checkpoint.source.find("backbone", rule, 0) is not None
    return stored or any(HEADS.get(head).needs_pooler(checkpoint.config) for head in heads)


def _fill(
    rule: Rule,
    number: int,
    part: str,
    prefix: str,
    source: Source,
    state: Mapping[str, Tensor],
    filled: dict[str, Tensor],
    mismatched: list[str],
    checkpoint: Checkpoint,
) -> None:
    """Take one of their tensors and give it to ours, if both exist and fit."""
    found = source.find(part, rule, number)
    ours = [prefix + name.replace("{n}", str(number)) for name in rule.names]
    if found is None:
        return
    if rule.tied_to is not None and ours[0] not in state:
        _check_tied(source, found, rule.tied_to, state, filled, checkpoint)
        return
    if not all(name in state for name in ours):
        return
    tensor = source.take(found)
    try:
        tensors = rule.read(tensor)
    except (RuntimeError, IndexError) as error:
        raise CheckpointError(
            f"{checkpoint.entry}: {source.original[found]}: shape {tuple(tensor.shape)}: {error}"
        ) from error
    for name, value in zip(ours, tensors, strict=True):
        expected = tuple(state[name].shape)
        if tuple(value.shape) == expected and value.is_floating_point():
            filled[name] = value
        elif part == "backbone" or not value.is_floating_point():
            raise CheckpointError(
                f"{checkpoint.entry}: {source.original[found]}: expected shape {expected}, floating point, for {name}, "
                f"got {tuple(value.shape)}, {value.dtype}".replace("torch.", "")
            )
        else:
            mismatched.append(f"{name} (stored {tuple(value.shape)}, wanted {expected})")


def _check_tied(
    source: Source,
    found: str,
    tied_to: str,
    state: Mapping[str, Tensor],
    filled: dict[str, Tensor],
    checkpoint: Checkpoint,
) -> None:
    """A stored copy of another tensor must equal it; where the other is missing, it takes its place."""
    copy = source.take(found)
    if tied_to not in filled:
        if tied_to in state and copy.shape == state[tied_to].shape:
            filled[tied_to] = copy
        return
    original = filled[tied_to]
    if copy.data_ptr() != original.data_ptr() and not torch.equal(copy, original):
        raise CheckpointError(
            f"{checkpoint.entry}: {source.original[found]} should repeat the word embeddings and does not: pass "
            "tie_word_embeddings=False to keep an output table of its own"
        )


def _refuse_missing_backbone(missing: Collection[str], checkpoint: Checkpoint) -> None:
    inner = [name.removeprefix("backbone.") for name in missing if name.startswith("backbone.")]
    lost = [name for name in inner if not name.startswith(OPTIONAL_IN_BACKBONE)]
    if lost:
        left = [name for name in checkpoint.source if name not in checkpoint.source.used]
        wanted = _their_name(lost[0], checkpoint)
        raise CheckpointError(
            f"{checkpoint.entry}: {len(lost)} backbone tensors are missing, first {wanted!r} (here {lost[0]})"
            f"{did_you_mean(wanted, left)}; a model with random layers is of no use"
        )


def _their_name(ours: str, checkpoint: Checkpoint) -> str:
    """What the source would call one of our backbone tensors."""
    source = checkpoint.source
    for rule, number in expand(checkpoint.name_map.parts["backbone"], checkpoint.config.num_hidden_layers):
        if ours in (name.replace("{n}", str(number)) for name in rule.names):
            return source.prefix("backbone") + rule.theirs.replace("{n}", str(number))
    return ours


def _check_finite(checkpoint: Checkpoint) -> None:
    """Refuse NaN and infinity. Formats that can look at their files without keeping them in memory do so themselves."""
    source, scan = checkpoint.source, getattr(checkpoint.format, "non_finite", None)
    used = {source.original[name]: name for name in source.used}
    if scan is not None:
        bad = [name for name in scan(checkpoint.entry) if name in used]
    else:
        bad = [original for original, name in used.items() if not _finite(source.peek(name))]
    if bad:
        raise CheckpointError(
            f"{checkpoint.entry}: NaN or infinity in {', '.join(bad[:3])}: the file is damaged or its training diverged"
        )


def _finite(tensor: Tensor) -> bool:
    # One pass; a finite sum proves all finite, an infinite one may be an overflow of finite numbers.
    return bool(torch.isfinite(tensor.sum(dtype=torch.float32))) or bool(torch.isfinite(tensor).all())


def _report(
    checkpoint: Checkpoint,
    filled: Mapping[str, Tensor],
    missing: Collection[str],
    mismatched: Collection[str],
    parts: Collection[tuple[str, str]],
) -> LoadReport:
    source, name_map = checkpoint.source, checkpoint.name_map
    left = [name for name in source if name not in source.used]
    reasons = {name: name_map.reason_to_ignore(name) for name in left}
    shown = {entry.split(" ", 1)[0] for entry in mismatched}
    report = LoadReport(
        source=checkpoint.entry,
        format=checkpoint.format.name,
        layout=name_map.name,
        model_type=checkpoint.config.model_type,
        prefix=source.prefix("backbone"),
        wrapper=source.wrapper,
        loaded=tuple(filled),
        missing=tuple(name for name in missing if name not in shown),
        mismatched=tuple(mismatched),
        unused=tuple(source.original[name] for name in left if reasons[name] is None),
        ignored={source.original[name]: reason for name in left if (reason := reasons[name]) is not None},
        notes=tuple(checkpoint.notes),
    )
    if report.missing or report.mismatched:
        logger.info("%s", report)
    return report


def with_labels(labels: Collection[str] | int | None) -> dict[str, Any]:
    """Overrides that give a model its classes: names, a number, or nothing."""
    if labels is None:
        return {}
    if isinstance(labels, int):
        return {"id2label": default_labels(labels)}
    return {"id2label": dict(enumerate(labels))}
