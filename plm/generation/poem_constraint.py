"""What a plan allows: the vocabulary of a poet by tone and rhyme, and a constraint that follows one plan a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from plm.poetry.characters import is_han
from plm.poetry.plan import Plan
from plm.poetry.rhyme_books import RhymeBook
from plm.poetry.tones import Want


class Lexicon:
    """The characters of a vocabulary by what they may be used for, as masks over it.

    ids: token to id. characters: those that are Han.
    """

    def __init__(self, ids: Mapping[str, int], size: int, device: torch.device) -> None:
        self.ids = dict(ids)
        self.characters = {token: id_ for token, id_ in ids.items() if is_han(token)}
        self._size, self._device = size, device
        self._masks: dict[tuple[str, Want, str | None], Tensor] = {}

    def mask(self, book: RhymeBook, want: Want, rhyme: str | None) -> Tensor:
        """(vocab_size,), bool: characters that may stand where a tone, and perhaps a rhyme, is wanted.

        rhyme: a class of the book, or None. The mask is kept: do not change it.
        """
        key = (book.name, want, rhyme)
        if key not in self._masks:
            self._masks[key] = self.only(id_ for one, id_ in self.characters.items() if book.allows(one, want, rhyme))
        return self._masks[key]

    def only(self, ids: Iterable[int]) -> Tensor:
        """(vocab_size,), bool: these tokens alone."""
        mask = torch.zeros(self._size, dtype=torch.bool, device=self._device)
        mask[torch.tensor(list(ids), dtype=torch.int64, device=self._device)] = True
        return mask


class PlanConstraint:
    """A LogitsConstraint: row i writes plan i. After its end a row may hold anything.

    A rhyme word comes once; a plan has a rhyme of which the lexicon knows enough.
    """

    def __init__(self, plans: Sequence[tuple[Plan, RhymeBook]], lexicon: Lexicon) -> None:
        self._plans, self._lexicon = plans, lexicon

    def __call__(self, step: int, ids: Tensor) -> Tensor:
        """See LogitsConstraint."""
        return torch.stack([self._allowed(row, step, ids[row]) for row in range(len(self._plans))])

    def _allowed(self, row: int, step: int, ids: Tensor) -> Tensor:
        plan, book = self._plans[row]
        if step >= len(plan.slots):
            return torch.ones_like(self._lexicon.mask(book, "any", None))
        slot = plan.slots[step]
        if slot.given is not None:
            return self._lexicon.only([self._lexicon.ids[slot.given]])
        wish = slot.wish
        if not wish.rhymes:
            return self._lexicon.mask(book, wish.tone, None)
        used = [int(ids[place]) for place, past in enumerate(plan.slots[:step]) if past.wish.rhymes]
        used += [self._lexicon.ids[one.given] for one in plan.slots[step:] if one.wish.rhymes and one.given is not None]
        return self._lexicon.mask(book, wish.tone, plan.rhyme) & ~self._lexicon.only(used)


class FewRepetitions:
    """A LogitsProcessor: a character loses `penalty` nats each time that it occurred, unless just before (叠字)."""

    def __init__(self, penalty: float, lexicon: Lexicon) -> None:
        self._penalty = penalty
        self._is_character = lexicon.only(lexicon.characters.values())

    def __call__(self, step: int, ids: Tensor, logits: Tensor) -> Tensor:
        """See LogitsProcessor."""
        if step < 2:
            return logits
        past = ids[:, :-1]
        counts = torch.zeros_like(logits).scatter_add_(1, past, torch.ones_like(past, dtype=logits.dtype))
        doubled = torch.zeros_like(counts).scatter_(1, ids[:, -1:], counts.gather(1, ids[:, -1:]))
        return logits - self._penalty * (counts - doubled) * self._is_character
