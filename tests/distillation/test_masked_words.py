"""Words filled in by a masked language model: as one pass a word would fill them in, in whatever batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import pytest
import torch

from plm.auto.model import PretrainedModel
from plm.auto.models import AutoModel, AutoModelForMaskedLM
from plm.distillation.fill_rows import Apart, Blank, Frame, Together
from plm.distillation.masked_words import MaskedWords
from plm.distillation.replaceable import LANGUAGES, Span
from plm.errors import ConfigError, TokenizerError
from plm.tokenizers import Tokenizer
from tests.distillation.fill import tiny_masked_lm
from tests.tiny_folders import CHARACTERS, VOCABULARY, WORDS, tiny_folder

TEXTS = ["the film was good", "a very slow day", "good", "Bad  book, red sun; old rain.", ""]


def is_latin(token: str) -> bool:
    return LANGUAGES.get("en").word.fullmatch(token) is not None


def is_chinese(token: str) -> bool:
    return LANGUAGES.get("zh").word.fullmatch(token) is not None


def spans_of(text: str, *words: str) -> list[Span]:
    return [(text.index(word), text.index(word) + len(word)) for word in words]


def all_spans(texts: Sequence[str]) -> list[list[Span]]:
    return [[match.span() for match in LANGUAGES.get("en").found.finditer(text)] for text in texts]


def plainly(
    model: PretrainedModel, tokenizer: Tokenizer, text: str, word: Span, is_candidate: Callable[[str], bool]
) -> list[str]:
    """What one pass for one word says, without batches, labels or windows."""
    batch = tokenizer(text, text, return_tensors="pt", return_offsets_mapping=True)
    place = next(
        token
        for token, (span, sequence) in enumerate(zip(batch.offsets(), batch.sequence_ids(), strict=True))
        if tuple(span) == word and sequence == 0
    )
    batch["input_ids"][0, place] = tokenizer.mask_token_id
    del batch["offset_mapping"]
    with torch.no_grad():
        scores = model(**batch).logits[0, place]
    tokens = [tokenizer.convert_ids_to_tokens(id_) for id_ in scores.argsort(descending=True).tolist()]
    return [token for token in tokens if is_candidate(token) and token != text[slice(*word)].lower()]


@pytest.mark.parametrize("family", ["bert", "nezha", "tinybert"])
def test_words_are_those_of_one_pass_a_word(tmp_path: Path, family: str) -> None:
    model, tokenizer = tiny_masked_lm(tmp_path, family)
    filled = MaskedWords(model, tokenizer, is_candidate=is_latin).fill(TEXTS, all_spans(TEXTS), count=6)
    for text, spans, options in zip(TEXTS, all_spans(TEXTS), filled, strict=True):
        assert len(options) == len(spans)
        for span, found in zip(spans, options, strict=True):
            assert found == plainly(model, tokenizer, text, span, is_latin)[:6]


@pytest.mark.parametrize("passes", ["word", "text"])
def test_words_do_not_depend_on_the_batch(tmp_path: Path, passes: str) -> None:
    model, tokenizer = tiny_masked_lm(tmp_path)
    spans = all_spans(TEXTS)
    expected = MaskedWords(model, tokenizer, is_candidate=is_latin, passes=passes).fill(TEXTS, spans, count=5)
    for tokens in (1, 40, 100):
        asked = MaskedWords(model, tokenizer, is_candidate=is_latin, passes=passes, tokens_per_batch=tokens)
        assert asked.fill(TEXTS, spans, count=5) == expected
        reverse = asked.fill(TEXTS[::-1], spans[::-1], count=5)
        assert reverse[::-1] == expected


def test_masks_that_share_a_pass_do_not_see_each_other(tmp_path: Path) -> None:
    model, tokenizer = tiny_masked_lm(tmp_path)
    asked = MaskedWords(model, tokenizer, is_candidate=is_latin, passes="text")
    [together] = asked.fill(TEXTS[:1], all_spans(TEXTS[:1]), count=5)
    alone = [asked.fill(TEXTS[:1], [[span]], count=5)[0][0] for span in all_spans(TEXTS[:1])[0]]
    assert together == alone


@pytest.mark.parametrize("family", ["bert", "tinybert"])
def test_with_one_layer_both_ways_to_ask_say_the_same(tmp_path: Path, family: str) -> None:
    # Only from the second layer on can a mask see what others have seen.
    model, tokenizer = tiny_masked_lm(tmp_path, family, num_hidden_layers=1)
    word, text = (
        MaskedWords(model, tokenizer, is_candidate=is_latin, passes=passes).fill(TEXTS, all_spans(TEXTS), count=9)
        for passes in ("word", "text")
    )
    assert word == text


def test_pieces_special_tokens_and_the_word_itself_never_fill_in(tmp_path: Path) -> None:
    model, tokenizer = tiny_masked_lm(tmp_path)
    asked = MaskedWords(model, tokenizer, is_candidate=lambda token: True)
    for text, options in zip(TEXTS, asked.fill(TEXTS, all_spans(TEXTS), count=99), strict=True):
        for span, found in zip(all_spans([text])[0], options, strict=True):
            assert found is not None
            assert set(found) == {*WORDS, *CHARACTERS[:5]} - {text[slice(*span)].lower()}


def test_words_in_pieces_or_unknown_are_left_to_others(tmp_path: Path) -> None:
    model, tokenizer = tiny_masked_lm(tmp_path)
    text = "slowly the strange day"
    filled = MaskedWords(model, tokenizer, is_candidate=is_latin).fill(
        [text], [spans_of(text, "slowly", "strange", "day", "tran")], count=3
    )
    assert [options is None for options in filled[0]] == [True, True, False, True]


@pytest.mark.parametrize("passes", ["word", "text"])
def test_chinese_words_are_masked_whole_and_filled_by_as_many_characters(tmp_path: Path, passes: str) -> None:
    model, tokenizer = tiny_masked_lm(tmp_path)
    asked = MaskedWords(model, tokenizer, is_candidate=is_chinese, passes=passes)
    text = "明月光, 光明"
    [[whole, single]] = asked.fill([text], [[(0, 2), (2, 3)]], count=99)
    assert whole is not None
    assert sorted(whole) == sorted(a + b for a in "明月光" for b in "明月光" if a + b != "明月")
    assert single is not None
    assert sorted(single) == sorted("明月")


def test_the_best_fillings_of_several_masks_are_those_of_the_highest_sum(tmp_path: Path) -> None:
    model, tokenizer = tiny_masked_lm(tmp_path)
    text = "明月 day"
    [[best]] = MaskedWords(model, tokenizer, is_candidate=is_chinese).fill([text], [[(0, 2)]], count=4)
    batch = tokenizer(text, text, return_tensors="pt")
    batch["input_ids"][0, 1:3] = tokenizer.mask_token_id
    with torch.no_grad():
        first, second = model(**batch).logits[0, 1:3]
    sums = {
        a + b: float(first[tokenizer.convert_tokens_to_ids(a)] + second[tokenizer.convert_tokens_to_ids(b)])
        for a in "明月光"
        for b in "明月光"
        if a + b != "明月"
    }
    assert best == sorted(sums, key=sums.__getitem__, reverse=True)[:4]


@pytest.mark.parametrize("passes", ["word", "text"])
def test_every_word_of_a_long_text_is_filled_in_within_the_model_s_length(tmp_path: Path, passes: str) -> None:
    model, tokenizer = tiny_masked_lm(tmp_path, max_position_embeddings=24)
    text = " ".join(WORDS * 20)
    words = all_spans([text])
    lengths: list[int] = []
    forward = model.backbone.forward

    def spied(input_ids: torch.Tensor, *others: object, **more: object) -> object:
        lengths.append(input_ids.shape[1])
        return forward(input_ids, *others, **more)  # type: ignore[arg-type]

    with mock.patch.object(model.backbone, "forward", spied):
        [filled] = MaskedWords(model, tokenizer, is_candidate=is_latin, passes=passes).fill([text], words, count=2)
    assert len(filled) == 300
    assert all(options is not None and len(options) == 2 for options in filled)
    assert max(lengths) <= 24


def test_windows_keep_words_away_from_their_edges() -> None:
    frame = Frame(cls=1, sep=2, mask=3, pad=0, has_types=True)
    tokens = list(range(1000, 1400))
    blanks = [Blank(0, place, place, place + 1) for place in range(400)]
    for passes, width in ((Apart(frame, 103), 50), (Together(frame, 103), 40)):
        seen = []
        for row in passes.rows(blanks, [tokens]):
            assert row.window == tokens[row.start : row.start + width]
            assert passes.length(row) <= 103
            for blank in row.blanks:
                seen.append(blank)
                assert row.window[row.places(blank).start - 1] == tokens[blank.first]
                left, right = blank.first - row.start, row.start + width - blank.last
                assert left >= min(blank.first, width // 4 - 1)
                assert right >= min(400 - blank.last, width // 4 - 1)
        assert sorted(seen, key=lambda blank: blank.word) == blanks


def test_the_model_is_only_asked(tmp_path: Path) -> None:
    model, tokenizer = tiny_masked_lm(tmp_path)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    MaskedWords(model, tokenizer, is_candidate=is_latin).fill(TEXTS, all_spans(TEXTS), count=5)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_vocabulary_larger_or_smaller_than_the_model_is_no_trouble(tmp_path: Path) -> None:
    for size in (len(VOCABULARY) + 3, len(VOCABULARY) - 2):
        folder = tmp_path / str(size)
        model, tokenizer = tiny_masked_lm(folder, vocab_size=size)
        [[found]] = MaskedWords(model, tokenizer, is_candidate=lambda token: True).fill(["good"], [[(0, 4)]], count=99)
        assert found is not None
        assert set(found) == {*WORDS, *CHARACTERS[:5]} - {"good"}


def test_models_that_cannot_fill_in_are_refused(tmp_path: Path) -> None:
    model, tokenizer = tiny_masked_lm(tmp_path)
    with pytest.raises(ConfigError, match="expected a model with a masked_lm head, got none"):
        MaskedWords(AutoModel.from_pretrained(tmp_path / "bert"), tokenizer, is_candidate=is_latin)
    with pytest.raises(ConfigError, match="max_length: expected 16 tokens or more"):
        MaskedWords(model, tokenizer, is_candidate=is_latin, max_length=15)
    with pytest.raises(ConfigError, match=r"passes: 'words' is not one of word, text; did you mean 'word'"):
        MaskedWords(model, tokenizer, is_candidate=is_latin, passes="words")
    nezha, _ = tiny_masked_lm(tmp_path, "nezha")
    with pytest.raises(ConfigError, match='nezha knows only distances; take passes "word"'):
        MaskedWords(nezha, tokenizer, is_candidate=is_latin, passes="text")
    tokenizer.set_role("mask_token", None)
    with pytest.raises(TokenizerError, match="the vocabulary has no mask token"):
        MaskedWords(model, tokenizer, is_candidate=is_latin)


def test_a_head_that_was_not_in_the_checkpoint_is_refused(tmp_path: Path) -> None:
    tiny_folder(tmp_path / "bare", "bert")
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "bare")
    _, tokenizer = tiny_masked_lm(tmp_path)
    with pytest.raises(ConfigError, match="is not in the checkpoint and was initialised"):
        MaskedWords(model, tokenizer, is_candidate=is_latin)


def test_models_without_token_types_are_asked_without(tmp_path: Path) -> None:
    frame = Frame(cls=1, sep=2, mask=3, pad=0, has_types=True)
    [row] = Apart(frame, 40).rows([Blank(0, 0, 1, 2)], [[10, 11, 12]])
    inputs = Apart(frame, 40).inputs([row], torch.device("cpu"))
    assert inputs["input_ids"].tolist() == [[1, 10, 3, 12, 2, 10, 11, 12, 2]]
    assert inputs["token_type_ids"].tolist() == [[0] * 5 + [1] * 4]
    assert inputs["labels"].tolist() == [[-100, -100, 11, *[-100] * 6]]
    bare = dataclasses.replace(frame, has_types=False)
    assert set(Apart(bare, 40).inputs([row], torch.device("cpu"))) == {"input_ids", "labels"}
