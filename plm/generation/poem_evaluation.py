"""How a poet does, beside people: the same figures over poems that were written and over real ones."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any

import torch

from plm.generation.poem import Poem
from plm.generation.poet import Poet
from plm.poetry.checking import check
from plm.poetry.cleaning import Poem as HumanPoem
from plm.poetry.given import familiar
from plm.poetry.known_lines import KnownLines
from plm.poetry.prompt import SHAPES, form_of
from plm.poetry.report import Report
from plm.poetry.request import PoemRequest
from plm.tasks.poems import Poems

PAIRS = 2000
"""Pairs of poems that are compared for overlap."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Figures over poems of one form; None = it does not apply. All but the last are shares from 0 to 1.

    poems: how many.
    form: lines of the right number and lengths. rhyme: the lines that must rhyme do, no rhyme word comes twice.
    tones: characters, of all that the writer chose, that have the tone of the best order; strict: poems without any
    that has not. heads: poems whose lines begin as they were to.
    repeats: poems in which a character comes more than once.
    copied: lines that stand in what the model learned.
    distinct_1, distinct_2: different characters, and pairs of neighbours, among all.
    overlap: mean Jaccard index of the pairs of neighbours of two poems.
    perplexity: e to the mean nats a character under the model, which is told all wishes.
    """

    poems: int
    form: float
    rhyme: float
    tones: float
    strict: float
    heads: float | None
    repeats: float
    copied: float | None
    distinct_1: float
    distinct_2: float
    overlap: float
    perplexity: float | None


COLUMNS = tuple(field.name for field in fields(Figures) if field.name != "poems")


@dataclass(frozen=True)
class PoetReport:
    """Rows by who wrote ("random", "acrostic", "human") and form."""

    rows: Mapping[str, Mapping[str, Figures]]

    def to_dict(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """As JSON knows it."""
        return {who: {form: asdict(one) for form, one in forms.items()} for who, forms in self.rows.items()}

    def __str__(self) -> str:
        """A table in Markdown."""
        lines = [f"| writer | verse | poems | {' | '.join(COLUMNS)} |", f"|{' --- |' * (len(COLUMNS) + 3)}"]
        for who, forms in self.rows.items():
            for form, one in forms.items():
                cells = " | ".join(_cell(getattr(one, column)) for column in COLUMNS)
                lines.append(f"| {who} | {form} | {one.poems:,} | {cells} |")
        return "\n".join(lines)


def evaluate_poet(
    poet: Poet,
    *,
    samples: int = 1000,
    human: Sequence[HumanPoem] = (),
    unseen: Sequence[HumanPoem] = (),
    book: str = "pingshui",
    seed: int = 0,
) -> PoetReport:
    """Write `samples` poems of each form, at random and as acrostics, and judge them as the human ones are.

    Each is the only candidate of its wish, so nothing is picked out. The characters of acrostics begin the lines of
    real poems, which are shuffled; without human poems, of any characters.
    unseen: poems that the model did not learn from, whose lines and perplexity are compared.
    """
    rows: dict[str, dict[str, Figures]] = {"random": {}, "acrostic": {}, "human": {}}
    for number, form in enumerate(SHAPES):
        wishes = [PoemRequest(form=form, seed=seed + place, candidates=1, book=book) for place in range(samples)]
        rows["random"][form] = _written(poet, wishes)
        heads = _heads(poet, form, human, samples, random.Random(seed + number))
        acrostics = [
            PoemRequest(mode="acrostic", form=form, text=text, seed=seed + place, candidates=1, book=book)
            for place, text in enumerate(heads)
        ]
        rows["acrostic"][form] = _written(poet, acrostics)
        real = [poem for poem in human if form_of(poem.body) == form]
        if real:
            judges = [poem for poem in unseen if form_of(poem.body) == form]
            rows["human"][form] = _human(poet, real, judges, book)
    return PoetReport({who: forms for who, forms in rows.items() if forms})


def perplexity(poet: Poet, poems: Sequence[HumanPoem], *, book: str = "pingshui", rows: int = 64) -> float:
    """That of the characters of real poems, told form, places, tones and rhymes, but no title."""
    task = Poems(book=book, title_dropout=1.0, wishes="all")
    features = task.encode(poems, poet.tokenizer, max_length=128)
    surprises = []
    for start in range(0, len(features), rows):
        batch = task.collate(features[start : start + rows], pad_token_id=poet.tokenizer.pad_token_id or 0)
        inputs = {name: batch[name].to(poet.model.device) for name in ("input_ids", "attention_mask", "token_type_ids")}
        with torch.inference_mode():
            results = task.results(batch, poet.model(**inputs))
        chosen = range(start, min(start + rows, len(features)))
        surprises += task.answers([poems[place] for place in chosen], [features[place] for place in chosen], results)
    return task.score(poems, surprises)["perplexity"]


def _written(poet: Poet, wishes: Sequence[PoemRequest]) -> Figures:
    poems = [one for one, *_ in poet.write_all(wishes)]
    acrostics = [(wish.text, poem) for wish, poem in zip(wishes, poems, strict=True) if wish.mode == "acrostic"]
    chosen = sum(len("".join(poem.lines)) - len(poem.given) for poem in poems)
    wrong = [sum((error.line, error.position) not in poem.given for error in poem.report.tone_errors) for poem in poems]
    copied = sum(len(poem.copied) for poem in poems) / sum(len(poem.lines) for poem in poems)
    return Figures(
        **_shared([poem.report for poem in poems]),
        tones=1.0 - sum(wrong) / chosen,
        strict=_share(not errors for errors in wrong),
        heads=_share(_begun(poem) == familiar(text, poet.characters) for text, poem in acrostics)
        if acrostics
        else None,
        copied=None if poet.known is None else copied,
        perplexity=math.exp(-sum(poem.score for poem in poems) / len(poems)),
    )


def _begun(poem: Poem) -> str:
    return "".join(line[0] for line in poem.report.lines)


def _human(poet: Poet, poems: Sequence[HumanPoem], unseen: Sequence[HumanPoem], book: str) -> Figures:
    reports = [check(poem.lines, book=book, strict=False) for poem in poems]
    errors = [len(report.tone_errors) for report in reports]
    return Figures(
        **_shared(reports),
        tones=1.0 - sum(errors) / sum(len("".join(report.lines)) for report in reports),
        strict=_share(not count for count in errors),
        heads=None,
        copied=_known_share(poet.known, unseen),
        perplexity=perplexity(poet, unseen, book=book) if unseen else None,
    )


def _shared(reports: Sequence[Report]) -> dict[str, Any]:
    """The figures that are counted alike for everybody."""
    characters = ["".join(report.lines) for report in reports]
    pairs = [[a + b for line in report.lines for a, b in pairwise(line)] for report in reports]
    return {
        "poems": len(reports),
        "form": _share(report.form_ok for report in reports),
        "rhyme": _share(report.rhyme_ok and not report.repeated_rhyme_words for report in reports),
        "repeats": _share(bool(report.repeated) for report in reports),
        "distinct_1": _distinct(characters),
        "distinct_2": _distinct(pairs),
        "overlap": _overlap(pairs),
    }


def _heads(poet: Poet, form: str, human: Sequence[HumanPoem], count: int, draw: random.Random) -> list[str]:
    """Characters that begin lines, as many as the form has lines, for each of `count` acrostics."""
    known = poet.characters
    begun = [line[0] for poem in human for line in poem.lines if line[0] in known] or sorted(known)
    return ["".join(draw.choices(begun, k=SHAPES[form][0])) for _ in range(count)]


def _known_share(known: KnownLines | None, poems: Sequence[HumanPoem]) -> float | None:
    lines = [line for poem in poems for line in poem.lines]
    return None if known is None or not lines else sum(line in known for line in lines) / len(lines)


def _share(values: Iterable[bool]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def _distinct(texts: Sequence[Sequence[str]]) -> float:
    everything = [one for text in texts for one in text]
    return len(set(everything)) / len(everything)


def _overlap(pairs: Sequence[Sequence[str]]) -> float:
    if len(pairs) < 2:
        return 0.0
    draw, sets = random.Random(0), [set(one) for one in pairs]
    compared = [draw.sample(sets, 2) for _ in range(PAIRS)]
    return sum(len(one & other) / len(one | other) for one, other in compared) / PAIRS


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if value < 2 else f"{value:.1f}"
