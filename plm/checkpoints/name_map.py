"""One table of names for each outside layout, read in both directions.

A `Rule` pairs one of our names with one of theirs; a `NameMap` is a table of rules by part of the model. Reading takes
tensors out of a file (plm.checkpoints.source) and follows the rules; writing follows the same rules with every
transform undone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from plm.checkpoints.transforms import Transform
from plm.errors import CheckpointError, ShapeError
from plm.registry import Registry

# A number as it stands in names: no more digits than any block needs, no leading zeros.
_NUMBER = re.compile("(?<![0-9])(?:0|[1-9][0-9]{0,8})(?![0-9])")

# Names that training frameworks put in front of everything, alone or one behind the other.
WRAPPERS = ("module.", "_orig_mod.", "model.", "network.", "state_dict.")


@dataclass(frozen=True)
class Rule:
    """One of their tensors and one (or several, stacked) of ours.

    ours: name relative to its part; `{n}` stands for a number. A tuple: theirs holds these, stacked along the first
        dimension once transformed (a fused query-key-value matrix).
    theirs: their name, with `{n}` where ours has it.
    transforms: applied in this order when reading, undone in reverse order when writing.
    aliases: other spellings of theirs, for reading only.
    tied_to: our full name of a tensor that this one only repeats, unless the model has both.
    beside: one of ours, relative to its part, without which theirs is only a copy of what another rule names.
    """

    ours: str | tuple[str, ...]
    theirs: str
    transforms: tuple[Transform, ...] = ()
    aliases: tuple[str, ...] = ()
    tied_to: str | None = None
    beside: str | None = None

    @property
    def is_copy(self) -> bool:
        """True when theirs usually repeats another tensor."""
        return self.tied_to is not None or self.beside is not None

    @property
    def names(self) -> tuple[str, ...]:
        """Ours, always as a tuple."""
        return (self.ours,) if isinstance(self.ours, str) else self.ours

    def ours_at(self, number: int) -> list[str]:
        """Our names with `{n}` = number."""
        return [name.replace("{n}", str(number)) for name in self.names]

    def theirs_at(self, number: int) -> str:
        """Their name with `{n}` = number."""
        return self.theirs.replace("{n}", str(number))

    def applies(self, names: Container[str], number: int) -> bool:
        """True when a part has everything that the rule speaks of. names: ours of that part."""
        return (self.beside is None or self.beside in names) and all(name in names for name in self.ours_at(number))

    def read(self, tensor: Tensor) -> tuple[Tensor, ...]:
        """Their tensor -> ours, one for each of `names`. Raises ShapeError when it cannot be transformed or cut."""
        count = len(self.names)
        try:
            for transform in self.transforms:
                tensor = transform.read(tensor)
        except (RuntimeError, IndexError) as error:
            raise ShapeError(f"shape {tuple(tensor.shape)} cannot be read as {self.names[0]}: {error}") from error
        if count == 1:
            return (tensor,)
        if tensor.dim() == 0 or tensor.shape[0] % count:
            raise ShapeError(f"shape {tuple(tensor.shape)} cannot be cut into {count} equal parts")
        return tensor.chunk(count)

    def write(self, tensors: Sequence[Tensor]) -> Tensor:
        """Ours -> their tensor."""
        tensor = torch.cat(list(tensors)) if len(tensors) > 1 else tensors[0]
        for transform in reversed(self.transforms):
            tensor = transform.write(tensor)
        return tensor


@dataclass(frozen=True)
class Place:
    """Where one of their names belongs: part of the table, rule, number for `{n}`, and what stood in front."""

    part: str
    rule: Rule
    number: int
    prefix: str


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
    has_config: False = the source comes without a config file; tensors and `defaults` tell everything.
    layouts: names in plm.checkpoints.saving.TARGETS that write this table.
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
    has_config: bool = True
    layouts: tuple[str, ...] = ()

    def prefixes_of(self, part: str) -> tuple[str, ...]:
        """Prefixes that names of a part may carry."""
        return self.prefixes if part == "backbone" else self.head_prefixes

    def rules_of(self, part: str, ours: Iterable[str]) -> tuple[Rule, ...]:
        """The rules of a part. A part that the table does not know, of a head from elsewhere, keeps our names.

        ours: names of the part's parameters, relative to it.
        """
        if part in self.parts:
            return self.parts[part]
        return tuple(Rule(name, f"{part}.{name}") for name in ours)

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

    def unwrap(self, name: str) -> tuple[str, str]:
        """A name of the source as (what a training framework put in front, the rest in the spelling of the rules)."""
        wrapper, rest = "", name
        while not self.knows(self.spell(rest)):
            prefix = next((prefix for prefix in WRAPPERS if rest.startswith(prefix)), None)
            if prefix is None:
                break
            wrapper, rest = wrapper + prefix, rest[len(prefix) :]
        return wrapper, self.spell(rest)

    def knows(self, name: str) -> bool:
        """True when a name in the spelling of the rules belongs somewhere."""
        return any(template in self._known for template, _ in _templates(name)) or any(
            name.endswith(theirs) for theirs, _, _ in self._known_endings
        )

    def places(self, name: str) -> list[Place]:
        """Everywhere a name in the spelling of the rules may belong; heads of one kind share names."""
        found = [
            Place(part, rule, number, prefix)
            for template, number in _templates(name)
            for part, rule, prefix in self._known.get(template, ())
        ]
        return found or [
            Place(part, rule, 0, name.removesuffix(theirs))
            for theirs, part, rule in self._known_endings
            if name.endswith(theirs)
        ]

    @cached_property
    def _known(self) -> Mapping[str, Sequence[tuple[str, Rule, str]]]:
        """Every name with `{n}` that the rules know -> (part, rule, prefix)."""
        known: dict[str, list[tuple[str, Rule, str]]] = {}
        for part, rule, theirs in self._spellings():
            for prefix in self.prefixes_of(part):
                known.setdefault(prefix + theirs, []).append((part, rule, prefix))
        return known

    @cached_property
    def _known_endings(self) -> Sequence[tuple[str, str, Rule]]:
        """(their name, part, rule) of parts before whose names anything may stand."""
        return [(theirs, part, rule) for part, rule, theirs in self._spellings() if "*" in self.prefixes_of(part)]

    def _spellings(self) -> Iterator[tuple[str, Rule, str]]:
        """(part, rule, their name) with every alias."""
        for part, rules in self.parts.items():
            for rule in rules:
                for theirs in (rule.theirs, *rule.aliases):
                    yield part, rule, theirs


MAPS: Registry[NameMap] = Registry("checkpoint layout")


def table_for(layout: str, model_type: str) -> NameMap | None:
    """The table with which a layout (a name in plm.checkpoints.saving.TARGETS) writes a family; None = it cannot."""
    return next(
        (table for _, table in MAPS.items() if layout in table.layouts and model_type in table.families),
        None,
    )


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
    for rule, number in expand(name_map.rules_of(part, state), count):
        if rule.applies(state, number):
            names = rule.ours_at(number)
            written[prefix + rule.theirs_at(number)] = rule.write([state[name] for name in names])
            covered.update(names)
    left = [name for name in state if name not in covered]
    if left:
        raise CheckpointError(f"the layout {name_map.name!r} has no name for {left[0]!r} of the part {part!r}")
    return written


def score(tensors: Collection[str], name_map: NameMap) -> float:
    """Share of a source's names that a table knows, ignored ones left out: the best table explains the most."""
    names = [name_map.unwrap(name)[1] for name in tensors]
    names = [name for name in names if name_map.reason_to_ignore(name) is None]
    return sum(map(name_map.knows, names)) / max(len(names), 1)


def _templates(name: str) -> Iterator[tuple[str, int]]:
    """A name as it is, and with each of its numbers in turn as `{n}`: "h.0.ln_1" -> "h.{n}.ln_1", "h.0.ln_{n}"."""
    yield name, 0
    for number in _NUMBER.finditer(name):
        yield f"{name[: number.start()]}{{n}}{name[number.end() :]}", int(number[0])
