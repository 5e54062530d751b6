"""Variants of texts: other words where words were, everything else untouched, the same for the same seed and row."""

from __future__ import annotations

import re
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.data.glue import GLUE_TASKS
from plm.distillation.augmentation import VARIANTS, Augmentation, Augmenter, variants_of
from plm.distillation.replaceable import LANGUAGES, replaceable
from plm.distillation.word_vectors import WordVectors
from plm.errors import ConfigError
from tests.distillation.fill import tiny_masked_lm

WORDS = ("good", "fine", "great", "film", "movie", "Paris", "NASA", "day", ".", "42", "Good")
VECTORS = WordVectors(WORDS, np.random.default_rng(3).normal(size=(len(WORDS), 4)).astype(np.float32))
TEXTS = ['A good film , "GOOD"  Day !', "the film", "good\tday", "", "  ", "not was 42", "Film film FILM"]

texts_of_words = st.lists(st.sampled_from([*WORDS, "FILM", "the", "don't", '"', " ", "\t", "电影"]), max_size=12).map(
    " ".join
)


def variants(augmenter: Augmenter, texts: list[str] = TEXTS) -> list[list[str]]:
    return list(augmenter.augment(texts))


def test_the_text_comes_first_and_variants_are_different_and_not_too_many() -> None:
    for number in (1, 3, 40):
        for text, found in zip(TEXTS, variants(Augmenter(Augmentation(variants=number), vectors=VECTORS)), strict=True):
            assert found[0] == text
            assert len(found) <= 1 + number
            assert len(set(found)) == len(found)


def test_texts_without_words_to_replace_have_no_variants() -> None:
    augmenter = Augmenter(vectors=VECTORS)
    for text in ("", "  ", "not was 42", "the unknown"):
        assert variants(augmenter, [text]) == [[text]]


@settings(deadline=None, max_examples=50)
@given(texts_of_words, st.integers(0, 100))
def test_only_words_change_and_they_keep_their_case(text: str, row: int) -> None:
    augmenter = Augmenter(Augmentation(variants=6, probability=0.7), vectors=VECTORS)
    spans = replaceable(text, LANGUAGES.get("en"))
    between = [text[end:start] for (_, end), (start, _) in zip([(0, 0), *spans], [*spans, (len(text), 0)], strict=True)]
    # Whatever stands in place of a word is letters, so the rest of the text must be found around it.
    pattern = re.compile("([A-Za-z]+)".join(map(re.escape, between)))
    for variant in augmenter.augment_rows([text], [row])[0]:
        found = pattern.fullmatch(variant)
        assert found is not None
        for new, (start, end) in zip(found.groups(), spans, strict=True):
            old = text[start:end]
            assert (new.islower(), new[:1].isupper()) == (old.islower(), old[:1].isupper())
            assert new.isupper() or not old.isupper()


def test_every_candidate_fits_and_is_reached() -> None:
    augmenter = Augmenter(Augmentation(variants=300, probability=1.0, candidates=4), vectors=VECTORS)
    [[(span, options)]] = augmenter.replacements(["the Film"])
    assert span == (4, 8)
    assert len(options) == len(set(options)) == 4
    assert all(option.isalpha() and option[0].isupper() and option != "Film" for option in options)
    assert set(augmenter.augment_rows(["the Film"], [0])[0]) == {"the Film", *(f"the {option}" for option in options)}


def test_the_share_of_replaced_words_is_the_probability() -> None:
    text = " ".join(["film"] * 50)
    [[_, *found]] = Augmenter(Augmentation(variants=200, probability=0.3), vectors=VECTORS).augment([text])
    share = np.mean([[word != "film" for word in variant.split()] for variant in found])
    assert 0.28 < share < 0.32


def test_the_same_seed_gives_the_same_and_another_seed_others() -> None:
    first, again, other = (variants(Augmenter(Augmentation(seed=seed), vectors=VECTORS)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_variants_depend_on_row_and_column_not_on_other_texts() -> None:
    augmenter = Augmenter(vectors=VECTORS)
    together = augmenter.augment_rows(TEXTS, range(len(TEXTS)))
    for row in reversed(range(len(TEXTS))):
        assert Augmenter(vectors=VECTORS).augment_rows([TEXTS[row]], [row]) == [together[row]]
    assert augmenter.augment_rows([TEXTS[0]], [1]) != [together[0]]
    assert augmenter.augment_rows([TEXTS[0]], [0], column=1) != [together[0]]


@pytest.mark.parametrize("passes", ["word", "text"])
def test_variants_do_not_depend_on_the_model_s_batches(tmp_path: Path, passes: str) -> None:
    model, tokenizer = tiny_masked_lm(tmp_path)
    asked = Augmentation(passes=passes, variants=5)  # type: ignore[arg-type]
    one, other = (
        variants(Augmenter(asked, model=model, tokenizer=tokenizer, tokens_per_batch=size)) for size in (1, 500)
    )
    assert one == other
    assert any(len(found) > 1 for found in one)


def test_pieces_are_replaced_by_neighbours_and_whole_words_by_the_model(tmp_path: Path) -> None:
    model, tokenizer = tiny_masked_lm(tmp_path)
    text = "Good filmly day"
    vectors = WordVectors(("filmly", "cinematic", "day", "evening"), np.eye(4, 3, dtype=np.float32) + 1)
    [both] = Augmenter(model=model, tokenizer=tokenizer, vectors=vectors).replacements([text])
    [alone] = Augmenter(model=model, tokenizer=tokenizer).replacements([text])
    assert [text[slice(*span)] for span, _ in both] == ["Good", "filmly", "day"]
    assert set(both[1][1]) <= set(vectors.words)
    assert "evening" not in both[2][1]
    assert alone == [both[0], both[2]]


def test_a_text_that_comes_again_is_asked_for_once(tmp_path: Path) -> None:
    model, tokenizer = tiny_masked_lm(tmp_path)
    augmenter = Augmenter(model=model, tokenizer=tokenizer)
    with mock.patch.object(model.backbone, "forward", wraps=model.backbone.forward) as forward:
        first = augmenter.replacements(["the good film", "bad day", "the good film"])
        calls = forward.call_count
        assert augmenter.replacements(["bad day", "the good film"]) == [first[1], first[0]]
        assert forward.call_count == calls
    assert first[0] == first[2]


def test_what_is_remembered_is_bounded() -> None:
    augmenter = Augmenter(vectors=VECTORS)
    with mock.patch("plm.distillation.augmentation._REMEMBERED", 3):
        for number in range(10):
            assert augmenter.replacements([f"film {number}", "film", f"film {number}"])[1]
            assert len(augmenter._known) <= 4


def test_chinese_characters_and_segmented_words(tmp_path: Path) -> None:
    model, tokenizer = tiny_masked_lm(tmp_path)
    asked = Augmentation(language="zh", variants=50, probability=0.9)
    text = "明月 的光 film"
    [[_, *found]] = Augmenter(asked, model=model, tokenizer=tokenizer).augment([text])
    assert found
    assert all(re.fullmatch("[明月光]{2} 的[明月光] film", variant) for variant in found)
    segmented = Augmenter(asked, model=model, tokenizer=tokenizer, segmenter=lambda text: ["明月", "的", "光", "film"])
    [words] = segmented.replacements([text])
    assert [span for span, _ in words] == [(0, 2), (4, 5)]
    assert all(len(option) == 2 for option in words[0][1])
    assert "明月" not in words[0][1]


def test_chinese_words_have_neighbours_too() -> None:
    vectors = WordVectors(("电影", "影片", "好看", "film"), np.eye(4, 3, dtype=np.float32) + 1)
    augmenter = Augmenter(
        Augmentation(language="zh"), vectors=vectors, segmenter=lambda text: re.findall("电影|.", text)
    )
    [[(span, options)]] = augmenter.replacements(["看电影"])
    assert span == (1, 3)
    assert set(options) == {"影片", "好看"}


def test_presets_are_those_of_the_glue_tasks_and_a_number_wins() -> None:
    assert set(VARIANTS) <= set(GLUE_TASKS)
    assert (variants_of("sts-b"), variants_of("mnli"), variants_of("wnli")) == (30, 10, 20)
    assert variants_of("cola", 3) == 3


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to take words from"):
        Augmenter()
    with pytest.raises(ConfigError, match="go together; give both or none"):
        Augmenter(model=tiny_masked_lm(tmp_path)[0])
    with pytest.raises(ConfigError, match="probability: expected a share"):
        Augmentation(probability=0.0)
    with pytest.raises(ConfigError, match="variants: expected a positive integer"):
        Augmentation(variants=0)
    with pytest.raises(ConfigError, match="seed: expected 0 or more"):
        Augmentation(seed=-1)
    with pytest.raises(ConfigError, match="language: 'de' is not one of 'en', 'zh'"):
        Augmentation(language="de")
    with pytest.raises(ConfigError, match="passes: 'all' is not one of"):
        Augmentation(passes="all")  # type: ignore[arg-type]
