"""Nested state as tensors and JSON, exact both ways and without pickle: what optimizers and callbacks remember.

JSON knows no tuples, no keys but strings, no NaN and no tensors. Each of these becomes an object with one key that
starts with "$"; everything else is written as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from plm.errors import CheckpointError, TrainingError
from plm.training.distributed import is_spread

Tree = Any
"""None, bool, int, float, str, Tensor, and lists, tuples and dicts of them; keys of dicts are str or int."""


def pack(tree: Tree) -> tuple[Any, dict[str, Tensor]]:
    """A tree as JSON values, and its tensors by names that tell where they stood ("optimizer/state/3/exp_avg").

    A tensor that stands in several places, as tied weights do, is given once. Tensors are not copied.
    Raises TrainingError naming the place of a value that is none of Tree.
    """
    packer = _Packer()
    return packer.values(tree, ""), packer.tensors


def unpack(values: Any, tensors: Mapping[str, Tensor]) -> Tree:
    """The tree that `pack` was given. Raises CheckpointError when a tensor is missing or a tag is unknown."""
    if isinstance(values, list):
        return [unpack(value, tensors) for value in values]
    if not isinstance(values, dict):
        return values
    if len(values) == 1 and (tag := next(iter(values))).startswith("$"):
        try:
            return _TAGS[tag](values[tag], tensors)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{tag} of {str(values[tag])[:80]!r}: not what plm writes ({error!r})") from error
    return {key: unpack(value, tensors) for key, value in values.items()}


class _Packer:
    """One walk over a tree."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[tuple[object, ...], str] = {}

    def values(self, tree: Tree, path: str) -> Any:
        """`tree` as JSON. path: where it stands."""
        if tree is None or isinstance(tree, (bool, int, str)):
            return tree
        if isinstance(tree, float):
            return float(tree) if math.isfinite(tree) else {"$float": repr(float(tree))}
        if isinstance(tree, Tensor):
            return {"$tensor": self._named(tree.detach(), path)}
        if isinstance(tree, (list, tuple)):
            items = [self.values(item, f"{path}/{place}") for place, item in enumerate(tree)]
            return items if isinstance(tree, list) else {"$tuple": items}
        if isinstance(tree, Mapping) and all(type(key) in (str, int) for key in tree):
            entries = [(key, self.values(value, f"{path}/{key}" if path else str(key))) for key, value in tree.items()]
            is_plain = all(isinstance(key, str) and not key.startswith("$") for key in tree)
            return dict(entries) if is_plain else {"$items": [list(entry) for entry in entries]}
        raise TrainingError(
            f"{path or 'state'}: a checkpoint cannot hold {type(tree).__name__}; it holds None, numbers, strings, "
            "tensors, and lists, tuples and dicts of them (keys: str or int)"
        )

    def _named(self, tensor: Tensor, path: str) -> str:
        # Processes that hold parts of a tensor could not tell from their parts, alike, that it stands elsewhere too.
        address = id(tensor) if is_spread(tensor) else tensor.data_ptr()
        place = (address, tensor.device, tensor.dtype, tuple(tensor.shape), tensor.stride())
        if tensor.numel() and place in self._names:
            return self._names[place]
        name = path or "tensor"
        while name in self.tensors:  # the keys {"a/b": ...} and {"a": {"b": ...}} lead to one path
            name += "'"
        self.tensors[name], self._names[place] = tensor, name
        return name


_FLOATS = {repr(value): value for value in (math.nan, math.inf, -math.inf)}

# tag -> (what stands under it, all tensors) -> value
_TAGS: Mapping[str, Callable[[Any, Mapping[str, Tensor]], Tree]] = {
    "$tensor": lambda name, tensors: tensors[name],
    "$tuple": lambda items, tensors: tuple(unpack(item, tensors) for item in items),
    "$items": lambda entries, tensors: {key: unpack(value, tensors) for key, value in entries},
    "$float": lambda text, tensors: _FLOATS[text],
}
