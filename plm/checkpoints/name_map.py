"""One table of names for each outside layout, read in both directions.

A `Rule` pairs one of our names with one of theirs; a `NameMap` is a table of rules by part of the model. Reading walks
the table and takes tensors out of the source; writing walks the same table with every transform undone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from plm.checkpoints.transforms import Transform
from plm.errors import CheckpointError
from plm.registry import Registry

# Names that training frameworks put in front of everything.
WRAPPERS = ("module.", "_orig_mod.", "model.", "network.", "state_dict.")


@dataclass(frozen=True)
class Rule:
    """One of their tensors and one (or several, stacked) of ours.

    ours: name relative to its part; `{n}` stands for a number. A tuple: theirs holds these, stacked along the first
        dimension once transformed (a fused query-key-value matrix).
    theirs: their name, with `{n}` where ours has it.
    transforms: applied in this order when reading, undone in reverse order when writing.
    aliases: other spellings of theirs, for reading only.
    optional: True = a model may be complete without it.
    tied_to: our full name of a tensor that this one only repeats; it is compared, not loaded, and never written.
    """

    ours: str | tuple[str, ...]
    theirs: str
    transforms: tuple[Transform, ...] = ()
    aliases: tuple[str, ...] = ()
    optional: bool = False
    tied_to: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Ours, always as a tuple."""
        return (self.ours,) if isinstance(self.ours, str) else self.ours

    def read(self, tensor: Tensor) -> tuple[Tensor, ...]:
        """Their tensor -> ours, one for each of `names`."""
        for transform in self.transforms:
            tensor = transform.read(tensor)
        return tensor.chunk(len(self.names)) if len(self.names) > 1 else (tensor,)

    def write(self, tensors: Sequence[Tensor]) -> Tensor:
        """Ours -> their tensor."""
        tensor = torch.cat(list(tensors)) if len(tensors) > 1 else tensors[0]
        for transform in reversed(self.transforms):
            tensor = transform.write(tensor)
        return tensor


@dataclass(frozen=True, kw_only=True)
class NameMap:
    """How one source names the tensors of a family, and what its numbers mean.

    families: model types that may be stored so, the most likely first.
    formats: container formats that carry it; empty = any.
    parts: rules by part ("backbone", "language_model", "classifier", ...; see HeadSpec.parts).
    prefixes: what may stand before backbone names, the one to write first.
    head_prefixes: what may stand before head names, the one to write first; "*" = anything.
    clean: their name as found in a file -> as the rules spell it, for reading only.
    aliases: (their suffix, suffix in the rules), for reading only.
    ignored: (pattern with *, reason) of names that are no weights of the model.
    refused: (pattern with *, reason) of tensors without which the model would be another one.
    activations: what `hidden_act` means in this source where it is not what it says ("gelu" may be the tanh form).
    defaults: config values where the config file is silent: what this source has in its code instead.
    writable: True = `convert --to` may write it.
    """

    name: str
    families: tuple[str, ...]
    formats: tuple[str, ...] = ()
    parts: Mapping[str, tuple[Rule, ...]]
    prefixes: tuple[str, ...] = ("",)
    head_prefixes: tuple[str, ...] = ("",)
    clean: Callable[[str], str] = str
    aliases: tuple[tuple[str, str], ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    activations: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    writable: bool = False

    def prefixes_of(self, part: str) -> tuple[str, ...]:
        """Prefixes that names of a part may carry."""
        return self.prefixes if part == "backbone" else self.head_prefixes

    def reason_to_ignore(self, name: str) -> str | None:
        """Why a tensor is no weight of the model, or None."""
        return next((reason for pattern, reason in self.ignored if fnmatchcase(name, pattern)), None)

    def spell(self, name: str) -> str:
        """A name of the source in the spelling of the rules."""
        name = self.clean(name)
        for theirs, ours in self.aliases:
            if name.endswith(theirs):
                return name[: -len(theirs)] + ours
        return name


MAPS: Registry[NameMap] = Registry("checkpoint layout")


class Source:
    """Tensors of one checkpoint, with wrappers taken off and spellings unified, and a record of which were used.

    Raises CheckpointError when two tensors end up under one name with different values.
    """

    def __init__(self, tensors: Mapping[str, Tensor], name_map: NameMap) -> None:
        self.wrapper = _wrapper(tensors, name_map)
        self.original: dict[str, str] = {}
        self.used: set[str] = set()
        self._tensors: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            spelled = name_map.spell(name.removeprefix(self.wrapper))
            if spelled in self._tensors and not torch.equal(self._tensors[spelled], tensor):
                raise CheckpointError(f"{name!r} and {self.original[spelled]!r} are the same tensor with other values")
            self._tensors[spelled] = tensor
            self.original[spelled] = name
        self.name_map = name_map
        self._prefixes = {part: self._find_prefix(part) for part in name_map.parts}

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def prefix(self, part: str) -> str:
        """The prefix that names of a part carry in this source."""
        return self._prefixes[part]

    def has(self, part: str) -> bool:
        """True when any tensor of a part is there. A part may share its names with another part."""
        return any(
            self.find(part, rule, 0) is not None for rule in self.name_map.parts.get(part, ()) if not rule.tied_to
        )

    def find(self, part: str, rule: Rule, number: int) -> str | None:
        """The source's name for a rule, with `{n}` = number, or None."""
        prefix = self._prefixes[part]
        for template in (rule.theirs, *rule.aliases):
            name = prefix + template.replace("{n}", str(number))
            if name in self._tensors:
                return name
        return None

    def take(self, name: str) -> Tensor:
        """The tensor of that name, marked as used."""
        self.used.add(name)
        return self._tensors[name]

    def peek(self, name: str) -> Tensor:
        """The tensor of that name, not marked."""
        return self._tensors[name]

    def count(self, part: str) -> int:
        """How many numbers `{n}` takes in a part: one more than the highest."""
        highest = -1
        for rule in self.name_map.parts.get(part, ()):
            for template in (rule.theirs, *rule.aliases):
                if "{n}" in template:
                    highest = max(highest, *self._numbers(self._prefixes[part] + template), -1)
        return highest + 1

    def _numbers(self, template: str) -> list[int]:
        before, _, after = template.partition("{n}")
        return [
            int(middle)
            for name in self._tensors
            if name.startswith(before) and name.endswith(after) and len(name) > len(before) + len(after)
            if (middle := name[len(before) : len(name) - len(after)]).isdecimal() and len(middle) < 7
        ]

    def _find_prefix(self, part: str) -> str:
        """The allowed prefix under which most names of a part are found."""
        choices = list(self.name_map.prefixes_of(part))
        templates = [name for rule in self.name_map.parts[part] for name in (rule.theirs, *rule.aliases)]
        if "*" in choices:
            choices.remove("*")
            first = templates[0].replace("{n}", "0")
            choices += [name.removesuffix(first) for name in self._tensors if name.endswith(first)]
        hits = {
            prefix: sum(prefix + template.replace("{n}", "0") in self._tensors for template in templates)
            for prefix in choices
        }
        return max(hits, key=lambda prefix: hits[prefix])


def expand(rules: Collection[Rule], count: int) -> Iterator[tuple[Rule, int]]:
    """Every rule with every number it takes: 0 to count - 1 where it has `{n}`, else 0 once."""
    for rule in rules:
        for number in range(count if "{n}" in rule.theirs else 1):
            yield rule, number


def write_part(
    name_map: NameMap, part: str, state: Mapping[str, Tensor], *, count: int, prefix: str
) -> dict[str, Tensor]:
    """Their names and tensors for one part of a model.

    state: our tensors by name relative to the part; those found are written. count: numbers that `{n}` takes.
    Raises CheckpointError when the table has no rule for a tensor.
    """
    written: dict[str, Tensor] = {}
    covered: set[str] = set()
    for rule, number in expand(name_map.parts.get(part, ()), count):
        names = [name.replace("{n}", str(number)) for name in rule.names]
        if all(name in state for name in names):
            written[prefix + rule.theirs.replace("{n}", str(number))] = rule.write([state[name] for name in names])
            covered.update(names)
    left = [name for name in state if name not in covered]
    if left:
        raise CheckpointError(f"the layout {name_map.name!r} has no name for {left[0]!r} of the part {part!r}")
    return written


def score(tensors: Collection[str], name_map: NameMap) -> float:
    """Share of a source's names that a table knows, ignored ones left out: the best table explains the most."""
    known = {prefix + template for part, rules in name_map.parts.items() for prefix in name_map.prefixes_of(part)
             for rule in rules for template in (rule.theirs, *rule.aliases)}  # fmt: skip
    names = [name for name in tensors if name_map.reason_to_ignore(name) is None]
    hits = sum(_generic(name_map.spell(_unwrap(name)), known) for name in names)
    return hits / max(len(names), 1)


def _generic(name: str, known: Collection[str]) -> bool:
    """Is a name in a set of templates, with any one of its numbers read as `{n}`?"""
    if name in known:
        return True
    start = 0
    while start < len(name):
        if not name[start].isdecimal():
            start += 1
            continue
        end = start
        while end < len(name) and name[end].isdecimal():
            end += 1
        if name[:start] + "{n}" + name[end:] in known:
            return True
        start = end
    return False


def _unwrap(name: str) -> str:
    stripped = name
    while any(stripped.startswith(wrapper) for wrapper in WRAPPERS):
        stripped = stripped.removeprefix(next(w for w in WRAPPERS if stripped.startswith(w)))
    return stripped


def _wrapper(tensors: Mapping[str, Tensor], name_map: NameMap) -> str:
    """The run of wrapper prefixes that all weights carry, or an empty string."""
    names = [name for name in tensors if name_map.reason_to_ignore(name) is None]
    wrapper = ""
    while names and any(all(name.startswith(wrapper + one) for name in names) for one in WRAPPERS):
        wrapper += next(one for one in WRAPPERS if all(name.startswith(wrapper + one) for name in names))
    return wrapper
