"""The state dict inside what a training script saved: `{"model": state_dict, "optimizer": ..., "epoch": ...}`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from plm.errors import CheckpointError

_WRAPPERS = ("model", "state_dict", "model_state_dict", "module")
_DEEPEST = 8


def unwrapped(saved: object, is_weight: Callable[[object], bool], path: Path) -> Mapping[str, object]:
    """The innermost mapping under the usual names of wrappers that holds weights.

    is_weight: whether a value is a weight in this format.
    Raises CheckpointError, listing the names found, when there is none.
    """
    for _ in range(_DEEPEST):
        if not isinstance(saved, Mapping):
            raise CheckpointError(f"{path}: expected names and tensors, found {type(saved).__name__}")
        inside = [saved[name] for name in _WRAPPERS if isinstance(saved.get(name), Mapping)]
        if inside:
            saved = inside[0]
        elif any(is_weight(value) for value in saved.values()):
            return {str(name): value for name, value in saved.items()}
        else:
            break
    names = ", ".join(repr(name)[:80] for name in list(saved)[:10]) if isinstance(saved, Mapping) else ""
    raise CheckpointError(
        f"{path}: no weights found; looked at the top and under {', '.join(_WRAPPERS)}, found the names: {names or '-'}"
    )
