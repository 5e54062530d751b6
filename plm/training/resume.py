"""Whether a checkpoint belongs to this run: what may have changed since, and what has."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from plm.config import to_dict
from plm.data.fingerprint import facts
from plm.errors import TrainingError
from plm.training.config import TrainingConfig
from plm.training.lengthening import length_changes, phase_differences, without_new_phases
from plm.training.state import Checkpoints, read_state

MAY_CHANGE: Mapping[str, str] = {
    "num_train_epochs": "a run may be made longer or shorter; the learning rate follows the new plan from here on",
    "max_steps": "as num_train_epochs",
    "eval_strategy": "evaluations do not change the weights",
    "eval_steps": "as eval_strategy",
    "early_stopping_patience": "counts the same evaluations, to another number",
    "keep": "folders to write",
    "save_strategy": "checkpoints do not change the weights",
    "save_steps": "as save_strategy",
    "keep_checkpoints": "as save_strategy",
    "resume": "how this part of the run was started",
    "batch_workers": "whoever makes the batches, they are the same",
    "log_every": "what one entry of the history stands for, from here on",
}
"""Settings that a continued run may have otherwise, and why. With any other the outcome would be that of neither."""

_PHASES_MAY = "; max_steps of phases that are not over; and phases may be added"

_SHOWN = 12

logger = logging.getLogger(__name__)


def find_state(
    resume: str, checkpoints: Checkpoints | None, *, is_saving: bool, mesh: DeviceMesh | None = None
) -> tuple[Path, dict[str, Any]] | None:
    """The folder and state of the checkpoint to go on from; None = there is none, or it is not wanted.

    resume: "auto", "never" or the folder of a checkpoint. checkpoints: of the run; None = it has no output_dir.
    is_saving: True = the run will write checkpoints of its own. mesh: as for read_state; all processes call this.
    Raises TrainingError when that would mix two runs in one folder, or no such folder is there; CheckpointError when no
    checkpoint is whole.
    """
    if resume not in ("auto", "never"):
        if not Path(resume).is_dir():
            raise TrainingError(f'resume: expected "auto", "never" or the folder of a checkpoint, got {resume!r}')
        return Path(resume), read_state(Path(resume), mesh=mesh)
    if resume == "auto":
        if checkpoints is None:
            raise TrainingError('resume is "auto", but there is no output_dir to look into')
        return checkpoints.newest(mesh=mesh)
    if is_saving and checkpoints is not None and checkpoints.paths():
        raise TrainingError(
            f'{checkpoints.folder}: holds the checkpoints of an earlier run; continue it with resume="auto", delete '
            "the folder, or take another output_dir"
        )
    return None


def fingerprint(batches: object, evaluate: object) -> dict[str, Any] | None:
    """What `fingerprint()` of both says of the data; None = the batches have no such method."""
    return {**facts(batches), **facts(evaluate, of="evaluation: ")} if hasattr(batches, "fingerprint") else None


def require_same_run(
    path: Path,
    saved: Mapping[str, Any],
    *,
    config: TrainingConfig,
    data: Mapping[str, Any] | None,
    weights: Mapping[str, Tensor],
) -> None:
    """Raise TrainingError naming every setting, fact of the data and weight that is not as in the checkpoint.

    saved: its state. data: the fingerprint of the batches; None = they have none, which is not compared.
    Logs a line when the run goes on as a longer or a shorter one.
    """
    then, now = _settings(saved["config"], config), to_dict(config)
    phases: tuple[Any, Any] = then["lr_phases"], now["lr_phases"]
    differences = _config_differences(then, now, update=saved["run"]["update"])
    if data is not None and saved["data"] is not None:
        differences += _differences("data: ", saved["data"], without_new_phases(data, *phases))
    differences += _differences("model: ", _shapes(saved["model"]), _shapes(weights))
    if differences:
        more = [f"and {len(differences) - _SHOWN} more"] if len(differences) > _SHOWN else []
        listed = "".join(f"\n  {line}" for line in differences[:_SHOWN] + more)
        raise TrainingError(
            f"{path}: a checkpoint of another run; then -> now:{listed}\n"
            "Put it back as it was, or take another output_dir. "
            f"What may change: {', '.join(MAY_CHANGE)}{_PHASES_MAY if all(phases) else ''}."
        )
    if changes := length_changes(then, now):
        logger.warning(
            "%s: the run after %d updates goes on as another (%s); the learning rate follows the new plan from here on",
            path,
            saved["run"]["update"],
            ", ".join(changes),
        )


def _settings(saved: Mapping[str, Any], config: TrainingConfig) -> dict[str, Any]:
    """Those of a checkpoint. A field that an older plm did not know counts as having had its default."""
    defaults = {
        field.name: field.default for field in dataclasses.fields(config) if field.default is not dataclasses.MISSING
    }
    return {**defaults, **saved}


def _config_differences(then: Mapping[str, Any], now: Mapping[str, Any], *, update: int) -> list[str]:
    may_change, differences = set(MAY_CHANGE), []
    if then["lr_phases"] and now["lr_phases"]:
        may_change.add("lr_phases")
        differences = phase_differences(then["lr_phases"], now["lr_phases"], update=update)
        if not now["learning_rates"]:
            may_change.add("learning_rate")  # each phase says its own
    compared = ({name: value for name, value in each.items() if name not in may_change} for each in (then, now))
    return _differences("", *compared) + differences


def _differences(prefix: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names = list(dict.fromkeys([*then, *now]))
    return [
        f"{prefix}{name}: {then.get(name, 'none')} -> {now.get(name, 'none')}"
        for name in names
        if then.get(name) != now.get(name)
    ]


def _shapes(weights: Mapping[str, Any]) -> dict[str, str]:
    """Weights as texts to compare: type and shape. What a module keeps besides tensors is not compared."""
    return {
        name: f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
        for name, tensor in weights.items()
        if isinstance(tensor, Tensor)
    }
