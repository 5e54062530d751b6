"""Text matching: learned by comparing or pair by pair, checked first, and scored as an order."""

from __future__ import annotations

import random
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from plm.data.candidates import Candidate
from plm.data.features.matching import ComparedFeature
from plm.errors import ConfigError, DataError
from plm.runs import read_run
from plm.tasks import Matching
from tests.shared_data import shared_data
from tests.tasks.learning import learn
from tests.tiny_folders import write_rows

RECIPES = Path(str(resources.files("plm.configs"))) / "runs" / "matching"
WORDS = ("sun", "rain", "red", "old", "film", "book")
KINDS = (("good", "1"), ("bad", "0"), ("slow", "0"))
POINTWISE = Matching(strategy="pointwise")


def pairs(*labels: int | None, groups: str = "") -> list[Candidate]:
    named = zip(labels, groups or "q" * len(labels), strict=True)
    return [Candidate(str(n), "q", "t", label, name, n) for n, (label, name) in enumerate(named, 1)]


def test_columns_make_pairs_or_triples(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.tsv", [("a", "b", "y"), ("q", "t", "1"), ("q", "u", "0")])
    found = Matching(query="a", text="b", label="y").read(path)
    assert [(candidate.text, candidate.label) for candidate in found] == [("t", 1), ("u", 0)]
    path = write_rows(tmp_path / "t.tsv", [("query", "fits", "not"), ("q", "t", "u")])
    assert [candidate.label for candidate in Matching(positive="fits", negative="not").read(path)] == [1, 0]


def test_files_to_predict_hold_pairs_without_label(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.tsv", [("query", "text"), ("q", "t")])
    for task in (Matching(), Matching(positive="fits", negative="not")):
        assert [(found.text, found.label) for found in task.unlabelled().read(path)] == [("t", None)]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"positive": "p"}, "triples need both columns"),
        ({"margin": 0.0}, r"margin: expected a number in \(0, 1\]"),
        ({"margin": float("nan")}, "margin"),
        ({"side_by_side": 1}, "a comparison needs 2 candidates"),
        ({"side_by_side": 0}, "side_by_side"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Matching(**options)


def test_what_cannot_be_learned_is_said_before_training() -> None:
    with pytest.raises(DataError, match=r"a.tsv, line 2: the pair has no label"):
        Matching().check(pairs(1, None), source="a.tsv")
    with pytest.raises(DataError, match=r"no query has candidates with different labels.*strategy pointwise"):
        Matching().check(pairs(1, 0, groups="ab"))
    with pytest.raises(DataError, match="line 2: pointwise knows labels 0 and 1, got 2"):
        POINTWISE.check(pairs(1, 2))
    Matching().check(pairs(1, 2))
    POINTWISE.check(pairs(1, 0, groups="ab"))


def test_batches_say_by_how_much_and_how_many_comparisons() -> None:
    features = [
        ComparedFeature([[1], [2, 3]], None, (0, 1), 0, members=(0, 1)),
        ComparedFeature([[1], [2], [3]], None, (2, 1, 0), 1, members=(2, 3, 4)),
    ]
    batch = Matching(margin=0.25).collate(features, pad_token_id=0)
    assert batch["margins"].tolist() == [0.25, 0.25]
    assert int(Matching().weigh(batch)["loss"]) == 4
    alone = [ComparedFeature([[1]], None, (label,), label, members=(label,)) for label in (0, 1)]
    batch = POINTWISE.collate(alone, pad_token_id=0)
    assert "margins" not in batch
    assert int(POINTWISE.weigh(batch)["loss"]) == 2


def test_scores_find_their_pairs_through_padding_and_repetition() -> None:
    features = [
        ComparedFeature([[1], [1]], None, None, 0, members=(2, 0)),
        ComparedFeature([[1]], None, None, 1, members=(1,)),
    ]
    logits = torch.tensor([[0.0, 2.0], [-2.0, 9.0]])
    task = Matching()
    results = task.results({"index": torch.tensor([0, 1])}, SimpleNamespace(logits=logits))
    said = task.answers(pairs(1, 0, 0), features, results)
    assert said == pytest.approx([0.880797, 0.119203, 0.5], abs=1e-6)
    assert task.record(pairs(1, 0, 0)[0], said[0])["score"] == said[0]
    logits = torch.tensor([[[0.0, 2.0]]])
    (row,) = POINTWISE.results({"index": torch.tensor([0])}, SimpleNamespace(logits=logits)).values()
    assert row.tolist() == pytest.approx([0.880797])


def test_metrics_are_those_of_the_strategy() -> None:
    examples = pairs(1, 0, 1, 0, groups="aabb")
    answers = [0.9, 0.6, 0.2, 0.4]
    assert Matching().score(examples, answers) == {"ordering_accuracy": 0.5, "mrr": 0.75, "map": 0.75}
    assert Matching(positive="p", negative="n").score(examples, answers) == {"ordering_accuracy": 0.5}
    scores = POINTWISE.score(examples, answers)
    assert list(scores) == ["accuracy", "binary_f1", "ordering_accuracy", "mrr", "map"]
    assert (scores["accuracy"], scores["binary_f1"]) == (0.5, 0.5)
    assert list(POINTWISE.score(pairs(1, 0, groups="ab"), [0.9, 0.1])) == ["accuracy", "binary_f1"]


def fitting(path: Path, count: int, *, seed: int) -> str:
    """Each query comes with a text that is good, which fits, and two that are not."""
    source = random.Random(seed)
    rows = [("query", "text", "label")]
    for _ in range(count):
        query = " ".join(source.choices(WORDS, k=4))
        texts = [(" ".join([*source.choices(WORDS, k=2), word]), label) for word, label in KINDS]
        rows += [(query, text, label) for text, label in source.sample(texts, k=3)]
    return str(write_rows(path, rows))


@pytest.mark.parametrize(("strategy", "metric"), [("pairwise", "ordering_accuracy"), ("pointwise", "accuracy")])
def test_a_model_learns_which_text_fits(strategy: Any, metric: str, tmp_path: Path) -> None:
    files = {"train": fitting(tmp_path / "a.tsv", 64, seed=1), "dev": fitting(tmp_path / "b.tsv", 16, seed=2)}
    report = learn(tmp_path, Matching(strategy=strategy), family="bert", files=files, epochs=4)
    assert report.metrics[metric] >= 0.9


def test_the_recipe_reads_lcqmc() -> None:
    task = read_run(RECIPES / "lcqmc.toml").all_tasks["task"].task
    examples = task.read(shared_data("pair_zh", "lcqmc_dev.tsv"))
    task.check(examples)
    assert len(examples) == 1107


def test_single_pairs_are_counted_by_class() -> None:
    pairs = [
        Candidate(id=str(n), query="q", text="t", label=label, group="q", line=n) for n, label in enumerate((0, 1, 0))
    ]
    assert Matching(strategy="pointwise").class_counts(pairs) == [2, 1]
    assert Matching().class_counts(pairs) is None
