"""From plain text to scores of guessed words: nothing is lost, masks are those of the epoch, numbers are exact."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from plm.checkpoints.loading import load_model
from plm.config import from_dict, to_dict
from plm.data.masking import Masking
from plm.errors import ConfigError, DataError, TokenizerError
from plm.heads.output import LogitsOutput
from plm.tasks.masked_lm import Guesses, MaskedLm, TextLine
from plm.tasks.task import TASKS
from plm.tokenizers import Tokenizer, load_tokenizer
from tests.shared_data import shared_data
from tests.tiny_folders import WORDS, tiny_folder
from tests.tiny_models import FAMILY_NAMES

TEXT = "the good film\n\n   \nthe sun was very red\nrain\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("words"), "bert", "masked_lm")


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return load_tokenizer(folder)


def lines(*texts: str) -> list[TextLine]:
    return [TextLine(text, number) for number, text in enumerate(texts, 1)]


def batch_of(task: MaskedLm, features: Any, epoch: int = 0) -> dict[str, torch.Tensor]:
    return task.collate(task.vary(features, epoch), pad_token_id=0)


# ---- reading and encoding


def test_every_line_with_text_is_an_example(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text(TEXT, encoding="utf-8")
    assert [(one.line, one.text) for one in MaskedLm().read(path)] == [
        (1, "the good film"),
        (4, "the sun was very red"),
        (5, "rain"),
    ]
    path.write_text("\n \n")
    with pytest.raises(DataError, match=r"texts\.txt: holds no text"):
        MaskedLm().read(path)


@given(counts=st.lists(st.integers(0, 40), min_size=1, max_size=5), length=st.integers(3, 12))
@settings(deadline=None, max_examples=40)
def test_long_texts_become_parts_that_hold_every_token_once(
    counts: list[int], length: int, tokenizer: Tokenizer
) -> None:
    texts = lines(*(" ".join(WORDS[(n + place) % len(WORDS)] for place in range(n)) for n in counts))
    features = MaskedLm().encode(texts, tokenizer, max_length=length)
    assert [feature.index for feature in features] == list(range(len(features)))
    for number, example in enumerate(texts):
        rows = [feature.input_ids for feature in features if feature.example == number]
        whole = tokenizer.encode_batch_ids([example.text], add_special_tokens=False)[0][0] if counts[number] else []
        assert [token for row in rows for token in row[1:-1]] == whole
        assert all(row[0] == tokenizer.cls_token_id and row[-1] == tokenizer.sep_token_id for row in rows)
        sizes = [len(row) for row in rows]
        assert max(sizes, default=0) <= length
        assert max(sizes, default=0) - min(sizes, default=0) <= 1


def test_a_vocabulary_or_length_without_room_for_masks_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="max_length: expected at least 3 tokens, two of them special, got 2"):
        MaskedLm().encode(lines("the"), tokenizer, max_length=2)
    gpt = load_tokenizer(tiny_folder(tmp_path, "openai-gpt"))
    with pytest.raises(TokenizerError, match="the vocabulary has no mask token"):
        MaskedLm().encode(lines("the"), gpt, max_length=8)


# ---- masking


def test_a_batch_hides_words_and_says_what_they_were(tokenizer: Tokenizer) -> None:
    task = MaskedLm(probability=0.4, mask_share=1.0, random_share=0.0)
    features = task.encode(lines("the sun was very red", "rain"), tokenizer, max_length=10)
    batch = batch_of(task, features)
    assert batch["input_ids"].shape == batch["labels"].shape == (2, 7)
    assert batch["attention_mask"].sum(1).tolist() == [7, 3]
    assert batch["token_type_ids"].sum() == 0
    assert batch["index"].tolist() == [0, 1]
    hidden = batch["labels"] != -100
    assert (batch["input_ids"][hidden] == tokenizer.mask_token_id).all()
    shown = torch.where(hidden, batch["labels"], batch["input_ids"])
    assert [row[: len(one.input_ids)].tolist() for row, one in zip(shown, features, strict=True)] == [
        one.input_ids for one in features
    ]
    assert hidden.sum(1).tolist() == [2, 1]
    assert int(task.weigh(batch)["loss"]) == 3


def test_what_is_masked_depends_on_seed_epoch_and_index_alone(tokenizer: Tokenizer) -> None:
    texts = lines(*(" ".join(WORDS[(3 * n + place) % len(WORDS)] for place in range(9)) for n in range(20)))
    task = MaskedLm(seed=3)
    features = task.encode(texts, tokenizer, max_length=12)
    whole = {epoch: batch_of(task, features, epoch)["labels"] for epoch in (0, 1)}
    order = [7, 2, 11]
    assert torch.equal(batch_of(task, [features[n] for n in order], 1)["labels"], whole[1][order])
    assert torch.equal(task.collate(features, pad_token_id=0)["labels"], whole[0])
    other = MaskedLm(seed=4)
    assert not torch.equal(batch_of(other, other.encode(texts, tokenizer, max_length=12))["labels"], whole[0])
    assert not torch.equal(whole[0], whole[1])


def test_one_batch_is_of_one_epoch(tokenizer: Tokenizer) -> None:
    task = MaskedLm()
    features = task.encode(lines("the sun", "the rain"), tokenizer, max_length=8)
    mixed = [features[0], *task.vary(features[1:], 1)]
    for bad in ([], mixed):
        with pytest.raises(DataError, match="at least one feature, and all of the same epoch"):
            task.collate(bad, pad_token_id=0)


# ---- scores


def test_guesses_are_counted_with_all_logits_or_those_of_masked_tokens_alone(tokenizer: Tokenizer) -> None:
    task = MaskedLm(probability=0.5)
    features = task.encode(lines("the sun was very red", "rain", "good old book"), tokenizer, max_length=10)
    batch = batch_of(task, features)
    logits = torch.randn(*batch["labels"].shape, len(tokenizer), generator=torch.Generator().manual_seed(1))
    chosen = batch["labels"] != -100
    found = task.results(batch, LogitsOutput(logits=logits))
    assert found == task.results(batch, LogitsOutput(logits=logits[chosen]))
    for row, guesses in found.items():
        labels = batch["labels"][row][chosen[row]]
        right = int((logits[row][chosen[row]].argmax(-1) == labels).sum())
        nats = float(F.cross_entropy(logits[row][chosen[row]].double(), labels, reduction="sum"))
        assert (guesses.masked, guesses.right) == (len(labels), right)
        assert guesses.nats == pytest.approx(nats, rel=1e-5)


def test_scores_are_those_of_all_masked_tokens_together() -> None:
    task, texts = MaskedLm(), lines("a", "b", "c")
    scores = task.score(texts, [Guesses(3, 1, 2.0), Guesses(1, 1, 0.0), Guesses(0, 0, 0.0)])
    assert scores == {"masked_accuracy": 0.5, "loss": 0.5, "perplexity": pytest.approx(math.exp(0.5))}
    assert task.score(texts[:1], [Guesses(1, 0, 5000.0)])["perplexity"] == math.inf
    with pytest.raises(DataError, match="no token could be masked"):
        task.score(texts, [Guesses(0, 0, 0.0)] * 3)
    assert task.record(texts[1], Guesses(1, 1, 0.25)) == {"line": 2, "text": "b", "masked": 1, "right": 1, "nats": 0.25}


def test_a_model_that_knows_every_word_scores_one_and_long_texts_count_whole(tokenizer: Tokenizer) -> None:
    task, texts = MaskedLm(), lines(" ".join(WORDS), "rain")
    features = task.encode(texts, tokenizer, max_length=7)
    results = {}
    for feature in features:
        batch = batch_of(task, [feature])
        results |= task.results(batch, LogitsOutput(logits=50.0 * F.one_hot(batch["labels"].clamp(min=0), 27).float()))
    answers = task.answers(texts, features, results)
    assert [answer.masked for answer in answers] == [sum(1 for f in features if f.example == 0), 1]
    assert task.score(texts, answers) == {
        "masked_accuracy": 1.0,
        "loss": pytest.approx(0.0, abs=1e-6),
        "perplexity": pytest.approx(1.0, abs=1e-6),
    }


@pytest.mark.parametrize("family", [name for name in FAMILY_NAMES if name != "openai-gpt"])
def test_the_loss_of_the_head_is_that_of_the_scores(family: str, tmp_path: Path) -> None:
    model, _ = load_model(tiny_folder(tmp_path, family, "masked_lm"))
    task, tokenizer = MaskedLm(probability=0.3), load_tokenizer(tmp_path)
    texts = lines("the sun was very red", "good old book", "rain night day")
    features = task.encode(texts, tokenizer, max_length=9)
    batch = batch_of(task, features)
    inputs = {name: tensor for name, tensor in batch.items() if name != "index"}
    with torch.no_grad():
        with_labels = model(**inputs)
        labels = inputs.pop("labels")
        without = model(**inputs)
    for output in (with_labels, without):
        scores = task.score(texts, task.answers(texts, features, task.results(batch, output)))
        assert scores["loss"] == pytest.approx(float(with_labels.loss), rel=1e-5)
    assert int((labels != -100).sum()) == int(task.weigh(batch)["loss"])


# ---- as part of a recipe


def test_a_recipe_can_hold_it_and_mistakes_are_found_at_once() -> None:
    assert TASKS.get("masked_lm") is MaskedLm
    task = MaskedLm(probability=0.2, whole_words=True, seed=7)
    assert from_dict(MaskedLm, to_dict(task)) == task
    assert task.masking() == Masking(probability=0.2, whole_words=True, seed=7)
    assert (task.head, task.model_options()) == ("masked_lm", {})
    with pytest.raises(ConfigError, match="probability: expected a share"):
        from_dict(MaskedLm, {"probability": 0.0})
    with pytest.raises(ConfigError, match="mask_share and random_share"):
        from_dict(MaskedLm, {"mask_share": 0.9, "random_share": 0.5})


def test_real_chinese_texts_are_masked_at_the_right_rate() -> None:
    tokenizer = load_tokenizer(shared_data("vocabs", "bert-base-chinese-vocab.txt"))
    examples = MaskedLm().read(shared_data("text_zh", "essays.txt"))[:200]
    task = MaskedLm()
    features = task.encode(examples, tokenizer, max_length=64)
    share = np.mean([float((batch_of(task, [f])["labels"] != -100).sum()) / (len(f.input_ids) - 2) for f in features])
    assert 0.13 < share < 0.25


def test_texts_without_a_known_word_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match=r"strange\.txt: the vocabulary knows none of its words"):
        MaskedLm().encode([TextLine("qqq zzz", 1)], tokenizer, max_length=8, source="strange.txt")
