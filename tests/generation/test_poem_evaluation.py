"""Figures over poems that were written, and over real ones."""

from __future__ import annotations

import json
import math

import pytest
import torch

from plm.generation.poem_evaluation import COLUMNS, evaluate_poet, perplexity
from plm.poetry.cleaning import Poem
from plm.poetry.known_lines import KnownLines
from plm.poetry.prompt import SHAPES
from plm.tasks import Poems
from tests.tiny_poets import tiny_poet

# Shape, rhyme and tones of an order D, without sense.
GOOD = Poem(title="夜", body="白日依山月，春风入夜花。李白乾坤夜，秋月照人家。", line=1)
# The same with a rhyme that does not rhyme.
BAD = Poem(title="", body="白日依山月，春风入夜花。李白乾坤夜，秋月照人光。", line=2)


def test_the_poet_keeps_what_it_must_and_people_are_judged_alike() -> None:
    poet = tiny_poet(known=KnownLines.of(GOOD.lines))
    report = evaluate_poet(poet, samples=3, human=[GOOD, BAD], unseen=[GOOD])
    assert set(report.rows["random"]) == set(report.rows["acrostic"]) == set(SHAPES)
    for form in SHAPES:
        for who in ("random", "acrostic"):
            figures = report.rows[who][form]
            assert (figures.poems, figures.form, figures.rhyme) == (3, 1.0, 1.0)
            assert figures.copied == 0.0
        assert (report.rows["random"][form].tones, report.rows["random"][form].strict) == (1.0, 1.0)
        assert report.rows["random"][form].heads is None
        assert report.rows["acrostic"][form].heads == 1.0
    (human,) = report.rows["human"].values()
    assert (human.poems, human.form, human.rhyme, human.copied) == (2, 1.0, 0.5, 1.0)
    assert human.overlap == pytest.approx(15 / 17)  # of 16 pairs of neighbours, the last differs


def test_copies_are_not_told_where_nobody_knows_of_them() -> None:
    report = evaluate_poet(tiny_poet(), samples=2)
    assert report.rows["random"]["五绝"].copied is None
    assert "human" not in report.rows


def test_a_report_is_a_table_and_json() -> None:
    report = evaluate_poet(tiny_poet(), samples=2)
    first, _, *rows = str(report).splitlines()
    assert first.count("|") == len(COLUMNS) + 4
    assert len(rows) == 2 * len(SHAPES)
    assert {row.count("|") for row in rows} == {first.count("|")}
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()


def test_perplexity_is_that_of_the_characters_with_all_wishes() -> None:
    poet = tiny_poet()
    task = Poems(title_dropout=1.0, wishes="all")
    feature = task.encode([GOOD], poet.tokenizer, max_length=64)
    batch = task.collate(feature, pad_token_id=0)
    with torch.inference_mode():
        logits = poet.model(**{name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}).logits[
            0
        ]
    marks = poet.tokenizer.convert_tokens_to_ids(["，", "。", "[SEP]", "[UNK]"])
    nats = [
        -float(logits[place - 1].log_softmax(-1)[id_])
        for place, id_ in enumerate(batch["input_ids"][0].tolist())
        if place > 2 and id_ not in marks
    ]
    assert perplexity(poet, [GOOD]) == pytest.approx(math.exp(sum(nats) / len(nats)), rel=1e-5)
    assert perplexity(poet, [GOOD, BAD, GOOD], rows=2) == pytest.approx(perplexity(poet, [GOOD, BAD, GOOD]), rel=1e-5)
