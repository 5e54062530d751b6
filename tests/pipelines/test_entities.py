"""Texts come back as the entities in them, by any tagger, whether or not its folder says how it was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plm.auto.models import AutoModelForTokenClassification
from plm.auto.tokenizer import AutoTokenizer
from plm.checkpoints.saving import save_model
from plm.data.conll import TaggedText
from plm.errors import CheckpointError, ConfigError, DataError
from plm.heads.head import HEADS
from plm.pipelines import pipeline
from plm.pipelines.entities import guess_tagging
from plm.tasks import Classification, Tagging
from plm.tasks.saving import SavedTask, save_tasks
from tests.tiny_folders import VOCABULARY, tiny_folder
from tests.tiny_models import FAMILY_NAMES, tiny_config, tiny_model

LABELS = ("O", "B-X", "I-X", "B-Y", "I-Y")
TEXTS = ["The old books, not the sun.", "rain", "", "the day was red and the night was slow (very slow) " * 6]
WORDS = [["old", "books"], ["day"], []]


def named(labels: tuple[str, ...]) -> dict[int, str]:
    return dict(enumerate(labels))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tagger of each family, as other libraries leave them."""
    root = tmp_path_factory.mktemp("taggers")
    changes = {"id2label": named(LABELS), "max_position_embeddings": 40}
    return {family: tiny_folder(root / family, family, "token_classification", **changes) for family in FAMILY_NAMES}


def vocal(folder: Path, wanted: dict[str, str], *, labels: tuple[str, ...] = LABELS, crf: bool = False) -> Path:
    """Write a BERT that says a tag for every word whatever stands around it. wanted: words and their tags."""
    kind = "crf_token_classification" if crf else "token_classification"
    size = len(VOCABULARY)
    tiny_folder(folder, "bert", kind, id2label=named(labels))
    model = tiny_model("bert", kind, vocab_size=size, id2label=named(labels))
    embeddings, head = model.backbone.embeddings, model.heads[kind]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.fill_(1.0)
        for word, tag in wanted.items():
            embeddings.word.weight[VOCABULARY.index(word), labels.index(tag)] = 10.0
        head.classifier.weight[range(len(labels)), range(len(labels))] = 1.0
        head.classifier.bias[0] = 1.0
    save_model(model.eval(), folder)
    return folder


@pytest.mark.parametrize("crf", [False, True], ids=["softmax", "crf"])
def test_entities_have_their_places_in_the_text(crf: bool, tmp_path: Path) -> None:
    folder = vocal(tmp_path, {"old": "B-X", "book": "I-X", "sun": "B-Y"}, crf=crf)
    (found,) = pipeline("ner", folder)("The  OLD book's sun, sun.")
    assert [(row["type"], row["text"], row["start"], row["end"]) for row in found] == [
        ("X", "OLD book", 5, 13),
        ("Y", "sun", 16, 19),
        ("Y", "sun", 21, 24),
    ]
    assert all(0.5 < row["score"] <= 1.0 for row in found)


def test_lists_of_words_are_tagged(tmp_path: Path) -> None:
    folder = vocal(tmp_path, {"old": "B-X", "book": "I-X"})
    first, second = pipeline("token-classification", folder)([["the", "old", "book"], []])
    assert first["tags"] == ["O", "B-X", "I-X"]
    assert len(first["scores"]) == 3
    assert [(row["type"], row["text"], row["first"], row["last"]) for row in first["entities"]] == [
        ("X", "old book", 1, 2)
    ]
    assert second == {"tags": [], "scores": [], "entities": []}


def comparable(answers: list[Any]) -> list[Any]:
    """Answers with their scores apart, rounded."""
    rows = [row if isinstance(row, list) else row["entities"] for row in answers]
    return [[(*list(item.values())[:-1], round(item["score"], 4)) for item in row] for row in rows]


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_batching_changes_no_answer(family: str, folders: dict[str, Path]) -> None:
    ask = pipeline("token-classification", folders[family])
    together = ask([*TEXTS, *WORDS])
    assert comparable(together) == comparable([ask([one])[0] for one in [*TEXTS, *WORDS]])
    small = pipeline("token-classification", folders[family], tokens_per_batch=9)
    assert comparable(together) == comparable(small([*TEXTS, *WORDS]))
    assert together[2] == []
    for text, answer in zip(TEXTS, together, strict=False):
        assert all(text[row["start"] : row["end"]] == row["text"] for row in answer)


def test_words_beyond_the_longest_window_are_answered_too(tmp_path: Path) -> None:
    folder = vocal(tmp_path, {"sun": "B-Y"})
    (found,) = pipeline("ner", folder, max_length=8)("the old " * 40 + "sun")
    assert [row["start"] for row in found] == [320]
    (found,) = pipeline("ner", folder, max_length=8)("a" * 99 + " sun")
    assert [row["start"] for row in found] == [100]


def test_answers_are_those_of_the_model(folders: dict[str, Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folders["bert"])
    model = AutoModelForTokenClassification.from_pretrained(folders["bert"])
    words = ["the", "old", "red", "book"]
    logits = model(**tokenizer(words, is_split_into_words=True, return_tensors="pt")).logits[0, 1:-1]
    (answer,) = pipeline("ner", model, tokenizer=tokenizer)([words])
    assert answer["tags"] == [LABELS[place] for place in logits.argmax(1).tolist()]
    assert answer["scores"] == pytest.approx(logits.softmax(1).amax(1).tolist(), abs=1e-5)


def test_a_folder_that_knows_its_task_is_asked_as_it_was_trained(tmp_path: Path) -> None:
    folder = vocal(tmp_path, {"sun": "I-Y", "day": "I-Y"})
    assert [row["text"] for row in pipeline("ner", folder)("sun day")[0]] == ["sun day"]
    task = Tagging(scheme="bio", labels=LABELS, joiner="")
    save_tasks(folder, {"names": SavedTask(task, 12), "mood": SavedTask(Classification(), 12)})
    ask: Any = pipeline("ner", folder)
    assert ask.max_length == 12
    assert ask("sun day") == [[]]  # characters now, and no well-formed sequence begins with I
    assert ask.task == task
    other: Any = pipeline("ner", folder, settings=Tagging(scheme="none", labels=LABELS))
    assert [row["type"] for row in other("the sun")[0]] == ["O", "I-Y"]
    save_tasks(folder, {"names": SavedTask(task, 12), "places": SavedTask(task, 12)})
    with pytest.raises(ConfigError, match=r"several tasks of this kind \(names, places\)"):
        pipeline("ner", folder)


@pytest.mark.parametrize(
    ("labels", "scheme", "known"),
    [
        (("O", "B-X", "I-X"), "bio", ("O", "B-X", "I-X")),
        (("I-X", "I-Y", "O"), "iob1", ("I-X", "I-Y", "O")),
        (("O", "B-X", "I-X", "E-X", "S-X"), "bioes", None),
        (("O", "B-X", "M-X", "E-X", "S-X"), "bmes", None),
        (("B", "M", "E", "S"), "bmes", None),
        (("X", "O", "B-X", "I-X", "[CLS]", "[SEP]"), "bio", ("O", "O", "B-X", "I-X", "O", "O")),
        (("O", "PER", "LOC"), "plain", None),
        (("NN", "VB"), "none", None),
        (("LABEL_0", "LABEL_1"), "none", None),
    ],
)
def test_the_scheme_is_guessed_from_the_classes(
    labels: tuple[str, ...], scheme: str, known: tuple[str, ...] | None
) -> None:
    guessed = guess_tagging(tiny_config("bert", id2label=named(labels)), ["token_classification"])
    assert (guessed.scheme, guessed.labels) == (scheme, known or labels)
    assert HEADS.get(guessed.head)
    text = TaggedText("1", ("a", "b"), None, 1, "a b", (0, 2))
    feature = guessed.encode([text], _Letters(), max_length=8, has_labels=False)
    assert len(feature) == 1


class _Letters:
    """As much of a tokenizer as encoding needs."""

    is_wordpiece = True
    unk_token_id = 0

    def encode_batch_ids(self, words: list[str], *, add_special_tokens: bool) -> tuple[list[list[int]], None]:
        return [[1] for _ in words], None

    def __call__(self, words: list[str], *, is_split_into_words: bool) -> Any:
        class Batch(dict[str, Any]):
            def word_ids(self) -> list[int]:
                return [0]

        return Batch(input_ids=[1])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["good", 3], "text 1: expected a string, or a list of words"),
        ([["good", ""]], "text 0: expected a string, or a list of words that are not empty"),
        ([["good", 2]], "text 0: expected"),
        ([None], "text 0: expected"),
    ],
)
def test_an_entry_that_is_no_text_is_named(texts: list[Any], message: str, folders: dict[str, Path]) -> None:
    with pytest.raises(DataError, match=message):
        pipeline("ner", folders["bert"])(texts)


def test_what_cannot_answer_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    assert pipeline("ner", folders["bert"])([]) == []
    with pytest.raises(ConfigError, match="settings: ner needs a Tagging, got a Classification"):
        pipeline("ner", folders["bert"], settings=Classification())
    with pytest.raises(ConfigError, match="settings: feature-extraction takes none"):
        pipeline("feature-extraction", folders["bert"], settings=Tagging())
    with pytest.raises(CheckpointError, match="its answers would be random"):
        pipeline("ner", tiny_folder(tmp_path, "bert", "masked_lm"))
    with pytest.raises(ConfigError, match=r"max_length: expected a positive number of at most 40, .* got 41"):
        pipeline("ner", folders["bert"], max_length=41)


def test_long_texts_go_to_the_model_in_batches_of_similar_length(folders: dict[str, Path]) -> None:
    ask: Any = pipeline("ner", folders["bert"], tokens_per_batch=64)
    sizes: list[tuple[int, int]] = []
    run = ask.runner.run

    def spy(batch: Any) -> Any:
        sizes.append((int(batch["attention_mask"].sum()), batch["attention_mask"].size))
        assert {array.dtype for array in batch.values()} == {np.dtype(np.int64)}
        return run(batch)

    ask.runner.run = spy
    ask([" ".join(["sun"] * (number % 7 + 1)) for number in range(70)])
    assert all(live <= 64 for live, _ in sizes)
    assert sum(size for _, size in sizes) < 1.1 * sum(live for live, _ in sizes)
