"""The tensors of one checkpoint, found by the rules of a table whatever stands in front of their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from plm.checkpoints.name_map import NameMap, Place, Rule
from plm.errors import CheckpointError


class Source:
    """Tensors with wrappers taken off and spellings unified, and a record of which were used.

    wrapper: what was taken off most names. original: names as in the file, by names in the spelling of the rules.
    used: names of tensors taken so far.
    A part may carry any of the prefixes that its table allows, even several: the most frequent one comes first.
    Raises CheckpointError when two tensors end up under one name with different values.
    """

    def __init__(self, tensors: Mapping[str, Tensor], name_map: NameMap) -> None:
        self.name_map = name_map
        self.original: dict[str, str] = {}
        self.used: set[str] = set()
        self._tensors: dict[str, Tensor] = {}
        wrappers: Counter[str] = Counter()
        for original, tensor in tensors.items():
            wrapper, name = name_map.unwrap(original)
            self._add(name, original, tensor)
            wrappers[wrapper] += name_map.reason_to_ignore(name) is None
        self.wrapper = max(wrappers, key=lambda wrapper: wrappers[wrapper], default="")
        self._index()

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def prefix(self, part: str) -> str:
        """The prefix that most names of a part carry in this source."""
        return next(iter(self._prefixes.get(part, ())), self.name_map.prefixes_of(part)[0])

    def has(self, part: str) -> bool:
        """True when any tensor of a part is there, copies of others not counted. Parts may share their names."""
        if part not in self.name_map.parts:
            return any(name.startswith(f"{part}.") for name in self._tensors)
        return part in self._own

    def find(self, part: str, rule: Rule, number: int) -> str | None:
        """The source's name for a rule, with `{n}` = number, or None."""
        if part not in self.name_map.parts:
            return rule.theirs if rule.theirs in self._tensors else None
        names = self._places.get((part, rule.theirs, number), {})
        return next((names[prefix] for prefix in self._prefixes.get(part, ()) if prefix in names), None)

    def find_copy(self, ours: str) -> str | None:
        """The source's name of a tensor that repeats one of ours (a full name), or None."""
        return next(
            (
                name
                for part, rules in self.name_map.parts.items()
                for rule in rules
                if rule.tied_to == ours and (name := self.find(part, rule, 0)) is not None
            ),
            None,
        )

    def take(self, name: str) -> Tensor:
        """The tensor of that name, marked as used."""
        self.used.add(name)
        return self._tensors[name]

    def peek(self, name: str) -> Tensor:
        """The tensor of that name, not marked."""
        return self._tensors[name]

    def count(self, part: str) -> int:
        """How many numbers `{n}` takes in a part: one more than the highest."""
        return self._counts[part]

    def _add(self, name: str, original: str, tensor: Tensor) -> None:
        known = self._tensors.get(name)
        if known is not None and not (known.dtype == tensor.dtype and torch.equal(known, tensor)):
            raise CheckpointError(f"{original!r} and {self.original[name]!r} are the same tensor with other values")
        self._tensors[name] = tensor
        self.original[name] = original

    def _index(self) -> None:
        """Find the places of all names: by part, rule and number; then by prefix."""
        hits: dict[str, Counter[str]] = {}
        self._places: dict[tuple[str, str, int], dict[str, str]] = {}
        self._counts: Counter[str] = Counter()
        self._own: set[str] = set()
        for name in self._tensors:
            for place in self.name_map.places(name):
                if place.number < len(self._tensors):  # n blocks have at least n tensors: a hostile name asks for more
                    hits.setdefault(place.part, Counter())[place.prefix] += 1
                    self._place(name, place)
        self._prefixes = {part: [prefix for prefix, _ in counter.most_common()] for part, counter in hits.items()}

    def _place(self, name: str, place: Place) -> None:
        names = self._places.setdefault((place.part, place.rule.theirs, place.number), {})
        if name == place.prefix + place.rule.theirs_at(place.number):
            names[place.prefix] = name
        else:
            names.setdefault(place.prefix, name)  # an alias, for want of something better
        if "{n}" in place.rule.theirs:
            self._counts[place.part] = max(self._counts[place.part], place.number + 1)
        if place.rule.tied_to is None:
            self._own.add(place.part)
