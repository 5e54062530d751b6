"""Baselines are what they say: the floors that models are held to."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from plm.errors import DataError
from plm.metrics.baselines import NaiveBayes, characters, majority, words

SNIPS = Path(__file__).parents[2] / "examples" / "data" / "snips"


def read_snips(split: str) -> tuple[list[str], list[str]]:
    """Texts and labels, read by hand: metrics know no readers."""
    lines = (SNIPS / f"{split}.tsv").read_text(encoding="utf-8").split("\n")[1:-1]
    labels, texts = zip(*(line.split("\t") for line in lines), strict=True)
    return list(texts), list(labels)


def test_majority_takes_the_most_frequent_and_the_first_of_equals() -> None:
    assert majority(["b", "a", "b"]) == "b"
    assert majority(["b", "a"]) == "a"
    with pytest.raises(DataError, match="at least one label"):
        majority([])


def test_naive_bayes_follows_the_textbook() -> None:
    # Manning, Raghavan, Schuetze 2008, table 13.1 and example 13.1.
    texts = ["Chinese Beijing Chinese", "Chinese Chinese Shanghai", "Chinese Macao", "Tokyo Japan Chinese"]
    model = NaiveBayes.fit(texts, ["yes", "yes", "yes", "no"])
    likelihood = {
        (label, word): math.exp(model.log_likelihood[row, column])
        for row, label in enumerate(model.labels)
        for word, column in model.vocabulary.items()
    }
    assert likelihood["yes", "chinese"] == pytest.approx(6 / 14)
    assert likelihood["yes", "tokyo"] == pytest.approx(1 / 14)
    assert likelihood["no", "chinese"] == pytest.approx(2 / 9)
    assert [math.exp(prior) for prior in model.log_prior] == pytest.approx([1 / 4, 3 / 4])
    assert model.predict(["Chinese Chinese Chinese Tokyo Japan"]) == ["yes"]


def test_unknown_words_leave_the_prior() -> None:
    model = NaiveBayes.fit(["a b", "c", "c d"], ["x", "y", "y"])
    assert model.predict(["never seen", ""]) == ["y", "y"]


def test_texts_without_labels_are_refused() -> None:
    with pytest.raises(DataError, match="got 2 and 1"):
        NaiveBayes.fit(["a", "b"], ["x"])
    with pytest.raises(DataError, match="got 0 and 0"):
        NaiveBayes.fit([], [])


def test_splitters() -> None:
    assert words("Play  it") == ["play", "it"]
    assert characters("酒 店好") == ["酒", "店", "好", "酒店", "店好"]


def test_snips_floor() -> None:
    texts, labels = read_snips("train")
    dev_texts, dev_labels = read_snips("dev")
    assert (len(texts), len(dev_texts)) == (13084, 700)
    predicted = NaiveBayes.fit(texts, labels).predict(dev_texts)
    right = sum(guess == label for guess, label in zip(predicted, dev_labels, strict=True))
    assert right == 687  # accuracy 0.981
    assert dev_labels.count(majority(labels)) == 100  # accuracy 0.143
