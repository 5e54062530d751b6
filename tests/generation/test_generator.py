"""Prompts as text: one model with its tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest

import plm
from plm.errors import CheckpointError, ConfigError, DataError, ShapeError
from plm.generation import GenerationConfig, Generator
from plm.generation.texts import Stream, continuation
from plm.tokenizers import load_tokenizer
from tests.tiny_folders import tiny_folder

CAUSAL = {"bert": {"is_decoder": True}, "nezha": {"is_decoder": True}, "openai-gpt": {}}
PROMPTS = ["the old film was", "very", "the red sun"]


@pytest.fixture(scope="module", params=["bert", "nezha", "openai-gpt"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    changes = {} if request.param == "openai-gpt" else {"attention_pattern": "causal"}
    return tiny_folder(tmp_path_factory.mktemp(request.param), request.param, "causal_lm", **changes)


def test_a_batch_of_prompts_gives_what_each_alone_gives(folder: Path) -> None:
    generator = Generator.from_pretrained(folder, rows=4)
    config = GenerationConfig(max_new_tokens=6, temperature=1.5, num_return_sequences=2, seed=3)
    together = generator(PROMPTS, config)
    assert [len(texts) for texts in together] == [2, 2, 2]
    for prompt, texts in zip(PROMPTS, together, strict=True):
        (alone,) = generator(prompt, config)
        assert [text.ids for text in alone] == [text.ids for text in texts]
        assert [text.text for text in alone] == [text.text for text in texts]
        assert [text.score for text in alone] == pytest.approx([text.score for text in texts], abs=1e-4)


def test_a_stream_is_the_text_piece_by_piece(folder: Path) -> None:
    generator = Generator.from_pretrained(folder)
    for seed in range(5):
        config = GenerationConfig(max_new_tokens=12, temperature=2.0, seed=seed)
        pieces = list(generator.stream("the old", config))
        assert "".join(pieces) == generator("the old", config)[0][0].text
        assert all(pieces)


def test_a_stop_text_ends_the_text_and_is_cut_off(folder: Path) -> None:
    generator = Generator.from_pretrained(folder)
    config = GenerationConfig(max_new_tokens=20, temperature=2.0, seed=1, stop_token_ids=())
    (whole,) = generator("the", config)[0]
    stop = whole.text[len(whole.text) // 2 :][:3]
    stopped = GenerationConfig(max_new_tokens=20, temperature=2.0, seed=1, stop_token_ids=(), stop_strings=(stop,))
    (cut,) = generator("the", stopped)[0]
    assert cut.text == whole.text[: whole.text.find(stop)]
    assert cut.ending == "stop"
    assert "".join(generator.stream("the", stopped)) == cut.text


def test_a_causal_bert_starts_with_cls_and_ends_with_sep(tmp_path: Path) -> None:
    generator = Generator.from_pretrained(tiny_folder(tmp_path, "bert", "causal_lm", attention_pattern="causal"))
    tokenizer = generator.tokenizer
    assert generator.encode("the sun") == tokenizer("the sun")["input_ids"][:-1]
    assert generator.encode("") == [tokenizer.cls_token_id]
    texts = generator("the", GenerationConfig(max_new_tokens=20, temperature=3.0, num_return_sequences=20))[0]
    ended = [text for text in texts if text.ending == "stop"]
    assert ended
    for text in ended:
        assert text.ids[-1] == tokenizer.sep_token_id
        assert "[SEP]" not in text.text


def test_the_pipeline_answers_with_dictionaries(folder: Path) -> None:
    write = plm.pipeline("text-generation", folder)
    config = plm.GenerationConfig(max_new_tokens=3)
    found = write(PROMPTS, config)
    assert found == [
        [{"text": t.text, "score": t.score, "ending": t.ending} for t in texts]
        for texts in Generator.from_pretrained(folder)(PROMPTS, config)
    ]


def test_wrong_prompts_say_what_is_wrong(tmp_path: Path) -> None:
    generator = Generator.from_pretrained(tiny_folder(tmp_path, "openai-gpt", "causal_lm"))
    with pytest.raises(DataError, match="prompt 1: is empty"):
        generator(["the", ""])
    with pytest.raises(DataError, match="prompt 0: expected a string, got int"):
        generator([3])  # type: ignore[list-item]
    with pytest.raises(ShapeError, match="positions"):
        generator("the " * 20, GenerationConfig(max_new_tokens=20))
    with pytest.raises(ConfigError, match="a stream is one text"):
        next(generator.stream("the", GenerationConfig(temperature=1.0, num_return_sequences=2)))


def test_models_that_were_not_trained_for_it_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is_decoder"):
        Generator.from_pretrained(tiny_folder(tmp_path / "a", "bert", "masked_lm"))
    with pytest.raises(CheckpointError, match="no trained language model"):
        Generator.from_pretrained(
            tiny_folder(tmp_path / "b", "bert", "sequence_classification", attention_pattern="causal")
        )


def test_text_is_the_difference_that_tokens_make(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(tiny_folder(tmp_path, "bert", "masked_lm"))
    slow, ly, film = tokenizer.convert_tokens_to_ids(["slow", "##ly", "film"])
    assert continuation(tokenizer, [slow], [ly, film], ()) == "ly film"
    stream = Stream(tokenizer, [slow], ["film s"])
    assert [stream.add(ly), stream.add(film), stream.add(slow)] == ["ly", " ", ""]
    assert stream.rest() == ""
