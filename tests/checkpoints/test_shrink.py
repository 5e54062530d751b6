"""A smaller model says about its words what the large one said, and everything about it is smaller together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.checkpoints.loading import load_model
from plm.checkpoints.saving import save_model
from plm.checkpoints.shrink import chosen_layers, shrink, smaller_model
from plm.errors import CheckpointError, ConfigError, TokenizerError
from plm.heads.model import Model
from plm.tokenizers import load_tokenizer
from tests.tiny_folders import VOCABULARY as TOKENS
from tests.tiny_folders import tiny_folder
from tests.tiny_models import VOCABULARY, tiny_model
from tests.tolerances import assert_close

SENTENCES = ["the good film was very good", "the rain was bad", "not the sun"]
KEPT = ["good", "film", "was", "very", "the", "rain", "bad", "not", "sun"]

LANGUAGE_MODELS = [
    ("bert", ("pretraining",), "prediction_logits"),
    ("nezha", ("masked_lm",), "logits"),
    ("tinybert", ("pretraining", "hidden_projection"), "prediction_logits"),
    ("openai-gpt", ("causal_lm",), "logits"),
]


def logits(model: Model, ids: list[int], field: str) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([ids]), head=next(iter(model.heads)))[field][0]


@pytest.mark.parametrize(("family", "heads", "field"), LANGUAGE_MODELS)
def test_texts_of_kept_tokens_get_the_same_logits(
    family: str, heads: tuple[str, ...], field: str, tmp_path: Path
) -> None:
    source = tiny_folder(tmp_path / "large", family, *heads)
    report = shrink(source, tmp_path / "small", texts=SENTENCES, keep_characters=False)
    assert report.tokens[1] < report.tokens[0]
    before, after = load_tokenizer(source), load_tokenizer(tmp_path / "small")
    large, small = load_model(source)[0], load_model(tmp_path / "small")[0]
    assert small.config.vocab_size == len(after) == report.tokens[1]
    assert tuple(small.heads) == heads
    old_ids = [before.convert_tokens_to_ids(token) for token in after.convert_ids_to_tokens(list(range(len(after))))]
    for sentence in SENTENCES:
        assert after.tokenize(sentence) == before.tokenize(sentence)
        expected = logits(large, before.encode(sentence), field)[:, old_ids]
        assert_close(logits(small, after.encode(sentence), field), expected)


@settings(deadline=None, max_examples=15)
@given(st.sets(st.integers(0, VOCABULARY - 1), min_size=2), st.integers(0, 99))
def test_any_choice_of_rows_keeps_their_logits(chosen: set[int], seed: int) -> None:
    large, rows = tiny_model("bert", "masked_lm").eval(), sorted(chosen)
    small = smaller_model(large, layers=(0, 1), rows=rows)
    new = torch.randint(len(rows), (7,), generator=torch.Generator().manual_seed(seed)).tolist()
    expected = logits(large, [rows[id_] for id_ in new], "logits")[:, rows]
    assert_close(logits(small, new, "logits"), expected)
    assert small.config.pad_token_id == (0 if 0 in chosen else None)


def test_the_ids_of_padding_move_with_the_vocabulary(tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "large", "bert", "masked_lm", pad_token_id=TOKENS.index("[SEP]"))
    shrink(source, tmp_path / "small", keep_tokens=["sun"], keep_characters=False)
    small = load_model(tmp_path / "small")[0]
    assert small.config.pad_token_id == load_tokenizer(tmp_path / "small").sep_token_id


def test_an_output_table_of_its_own_shrinks_too(tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "large", "bert", "masked_lm", tie_word_embeddings=False)
    shrink(source, tmp_path / "small", keep_tokens=KEPT, keep_characters=False)
    small = load_model(tmp_path / "small")[0]
    assert small.heads["masked_lm"].language_model.decoder.weight.shape[0] == small.config.vocab_size


def test_characters_stay_unless_they_are_told_to_go(tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "large", "bert")
    shrink(source, tmp_path / "with", keep_tokens=["sun"])
    shrink(source, tmp_path / "without", keep_tokens=["sun"], keep_characters=False)
    assert "明" in load_tokenizer(tmp_path / "with").get_vocab()
    assert "明" not in load_tokenizer(tmp_path / "without").get_vocab()


def test_tokens_and_texts_may_come_from_files(tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "large", "bert")
    (tmp_path / "tokens.txt").write_text("sun\nrain\n\n", encoding="utf-8")
    (tmp_path / "texts.txt").write_text("the old book\nthe old film\nthe sun\n", encoding="utf-8")
    shrink(source, tmp_path / "a", keep_tokens=tmp_path / "tokens.txt", keep_characters=False)
    shrink(source, tmp_path / "b", keep_tokens=2, texts=tmp_path / "texts.txt", keep_characters=False)
    words = [set(load_tokenizer(tmp_path / name).get_vocab()) - set(TOKENS[:5]) for name in "ab"]
    assert words == [{"sun", "rain"}, {"the", "old"}]


def test_an_unknown_token_is_named_with_its_line(tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "large", "bert")
    (tmp_path / "tokens.txt").write_text("sun\nraim\n", encoding="utf-8")
    with pytest.raises(TokenizerError, match=r"tokens.txt, line 2: no such token 'raim'; did you mean 'rain'"):
        shrink(source, tmp_path / "small", keep_tokens=tmp_path / "tokens.txt")
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize("family", ["bert", "openai-gpt"])
def test_kept_layers_are_those_of_the_large_model(family: str, tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "large", family, "sequence_classification", num_hidden_layers=4)
    report = shrink(source, tmp_path / "small", keep_layers=[0, 2])
    assert report.layers == (4, 2)
    large, small = load_model(source)[0], load_model(tmp_path / "small")[0]
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        del large.backbone.blocks[3], large.backbone.blocks[1]
        assert torch.equal(small(ids).logits, large(ids).logits)
    assert load_tokenizer(tmp_path / "small").get_vocab() == load_tokenizer(source).get_vocab()


def test_fit_layers_of_tinybert_follow_their_blocks(tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "large", "tinybert", "hidden_projection", num_hidden_layers=3)
    shrink(source, tmp_path / "small", keep_layers=[1])
    large, small = (load_model(folder)[0].heads["hidden_projection"] for folder in (source, tmp_path / "small"))
    assert len(small.per_layer) == 2
    assert torch.equal(small.per_layer[0].weight, large.per_layer[0].weight)
    assert torch.equal(small.per_layer[1].weight, large.per_layer[2].weight)
    assert torch.equal(small.shared.weight, large.shared.weight)


@pytest.mark.parametrize(("keep", "chosen"), [(None, (0, 1, 2)), (2, (0, 1)), ([0, 2], (0, 2))])
def test_layers_are_counted_from_the_bottom_or_named(keep: object, chosen: tuple[int, ...]) -> None:
    assert chosen_layers(keep, 3) == chosen  # type: ignore[arg-type]


@pytest.mark.parametrize("keep", [0, 4, [], [2, 1], [1, 1], [-1], [3]])
def test_layers_that_are_not_there_are_refused(keep: object) -> None:
    with pytest.raises(ConfigError, match="rising numbers from 0 to 2"):
        chosen_layers(keep, 3)  # type: ignore[arg-type]


def test_half_the_bits_are_half_the_bytes(tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "large", "bert", "masked_lm")
    report = shrink(source, tmp_path / "small", dtype="float16")
    assert report.size[1] * 2 == report.size[0]
    small, _ = load_model(tmp_path / "small", dtype=None)
    assert small.dtype is torch.float16
    large, _ = load_model(source)
    assert torch.equal(small.backbone.embeddings.word.weight, large.backbone.embeddings.word.weight.half())


def test_numbers_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    model = tiny_model("bert").eval()
    with torch.no_grad():
        model.backbone.blocks[0].feed_forward.up.weight[0, 0] = 1e6
    save_model(model, tmp_path / "large")
    with pytest.raises(CheckpointError, match=r"feed_forward.up.weight holds 1e\+06, too large for float16"):
        shrink(tmp_path / "large", tmp_path / "small", dtype=torch.float16)


def test_nothing_to_do_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to shrink"):
        shrink(tiny_folder(tmp_path / "large", "bert"), tmp_path / "small")


def test_a_number_of_tokens_needs_texts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="from texts"):
        shrink(tiny_folder(tmp_path / "large", "bert"), tmp_path / "small", keep_tokens=10)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "large", "bert", vocab_size=9)
    with pytest.raises(CheckpointError, match="do not belong together"):
        shrink(source, tmp_path / "small", keep_tokens=["sun"])


def test_the_report_is_plain_json_and_lines(tmp_path: Path) -> None:
    report = shrink(tiny_folder(tmp_path / "large", "bert"), tmp_path / "small", keep_layers=1)
    assert json.loads(json.dumps(report.to_dict()))["kept_layers"] == [0]
    assert "layers: 2 -> 1 (0)" in report.lines()


def test_what_the_heads_have_learned_is_told_in_the_small_folder_too(tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "large", "bert", "sequence_classification")
    (source / "tasks.json").write_text('{"task": {"kind": "classification"}}')
    shrink(source, tmp_path / "small", keep_layers=1)
    assert (tmp_path / "small" / "tasks.json").read_text() == '{"task": {"kind": "classification"}}'
