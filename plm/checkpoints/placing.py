"""Where the tensors of a checkpoint belong, told by the table of names alone: works for what cannot be loaded too."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from plm.checkpoints.name_map import Rule, expand
from plm.checkpoints.source import Source
from plm.heads.head import HEADS

Role = Literal["weight", "copy", "ignored", "unknown"]


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """One tensor of a checkpoint.

    name: in the source. shape, dtype: as stored ("float32").
    role: "weight" = becomes parameters; "copy" = repeats another one; "ignored" = no weight, `reason` says why;
        "unknown" = no rule knows it.
    part: of the table ("backbone", "classifier", ...), or None. ours: the names of our parameters inside the part.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    role: Role
    size: int
    part: str | None = None
    ours: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def place(self) -> str:
        """Where it belongs, for people."""
        if self.part is None:
            return f"{self.role}: {self.reason or 'no rule has this name'}"
        return f"{self.part}: {', '.join(self.ours)}"

    @property
    def numel(self) -> int:
        """Number of values."""
        count = 1
        for size in self.shape:
            count *= size
        return count


def place_tensors(source: Source, heads: Collection[str], *, own: Collection[str] = ()) -> list[StoredTensor]:
    """Every tensor of a source with its place, in the order of the source.

    heads: those stored; where two parts share a name, theirs wins. own: names of heads stored under our own names.
    """
    rules: dict[str, tuple[str, Rule, int]] = {}
    for part in _parts_in_order(source, heads):
        for rule, number in expand(source.name_map.parts[part], source.count(part) or 1):
            name = source.find(part, rule, number)
            if name is not None:
                rules.setdefault(name, (part, rule, number))
    for part in (f"heads.{head}" for head in own):
        for name in (name for name in source if name.startswith(f"{part}.")):
            rules[name] = (part, Rule(name.removeprefix(f"{part}."), name), 0)
    return [_placed(source, name, rules.get(name)) for name in source]


def plain_tensors(tensors: Mapping[str, Tensor]) -> list[StoredTensor]:
    """Tensors for which no table is known."""
    return [_described(name, tensor, role="unknown") for name, tensor in tensors.items()]


def missing_names(source: Source, layers: int | None = None) -> list[str]:
    """Backbone tensors that other blocks have and some block lacks, by the source's names.

    layers: blocks that there should be; None = up to the highest number found. Tensors that no block has may belong
    to another kind of model and do not count.
    """
    rules = source.name_map.parts["backbone"]
    count = source.count("backbone") if layers is None else min(layers, len(source.original) + 1)  # a config may lie
    places = [(rule, number) for rule, number in expand(rules, count) if "{n}" in rule.theirs and rule.tied_to is None]
    found = {(rule, number): source.find("backbone", rule, number) is not None for rule, number in places}
    used = {rule for (rule, _), is_there in found.items() if is_there}
    prefix = source.prefix("backbone")
    return [
        prefix + rule.theirs.replace("{n}", str(number))
        for rule, number in places
        if rule in used and not found[rule, number]
    ]


def _parts_in_order(source: Source, heads: Collection[str]) -> list[str]:
    """The backbone, parts of the stored heads, then the others."""
    of_heads = [part for head in heads if head in HEADS for _, part in HEADS.get(head).parts]
    wanted = dict.fromkeys(["backbone", *of_heads, *source.name_map.parts])
    return [part for part in wanted if part in source.name_map.parts]


def _placed(source: Source, name: str, place: tuple[str, Rule, int] | None) -> StoredTensor:
    tensor, original = source.peek(name), source.original[name]
    reason = source.name_map.reason_to_ignore(name)
    if place is None:
        return _described(original, tensor, role="unknown" if reason is None else "ignored", reason=reason)
    part, rule, number = place
    ours = tuple(one.replace("{n}", str(number)) for one in rule.names)
    role: Role = "copy" if rule.is_copy else "weight"
    return _described(original, tensor, role=role, part=part, ours=ours)


def _described(
    name: str,
    tensor: Tensor,
    *,
    role: Role,
    part: str | None = None,
    ours: tuple[str, ...] = (),
    reason: str | None = None,
) -> StoredTensor:
    return StoredTensor(
        name=name,
        shape=tuple(tensor.shape),
        dtype=str(tensor.dtype).removeprefix("torch."),
        role=role,
        size=tensor.numel() * tensor.dtype.itemsize,
        part=part,
        ours=ours,
        reason=reason,
    )
