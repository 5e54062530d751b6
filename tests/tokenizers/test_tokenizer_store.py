"""Tokenizer folders of several makers, and what is written back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import models

from plm.errors import TokenizerError
from plm.tokenizers import Tokenizer, load_tokenizer

Write = Callable[..., Path]
LINES = ["Hello, World! It's 3.14 — café", "中文 abc", "They're gone…\nMr. O'Neil", "[MASK] <unk>", ""]


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["uncased", "chinese", "openai", "bert"])
def test_a_saved_tokenizer_opens_with_equal_ids_and_tokens(
    kind: str, uncased_file: Path, chinese_file: Path, gpt1_folder: Path, tmp_path: Path
) -> None:
    tokenizer = {
        "uncased": lambda: load_tokenizer(uncased_file),
        "chinese": lambda: load_tokenizer(chinese_file),
        "openai": lambda: load_tokenizer(gpt1_folder, pretokenizer="openai"),
        "bert": lambda: load_tokenizer(gpt1_folder, pretokenizer="bert"),
    }[kind]()
    tokenizer.add_special_tokens({"bos_token": "<start>", "pad_token": "<pad>", "additional_special_tokens": ["<e1>"]})
    tokenizer.add_tokens(["covid"])
    tokenizer.model_max_length = 512
    files = tokenizer.save_pretrained(tmp_path)
    assert all(file.is_file() for file in files)
    again = load_tokenizer(tmp_path)
    assert again.notes == []
    assert again.encode_batch_ids(LINES) == tokenizer.encode_batch_ids(LINES)
    assert again.special_tokens_map == tokenizer.special_tokens_map
    assert again.all_special_tokens == tokenizer.all_special_tokens
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again.model_max_length == 512
    again.parse_special_tokens = tokenizer.parse_special_tokens = True
    assert again.encode_batch_ids(["a<start>b"]) == tokenizer.encode_batch_ids(["a<start>b"])


def test_the_older_files_alone_give_the_same_ids(uncased: Tokenizer, gpt1: Tokenizer, tmp_path: Path) -> None:
    for name, tokenizer in (("bert", uncased), ("gpt1", gpt1)):
        tokenizer.save_pretrained(tmp_path / name)
        (tmp_path / name / "tokenizer.json").unlink()
        assert load_tokenizer(tmp_path / name).encode_batch_ids(LINES) == tokenizer.encode_batch_ids(LINES)
    assert (tmp_path / "bert" / "vocab.txt").read_text(encoding="utf-8").startswith("[PAD]\n[unused0]\n")
    assert (tmp_path / "gpt1" / "merges.txt").read_text(encoding="utf-8").startswith("#version: 0.2\nt h\n")


def test_a_folder_with_tokenizer_json_alone_opens(uncased: Tokenizer, gpt1: Tokenizer, tmp_path: Path) -> None:
    for name, tokenizer in (("bert", uncased), ("gpt1", gpt1)):
        tokenizer.save_pretrained(tmp_path / name)
        for file in (tmp_path / name).iterdir():
            if file.name != "tokenizer.json":
                file.unlink()
        again = load_tokenizer(tmp_path / name)
        assert again.encode_batch_ids(LINES) == tokenizer.encode_batch_ids(LINES)
        assert again.special_tokens_map == tokenizer.special_tokens_map


def test_files_are_readable_by_others_and_leave_nothing_behind(uncased: Tokenizer, tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        uncased.save_pretrained(tmp_path / "new" / "folder")
    finally:
        os.umask(umask)
    found = sorted((tmp_path / "new" / "folder").iterdir())
    assert [file.name for file in found] == ["tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    assert {file.stat().st_mode & 0o777 for file in found} == {0o644}


@pytest.mark.parametrize(("name", "size"), [("vocab_crlf", 60), ("vocab_bom", 60), ("vocab_duplicate_lines", 60)])
def test_odd_vocabularies_load_with_line_numbers_as_ids(
    name: str, size: int, checkpoint: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = checkpoint("adversarial") / name
    tokenizer = load_tokenizer(folder)
    lines = (folder / "vocab.txt").read_text(encoding="utf-8-sig").split()
    assert len(tokenizer) == len(lines) == size
    repeated = {line for line in lines if lines.count(line) > 1}
    for id_, line in enumerate(lines):
        assert line in repeated or tokenizer.convert_tokens_to_ids(line) == id_
    assert bool(repeated) == any("lines 11 and 21" in note for note in tokenizer.notes)
    assert bool(repeated) == ("lines 11 and 21" in caplog.text)


def test_new_tokens_follow_a_vocabulary_with_repeated_lines(write_vocab: Write) -> None:
    tokenizer = load_tokenizer(write_vocab("a", "b", "a"))
    assert tokenizer.add_tokens(["new"]) == 1
    assert tokenizer.convert_tokens_to_ids(["b", "a", "new"]) == [6, 7, 8]


def test_casing_is_inferred_from_the_vocabulary_and_said(write_vocab: Write) -> None:
    uncased = load_tokenizer(write_vocab("hello"))
    assert uncased.tokenize("HELLO") == ["hello"]
    assert "taken to be uncased" in uncased.notes[0]
    cased = load_tokenizer(write_vocab("hello", "Hello"))
    assert cased.tokenize("Hello") == ["Hello"]
    assert "taken to be cased" in cased.notes[0]


def test_stated_casing_beats_the_vocabulary_and_an_argument_beats_both(write_vocab: Write) -> None:
    folder = write_vocab("hello", tokenizer_config={"do_lower_case": False})
    assert load_tokenizer(folder).tokenize("HELLO hello") == ["[UNK]", "hello"]
    assert load_tokenizer(folder).notes == []
    assert load_tokenizer(folder, do_lower_case=True).tokenize("HELLO") == ["hello"]


def test_tokenizer_config_overrules_tokenizer_json_and_says_so(uncased: Tokenizer, tmp_path: Path) -> None:
    uncased.save_pretrained(tmp_path)
    config = config_of(tmp_path) | {"do_lower_case": False, "tokenize_chinese_chars": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.tokenize("Hello") == ["[UNK]"]
    assert len(tokenizer.notes) == 2
    assert "do_lower_case was True; False" in tokenizer.notes[0]


def test_a_normalizer_of_another_maker_is_used_as_it_is(write_vocab: Write) -> None:
    folder = write_vocab("a")
    backend = load_tokenizer(folder).backend
    backend.normalizer = tokenizers.normalizers.Replace("b", "a")
    (folder / "tokenizer.json").write_text(backend.to_str(), encoding="utf-8")
    tokenizer = load_tokenizer(folder)
    assert tokenizer.tokenize("b A") == ["a", "[UNK]"]
    tokenizer.save_pretrained(folder)
    assert config_of(folder)["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_a_tokenizer_json_without_frame_gets_that_of_bert(write_vocab: Write) -> None:
    folder = write_vocab("a")
    state = json.loads(load_tokenizer(folder).backend.to_str()) | {"post_processor": None}
    (folder / "tokenizer.json").write_text(json.dumps(state), encoding="utf-8")
    assert load_tokenizer(folder)("a", "a").tokens() == ["[CLS]", "a", "[SEP]", "a", "[SEP]"]
    assert "has no post_processor" in load_tokenizer(folder).notes[0]


def test_the_limit_of_the_model_is_read_under_both_its_names(write_vocab: Write) -> None:
    assert load_tokenizer(write_vocab("a")).model_max_length == int(1e30)
    assert load_tokenizer(write_vocab("a", tokenizer_config={"max_len": 512})).model_max_length == 512
    assert load_tokenizer(write_vocab("a", tokenizer_config={"model_max_length": 128})).model_max_length == 128
    assert load_tokenizer(write_vocab("a"), model_max_length=64).model_max_length == 64


def test_truncation_and_padding_stored_in_tokenizer_json_are_not_kept(uncased: Tokenizer, tmp_path: Path) -> None:
    uncased("a", max_length=3, padding="max_length")
    uncased.backend.enable_padding(length=9)
    (tmp_path / "tokenizer.json").write_text(uncased.backend.to_str(), encoding="utf-8")
    assert load_tokenizer(tmp_path).encode("a b c d") == [101, 1037, 1038, 1039, 1040, 102]
    uncased.save_pretrained(tmp_path)
    state = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    assert state["truncation"] is state["padding"] is None


def test_special_tokens_may_have_other_names(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("<pad>\n<unk>\n<s>\n</s>\na\n", encoding="utf-8")
    names = {"unk_token": "<unk>", "cls_token": {"content": "<s>", "lstrip": False}, "mask_token": None}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(names), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text('{"sep_token": "</s>", "pad_token": "<pad>"}', encoding="utf-8")
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer("a b").tokens() == ["<s>", "a", "<unk>", "</s>"]
    assert tokenizer.mask_token is None
    assert tokenizer.pad_token_id == 0


def test_missing_special_tokens_are_named_with_the_way_out(tmp_path: Path, write_vocab: Write) -> None:
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\na\n", encoding="utf-8")
    with pytest.raises(TokenizerError, match=r"no sep_token '\[SEP\]'.*tokenizer_config.json"):
        load_tokenizer(tmp_path)
    folder = write_vocab("a", tokenizer_config={"bos_token": "<s>"})
    assert "bos_token: '<s>' is not in the vocabulary" in load_tokenizer(folder).notes[-1]


def test_added_tokens_of_all_generations_get_their_ids(write_vocab: Write) -> None:
    folder = write_vocab(
        "a",
        added_tokens={"<e1>": 6, "word": 7},
        tokenizer_config={
            "added_tokens_decoder": {"0": {"content": "[PAD]"}, "8": {"content": "<e2>", "special": True}},
            "additional_special_tokens": ["<e1>", {"content": "<e3>"}],
        },
    )
    tokenizer = load_tokenizer(folder)
    assert tokenizer.convert_tokens_to_ids(["<e1>", "word", "<e2>", "<e3>"]) == [6, 7, 8, 9]
    assert tokenizer.all_special_tokens[-3:] == ["<e1>", "<e2>", "<e3>"]
    assert tokenizer.tokenize("a word") == ["a", "word"]


def test_added_tokens_keep_their_flags(write_vocab: Write, tmp_path: Path) -> None:
    entry = {"content": "[MASK]", "special": True, "lstrip": True, "normalized": False}
    tokenizer = load_tokenizer(write_vocab("a", tokenizer_config={"added_tokens_decoder": {"4": entry}}))
    tokenizer.save_pretrained(tmp_path)
    again = load_tokenizer(tmp_path, parse_special_tokens=True)
    assert again.backend.get_added_tokens_decoder()[4].lstrip
    assert again("a [MASK]", return_offsets_mapping=True)["offset_mapping"][2] == (1, 8)


def test_added_tokens_with_other_ids_are_refused(write_vocab: Write) -> None:
    with pytest.raises(TokenizerError, match="'<e1>' is declared with id 9, but the vocabulary gives it 6"):
        load_tokenizer(write_vocab("a", added_tokens={"<e1>": 9}))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"do_lower_case": "yes"}, r"tokenizer_config.json: do_lower_case: expected .*bool"),
        ({"model_max_length": "long"}, "model_max_length"),
        ({"padding_side": "top"}, "padding_side: 'top' is not one of 'right', 'left'"),
        ({"cls_token": 3}, "cls_token: expected a token"),
        ({"additional_special_tokens": "<e1>"}, "additional_special_tokens: expected a list"),
        ({"added_tokens_decoder": {"x": {"content": "a"}}}, r"added_tokens_decoder\['x'\]"),
        ({"tokenizer_class": "BertJapaneseTokenizer"}, "'BertJapaneseTokenizer'.*rules that plm has not"),
        ({"pretokenizer": "spacy"}, "pretokenizer"),
    ],
)
def test_wrong_settings_are_refused_by_name(write_vocab: Write, config: dict[str, Any], message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        load_tokenizer(write_vocab("a", tokenizer_config=config))


def test_keys_that_mean_nothing_here_are_kept(write_vocab: Write, tmp_path: Path) -> None:
    folder = write_vocab("a", tokenizer_config={"do_basic_tokenize": True, "never_split": None, "is_local": True})
    load_tokenizer(folder).save_pretrained(tmp_path / "copy")
    config = config_of(tmp_path / "copy")
    assert config["do_basic_tokenize"] is True
    assert "never_split" in config
    assert "is_local" not in config


def test_a_folder_without_vocabulary_is_refused_with_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(TokenizerError, match=r"expected tokenizer.json, vocab.txt.*the folder has config.json"):
        load_tokenizer(tmp_path)
    with pytest.raises(TokenizerError, match="no such folder or vocabulary file"):
        load_tokenizer(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot read it"),
        ('{"model": {"type": "WordPiece"}}', "cannot read it"),
        (tokenizers.Tokenizer(models.Unigram([("a", 0.0)], 0)).to_str(), "model type 'Unigram'"),
        (tokenizers.Tokenizer(models.BPE({"a": 0, "?": 1}, [], unk_token="?")).to_str(), "not GPT-1's"),
        (tokenizers.Tokenizer(models.WordPiece({"a": 0}, unk_token="[UNK]")).to_str(), r"'\[UNK\]' is not in"),
    ],
)
def test_a_tokenizer_json_of_another_kind_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(TokenizerError, match=message):
        load_tokenizer(tmp_path)


def test_byte_pairs_of_another_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 2}', encoding="utf-8")
    (tmp_path / "merges.txt").write_text("a b\n", encoding="utf-8")
    with pytest.raises(TokenizerError, match=r"no token ends in '</w>'.*GPT-2"):
        load_tokenizer(tmp_path)


def test_choices_of_one_family_are_refused_for_the_other(uncased_file: Path, gpt1_folder: Path) -> None:
    with pytest.raises(TokenizerError, match="pretokenizer: no choice for BERT"):
        load_tokenizer(uncased_file, pretokenizer="bert")
    with pytest.raises(TokenizerError, match="do_lower_case: no choice for GPT-1"):
        load_tokenizer(gpt1_folder, do_lower_case=False)


def test_the_words_of_gpt1_are_remembered_and_may_be_overruled(gpt1_folder: Path, tmp_path: Path) -> None:
    assumed = load_tokenizer(gpt1_folder)
    assert "'openai' is assumed" in assumed.notes[0]
    load_tokenizer(gpt1_folder, pretokenizer="bert").save_pretrained(tmp_path)
    assert config_of(tmp_path)["pretokenizer"] == "bert"
    assert load_tokenizer(tmp_path).tokenize("don't")[1] == "'</w>"
    assert load_tokenizer(tmp_path, pretokenizer="openai").tokenize("don't")[1] == "n't</w>"


@pytest.mark.parametrize("kind", ["uncased", "bert"])
def test_transformers_opens_what_is_saved_with_equal_ids(
    kind: str, uncased_file: Path, gpt1_folder: Path, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = load_tokenizer(uncased_file) if kind == "uncased" else load_tokenizer(gpt1_folder, pretokenizer="bert")
    tokenizer.add_special_tokens({"bos_token": "<start>", "additional_special_tokens": ["<e1>"]})
    tokenizer.save_pretrained(tmp_path)
    lines = [line for line in LINES if "[" not in line]  # transformers reads special tokens in a text
    for peer in (transformers.AutoTokenizer, transformers.PreTrainedTokenizerFast):
        theirs = peer.from_pretrained(tmp_path)
        assert theirs(lines)["input_ids"] == tokenizer(lines)["input_ids"]
        assert theirs(lines[0], lines[1])["input_ids"] == tokenizer(lines[0], lines[1])["input_ids"]
        assert len(theirs) == len(tokenizer)
        assert theirs.bos_token_id == tokenizer.bos_token_id


@pytest.mark.parametrize("kind", ["bert", "gpt1"])
def test_what_transformers_saves_opens_with_equal_ids(
    kind: str, uncased_file: Path, gpt1_folder: Path, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    if kind == "bert":
        theirs = transformers.BertTokenizer(str(uncased_file), do_lower_case=True)
    else:
        files = (str(gpt1_folder / "encoder_bpe_40000.json"), str(gpt1_folder / "vocab_40000.bpe"))
        theirs = transformers.OpenAIGPTTokenizer(*files)
    theirs.add_special_tokens({"pad_token": "<pad>"})
    theirs.save_pretrained(tmp_path)
    ours = load_tokenizer(tmp_path) if kind == "bert" else load_tokenizer(tmp_path, pretokenizer="bert")
    lines = [line for line in LINES if "[" not in line]
    assert ours(lines, padding=True) == dict(theirs(lines, padding=True))
    assert len(ours) == len(theirs)
