"""Poems as a task: what is shown follows from seed, epoch and poem; what is learned is the poem; numbers are exact."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from plm.blocks.labels import IGNORED_LABEL
from plm.config import from_dict, to_dict
from plm.errors import ConfigError, DataError, TokenizerError
from plm.heads.output import LogitsOutput
from plm.poetry.cleaning import Poem
from plm.poetry.prompt import FORM_TOKENS, MARKS, TYPES, Wish, form_of, place
from plm.tasks.poems import Poems, Surprise
from plm.tasks.task import TASKS
from plm.tokenizers import Tokenizer, load_tokenizer
from tests.tiny_folders import tiny_folder

# Four lines each, of our own making: they scan, and say little.
MOON = "山中一片月，水上几人家。夜静风吹竹，春来雨落花。"
RIVER = "江水东流日夜长，故人西去路茫茫。明朝若问归何处，一树梅花满地香。"
POEMS = [Poem("月夜", MOON, 1), Poem("江上送人", RIVER, 2)]


@pytest.fixture(scope="module")
def task() -> Poems:
    return Poems(min_count=1).learned(POEMS)


@pytest.fixture(scope="module")
def tokenizer(task: Poems) -> Tokenizer:
    return task.own_tokenizer(None)


def batch_of(
    task: Poems, tokenizer: Tokenizer, *, epoch: int = 0, poems: list[Poem] = POEMS
) -> dict[str, torch.Tensor]:
    features = task.encode(poems, tokenizer, max_length=96)
    return task.collate(task.vary(features, epoch), pad_token_id=tokenizer.pad_token_id or 0)


def plain(task: Poems, **changes: Any) -> Poems:
    return dataclasses.replace(task, **{"title_dropout": 0.0, "wishes": "all", **changes})


# ---- reading, vocabulary


def test_a_file_gives_its_clean_poems_and_tells_what_was_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "poems.txt"
    path.write_text(f"月夜:{MOON}\n\n无题:□□山水，一一风花。\n", encoding="utf-8")
    assert Poems().read(path) == [Poem("月夜", MOON, 1)]
    assert "dropped 1" in caplog.text
    path.write_text("no poem\n")
    with pytest.raises(DataError, match=r"poems\.txt: 0 poems; dropped 1"):
        Poems().read(path)


def test_the_vocabulary_is_that_of_the_training_poems(task: Poems, tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokens = tokenizer.convert_ids_to_tokens(range(12))
    assert tokens == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *FORM_TOKENS.values(), "，", "。"]
    assert set(task.characters) == set(MOON + RIVER + "月夜江上送人") - set("，。")
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path).get_vocab() == tokenizer.get_vocab()


def test_rare_characters_are_left_out_and_the_frequent_ones_come_first() -> None:
    characters = Poems(min_count=2).learned(POEMS).characters
    assert characters[0] == "人"
    assert "梅" not in characters
    with pytest.raises(DataError, match="no character comes 9 times"):
        Poems(min_count=9).learned(POEMS)


def test_a_vocabulary_with_forms_is_kept(task: Poems, tokenizer: Tokenizer) -> None:
    assert Poems(characters="山水").own_tokenizer(tokenizer) is tokenizer


def test_a_tokenizer_without_forms_is_refused(task: Poems, tmp_path: Path) -> None:
    other = load_tokenizer(tiny_folder(tmp_path / "bert", "bert"))
    with pytest.raises(TokenizerError, match=r"lacks \[五绝\]"):
        task.encode(POEMS, other, max_length=96)


# ---- what a model sees


def test_a_row_is_prompt_and_poem_and_only_the_poem_is_learned(task: Poems, tokenizer: Tokenizer) -> None:
    batch = batch_of(plain(task), tokenizer)
    tokens = tokenizer.convert_ids_to_tokens(batch["input_ids"][0])
    prompt = ["[CLS]", "[五绝]", "月", "夜", "[SEP]"]
    assert tokens[: batch["attention_mask"][0].sum()] == [*prompt, *MOON, "[SEP]"]
    live = batch["attention_mask"].bool()
    assert (batch["labels"][0, : len(prompt)] == IGNORED_LABEL).all()
    assert (
        batch["labels"][0, len(prompt) :][live[0, len(prompt) :]].tolist()
        == batch["input_ids"][0][live[0]].tolist()[5:]
    )
    assert (batch["labels"][~live] == IGNORED_LABEL).all()
    assert batch["index"].tolist() == [0, 1]


def test_every_wish_is_fulfilled_by_the_token_behind_it(task: Poems, tokenizer: Tokenizer) -> None:
    batch = batch_of(plain(task), tokenizer)
    ids, types = batch["input_ids"][0], batch["token_type_ids"][0]
    told = {tokenizer.convert_ids_to_tokens(int(ids[i + 1])): int(types[i]) for i in range(len(ids) - 1) if types[i]}
    assert told["，"] == MARKS["，"]
    assert told["。"] == MARKS["。"]
    assert told["[SEP]"] == MARKS["[SEP]"]
    assert told["山"] == Wish(left=5, tone="level").number
    assert told["竹"] == Wish(left=1, tone="oblique").number
    assert told["家"] == told["花"] == Wish(left=1, tone="level", rhymes=True).number
    assert int(types.max()) < TYPES


def test_without_wishes_and_title_it_is_a_plain_language_model(task: Poems, tokenizer: Tokenizer) -> None:
    batch = batch_of(plain(task, wishes="none", title_dropout=1.0), tokenizer)
    assert not batch["token_type_ids"].any()
    assert tokenizer.convert_ids_to_tokens(batch["input_ids"][0, :4]) == ["[CLS]", "[五绝]", "[SEP]", "山"]


def test_what_is_shown_is_a_function_of_seed_epoch_and_poem(task: Poems, tokenizer: Tokenizer) -> None:
    features = task.encode(POEMS * 40, tokenizer, max_length=96)
    one = task.collate(task.vary(features, 3), pad_token_id=0)
    alone = task.collate(task.vary(features[7:8], 3), pad_token_id=0)
    length = int(alone["attention_mask"].sum())
    assert one["input_ids"][7, :length].equal(alone["input_ids"][0])
    assert one["token_type_ids"][7, :length].equal(alone["token_type_ids"][0])
    for other in (
        task.vary(features, 4),
        [dataclasses.replace(feature, index=feature.index + 1) for feature in features],
    ):
        changed = task.collate(other, pad_token_id=0)
        assert changed["token_type_ids"].shape != one["token_type_ids"].shape or not changed["token_type_ids"].equal(
            one["token_type_ids"]
        )


def test_all_degrees_of_wishes_are_seen(task: Poems, tokenizer: Tokenizer) -> None:
    (feature,) = task.encode(POEMS[1:], tokenizer, max_length=96)
    batch = task.collate([dataclasses.replace(feature, index=index) for index in range(4000)], pad_token_id=0)
    lengths = batch["attention_mask"].sum(1)
    assert (lengths == lengths.max()).float().mean() == pytest.approx(0.7, abs=0.03)
    sounds = []
    for row, length in zip(batch["token_type_ids"].numpy(), lengths.tolist(), strict=True):
        numbers = row[length - 34 : length - 1]  # the poem has 32 signs and a [SEP]
        characters = numbers[numbers >= place(1)]
        tones = (characters - 4) % 6 // 2
        sounds.append((len(characters), np.count_nonzero(tones), int(((characters - 4) % 2).sum())))
    count, toned, rhymed = np.array(sounds).T
    told = count > 0
    assert told.mean() == pytest.approx(0.9, abs=0.02)
    assert (toned[told] == 0).mean() == pytest.approx(0.25, abs=0.05)
    assert (toned[told] == 28).mean() == pytest.approx(0.25, abs=0.05)
    assert (rhymed[told] == 3).mean() == pytest.approx(0.75, abs=0.03)
    assert set(rhymed[told]) == {0, 3}


def test_characters_of_two_tones_show_both_in_turn(task: Poems, tokenizer: Tokenizer) -> None:
    poem = Poem("", "中" * 5 + "，" + "中" * 5 + "。", 1)
    shown = plain(Poems(min_count=1).learned([poem]))
    types = batch_of(shown, shown.own_tokenizer(None), poems=[poem])["token_type_ids"]
    tones = {(number - 4) % 6 // 2 for number in types.flatten().tolist() if number >= 4}
    assert tones == {1, 2}


def test_an_unknown_character_is_read_and_not_learned(tokenizer: Tokenizer, task: Poems) -> None:
    odd = [Poem("", MOON.replace("竹", "鹏"), 1)]
    batch = batch_of(plain(task), tokenizer, poems=odd)
    unknown = batch["input_ids"] == tokenizer.unk_token_id
    assert unknown.sum() == 1
    assert (batch["labels"][unknown] == IGNORED_LABEL).all()


def test_titles_are_cut_and_poems_are_not(task: Poems, tokenizer: Tokenizer) -> None:
    long = [Poem("月" * 30, MOON, 1)]
    assert len(task.encode(long, tokenizer, max_length=96)[0].prompt) == 3 + 16
    assert len(task.encode(long, tokenizer, max_length=30)[0].prompt) == 5
    with pytest.raises(ConfigError, match=r"max_length: the poem of line 1 takes 28 tokens, got 27"):
        task.encode(long, tokenizer, max_length=27)


def test_an_empty_batch_is_refused(task: Poems) -> None:
    with pytest.raises(DataError, match="at least one poem"):
        task.collate([], pad_token_id=0)


# ---- scores


def test_scores_are_those_of_the_tokens_one_by_one(task: Poems, tokenizer: Tokenizer) -> None:
    poems = [POEMS[0], Poem("", RIVER.replace("梅", "鹏"), 2)]
    features = task.encode(poems, tokenizer, max_length=96)
    batch = task.collate(features, pad_token_id=0)
    logits = torch.randn(*batch["input_ids"].shape, len(tokenizer), generator=torch.Generator().manual_seed(1))
    results = task.results(batch, LogitsOutput(logits=logits))
    answers = task.answers(poems, features, results)
    marks = set(tokenizer.convert_tokens_to_ids(["，", "。", "[SEP]"]))
    expected: dict[bool, list[float]] = {True: [], False: []}
    for row, ids in enumerate(batch["labels"].tolist()):
        for column, id_ in enumerate(ids):
            if id_ != IGNORED_LABEL:
                nats = F.cross_entropy(logits[row, column - 1], torch.tensor(id_)).item()
                expected[id_ in marks].append(nats)
    scores = task.score(poems, answers)
    both = expected[True] + expected[False]
    assert scores["loss"] == pytest.approx(math.fsum(both) / len(both), rel=1e-5)
    assert scores["perplexity"] == pytest.approx(math.exp(math.fsum(expected[False]) / len(expected[False])), rel=1e-5)
    assert scores["unknown"] == pytest.approx(1 / 48)
    assert next(iter(scores)) == "loss"
    assert {"perplexity_wujue", "perplexity_qijue"} <= scores.keys()
    assert task.weigh(batch)["loss"] == len(both)


def test_a_record_tells_the_poem(task: Poems) -> None:
    record = task.record(POEMS[0], Surprise(tokens=25, nats=50.0, characters=20, character_nats=48.0))
    assert record["poem"] == MOON
    assert record["title"] == "月夜"
    assert record["tokens"] == 25


# ---- recipes


def test_options_survive_a_recipe_and_wrong_ones_are_refused() -> None:
    task = Poems(min_count=5, wishes="none", characters="山水")
    assert from_dict(Poems, to_dict(task)) == task
    assert TASKS.get("poems") is Poems
    for wrong in ({"wishes": "some"}, {"title_dropout": 1.5}, {"min_count": 0}, {"longest_title": -1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            Poems(**wrong)  # type: ignore[arg-type]


def test_the_poems_of_this_file_have_the_forms_they_claim() -> None:
    assert [form_of(poem.body) for poem in POEMS] == ["五绝", "七绝"]
