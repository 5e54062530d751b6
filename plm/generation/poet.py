"""A poet: a causal model of poems that writes what it is asked for, in correct form."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from plm.blocks.linear import pack
from plm.checkpoints.dtypes import as_dtype
from plm.checkpoints.hub import resolve
from plm.checkpoints.loading import load_model
from plm.errors import CheckpointError
from plm.generation.config import GenerationConfig
from plm.generation.generating import Sequences, generate
from plm.generation.poem_constraint import FewRepetitions, Lexicon, PlanConstraint
from plm.heads.model import Model
from plm.poetry.checking import check
from plm.poetry.cleaning import COMMA, STOP
from plm.poetry.known_lines import KnownLines
from plm.poetry.plan import Plan, Planner
from plm.poetry.prompt import FORM_TOKENS, SEP, prompt_tokens
from plm.poetry.report import Report
from plm.poetry.request import MOST_CANDIDATES, PoemRequest
from plm.poetry.script import to_simplified, to_traditional
from plm.tokenizers import Tokenizer, load_tokenizer

EMBEDDED = "plm/poet"


@dataclass(frozen=True)
class Poem:
    """A poem that was written.

    lines: without marks, in the script that was asked for. title: that of the wish. score: mean log-probability of the
    characters that the model chose, under the model as it is. report: how it keeps its form (in simplified characters).
    copied: its lines that stand in the training data, but for those that were given. given: line and place of what
    was, counted from 1.
    """

    lines: tuple[str, ...]
    form: str
    title: str
    score: float
    report: Report
    copied: tuple[str, ...]
    given: tuple[tuple[int, int], ...]

    @property
    def text(self) -> str:
        """The lines with their marks, two a row."""
        last = len(self.lines) - 1
        marks = (STOP if place % 2 or place == last else COMMA for place in range(len(self.lines)))
        marked = [line + mark for line, mark in zip(self.lines, marks, strict=True)]
        return "\n".join("".join(marked[start : start + 2]) for start in range(0, len(marked), 2))

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "title": self.title,
            "lines": list(self.lines),
            "form": self.form,
            "score": self.score,
            "copied": list(self.copied),
            "given": [list(place) for place in self.given],
            "report": self.report.to_dict(),
        }


class Poet:
    """Writes poems.

        poet = Poet.from_pretrained("plm/poet")
        print(poet.write(PoemRequest(mode="acrostic", text="人工智能", seed=7))[0].text)

    model: causal, trained by `plm train` with the task "poems". known: lines that it has learned; None = not told.
    rows: poems that are made at once, at most.
    Raises CheckpointError for a model that was not trained so.
    """

    def __init__(self, model: Model, tokenizer: Tokenizer, *, known: KnownLines | None = None, rows: int = 64) -> None:
        ids = tokenizer.get_vocab()
        if missing := [token for token in (*FORM_TOKENS.values(), SEP) if token not in ids]:
            raise CheckpointError(f"not a model of poems: its vocabulary lacks {', '.join(missing)}")
        self.model, self.tokenizer, self.known, self.rows = model.eval(), tokenizer, known, rows
        pack(self.model)
        self._lexicon = Lexicon(ids, model.config.vocab_size, model.device)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path = EMBEDDED, *, dtype: str = "float32", rows: int = 64) -> Poet:
        """From a folder that `plm train` wrote, a hub name, or the one that comes with plm.

        dtype: "float32", "bfloat16" or "float16".
        """
        folder = resolve(name_or_path)
        model, report = load_model(folder, heads=("causal_lm",), dtype=as_dtype(dtype))
        if random := [*report.missing, *report.mismatched]:
            raise CheckpointError(f"{report.source}: not a model of poems, it lacks {', '.join(random[:3])}")
        return cls(model, load_tokenizer(folder), known=KnownLines.load(folder), rows=rows)

    @property
    def characters(self) -> Collection[str]:
        """The characters that it knows."""
        return self._lexicon.characters.keys()

    def write(self, request: PoemRequest) -> list[Poem]:
        """The n best of the candidates, best first.

        Raises PoemError for a wish that no poem can meet, UnknownNameError for unknown names.
        """
        return self.write_all([request])[0]

    def write_all(self, requests: Sequence[PoemRequest]) -> list[list[Poem]]:
        """The same for many wishes at once. A poem does not depend on what else is written."""
        planners = [Planner(request, self.characters) for request in requests]
        groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for place, request in enumerate(requests):
            groups[_alike(request)].append(place)
        found: dict[int, list[Poem]] = {}
        batches = [batch for group in groups.values() for batch in _batches(group, requests, self.rows)]
        for batch in tqdm(batches, desc="writing", unit="batch", disable=None if len(batches) > 3 else True):
            found |= zip(batch, self._written([planners[place] for place in batch]), strict=True)
        return [found[place] for place in range(len(requests))]

    def _written(self, planners: Sequence[Planner]) -> list[list[Poem]]:
        """Poems of wishes that are sampled alike."""
        wish = planners[0].request
        drafts = [
            _Draft(planner, planner.plan(number), number)
            for planner in planners
            for number in range(_candidates(planner.request))
        ]
        prompts = [self._prompt(draft) for draft in drafts]
        width, steps = max(map(len, prompts)), max(len(draft.plan.slots) for draft in drafts)
        made = generate(
            self.model,
            self._rows([0] * (width - len(prompt)) + prompt for prompt in prompts),
            GenerationConfig(
                max_new_tokens=steps,
                do_sample=True,
                temperature=wish.temperature,
                top_k=wish.top_k,
                top_p=wish.top_p,
                stop_token_ids=(self._lexicon.ids[SEP],),
            ),
            attention_mask=self._rows([0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts),
            token_type_ids=self._rows([0] * (width - 1) + draft.numbers[:1] for draft in drafts),
            new_token_types=self._rows(draft.numbers[1:] + [0] * (steps + 1 - len(draft.numbers)) for draft in drafts),
            seeds=[draft.seed for draft in drafts],
            constraints=[PlanConstraint([(draft.plan, draft.planner.book) for draft in drafts], self._lexicon)],
            processors=[FewRepetitions(wish.repetition, self._lexicon)] if wish.repetition else [],
        )
        poems = iter([self._poem(draft, made, row) for row, draft in enumerate(drafts)])
        return [_best(planner.request, list(islice(poems, _candidates(planner.request)))) for planner in planners]

    def _rows(self, rows: Iterable[list[int]]) -> Tensor:
        return torch.tensor(list(rows), device=self.model.device)

    def _prompt(self, draft: _Draft) -> list[int]:
        title = to_simplified(draft.planner.request.title)
        known = "".join(one for one in title if one in self._lexicon.characters)
        return [self._lexicon.ids[token] for token in prompt_tokens(draft.plan.token, known)]

    def _poem(self, draft: _Draft, made: Sequences, row: int) -> Poem:
        request, plan = draft.planner.request, draft.plan
        tokens = self.tokenizer.convert_ids_to_tokens(made.text_ids(row))
        lines, chosen = [""] * len(plan.form.lengths), [False] * len(plan.form.lengths)
        for slot, token in zip(plan.slots, tokens, strict=True):
            if slot.wish.mark is None:
                lines[slot.line] += token
                chosen[slot.line] |= slot.given is None
        free = [place for place, slot in enumerate(plan.slots) if slot.given is None]
        report = check(
            lines,
            plan.form,
            book=draft.planner.book,
            order=plan.order.name,
            strict=request.strict,
            judged="all" if request.strict else "pivots",
            licences=request.licences,
        )
        own = [line for line, is_own in zip(lines, chosen, strict=True) if is_own]
        return Poem(
            lines=tuple(map(to_traditional, lines) if request.script == "traditional" else lines),
            form=plan.form.name,
            title=request.title,
            score=float(made.scores[row, free].mean()),
            report=report,
            copied=tuple(line for line in own if self.known is not None and line in self.known),
            given=tuple((line + 1, column + 1) for line, column in sorted(draft.planner.given)),
        )


@dataclass(frozen=True)
class _Draft:
    """A poem that is to be written: candidate `number` of a wish."""

    planner: Planner
    plan: Plan
    number: int

    @property
    def seed(self) -> int:
        return self.planner.request.seed * MOST_CANDIDATES + self.number

    @property
    def numbers(self) -> list[int]:
        """Of the wishes for all tokens."""
        return [slot.wish.number for slot in self.plan.slots]


def _best(request: PoemRequest, poems: Sequence[Poem]) -> list[Poem]:
    ranked = sorted(poems, key=lambda poem: (bool(poem.copied) and not request.may_copy, -poem.score))
    first = {poem.lines: poem for poem in reversed(ranked)}  # of equal poems the best
    return [poem for poem in ranked if first[poem.lines] is poem][: request.n]


def _alike(request: PoemRequest) -> tuple[Any, ...]:
    """What has to be equal for wishes to be sampled in one batch."""
    return request.temperature, request.top_k, request.top_p, request.repetition


def _batches(places: Sequence[int], requests: Sequence[PoemRequest], rows: int) -> Iterator[list[int]]:
    """Wishes whose candidates are `rows` at most, or single ones."""
    batch: list[int] = []
    filled = 0
    for place in places:
        wanted = _candidates(requests[place])
        if batch and filled + wanted > rows:
            yield batch
            batch, filled = [], 0
        batch.append(place)
        filled += wanted
    if batch:
        yield batch


def _candidates(request: PoemRequest) -> int:
    return max(request.n, request.candidates)
