"""Finds the vocabulary files of a folder and builds the Rust tokenizer that they describe."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import tokenizers

from plm.errors import TokenizerError, did_you_mean
from plm.tokenizers.gpt1_bpe import END_OF_WORD, build_gpt1
from plm.tokenizers.settings import FolderSettings
from plm.tokenizers.special_tokens import BERT_TOKENS, GPT1_TOKENS
from plm.tokenizers.vocabulary import is_lower_case, read_bpe, read_vocab_txt, without_gaps
from plm.tokenizers.wordpiece import build_wordpiece, frame_with

logger = logging.getLogger(__name__)

# Whose vocab.txt, or vocab.json with merges.txt, is split by the rules of this package. Others (a Japanese BERT, GPT-2)
# have files of the same names and other rules.
_BERT_CLASSES = ("BertTokenizer", "NezhaTokenizer", "TinyBertTokenizer", "DistilBertTokenizer", "ElectraTokenizer")
_GPT1_CLASSES = ("OpenAIGPTTokenizer",)
_GPT1_FILES = (("vocab.json", "merges.txt"), ("encoder_bpe_40000.json", "vocab_40000.bpe"))
# Key of tokenizer_config.json -> field of the BertNormalizer in tokenizer.json.
NORMALIZER_FIELDS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


def read_backend(folder: Path, found: FolderSettings, notes: list[str]) -> tokenizers.Tokenizer:
    """The tokenizer of tokenizer.json, else of vocab.txt, else of GPT-1's two files.

    folder: a folder, or one file in the form of vocab.txt.
    found: what the folder and the caller say beside the vocabulary. notes: gets what was inferred or odd.
    Raises TokenizerError when there are no such files, or they are damaged or of another kind.
    """
    if folder.is_file():
        return _from_vocab_txt(folder, found, notes)
    if (folder / "tokenizer.json").is_file():
        return _from_tokenizer_json(folder / "tokenizer.json", found, notes)
    if (folder / "vocab.txt").is_file():
        _require_class(found, _BERT_CLASSES, folder / "vocab.txt")
        return _from_vocab_txt(folder / "vocab.txt", found, notes)
    for vocabulary, merges in _GPT1_FILES:
        if (folder / vocabulary).is_file() and (folder / merges).is_file():
            _require_class(found, _GPT1_CLASSES, folder / vocabulary)
            return _from_bpe(folder / vocabulary, folder / merges, found)
    if not folder.is_dir():
        raise TokenizerError(f"{folder}: no such folder or vocabulary file")
    present = ", ".join(sorted(path.name for path in folder.iterdir())[:20]) or "nothing"
    raise TokenizerError(
        f"{folder}: expected tokenizer.json, vocab.txt, vocab.json with merges.txt, or encoder_bpe_40000.json with "
        f"vocab_40000.bpe; the folder has {present}"
    )


def bert_normalizer(state: dict[str, Any]) -> dict[str, Any] | None:
    """The BertNormalizer in the state of a tokenizer, alone or in a sequence; None when there is none."""
    normalizer = state["normalizer"] or {}
    for candidate in normalizer.get("normalizers", [normalizer]):
        if candidate.get("type") == "BertNormalizer":
            return candidate  # type: ignore[no-any-return]
    return None


def _from_vocab_txt(path: Path, found: FolderSettings, notes: list[str]) -> tokenizers.Tokenizer:
    ids, oddities = read_vocab_txt(path)
    for oddity in oddities:
        logger.warning(oddity)
    notes += oddities
    tokens = BERT_TOKENS | {role: token for role, token in found.special_tokens.items() if token}
    for role in ("unk_token", "cls_token", "sep_token"):
        token = tokens[role]
        if token not in ids:
            near = did_you_mean(token, ids)
            raise TokenizerError(
                f"{path}: {len(ids)} tokens, but no {role} {token!r}{near}; if it has another name, write "
                f'{{"{role}": "..."}} into tokenizer_config.json beside it'
            )
    lower_case = found.settings.do_lower_case
    if lower_case is None:
        lower_case = is_lower_case(ids)
        kind = "uncased: no token has" if lower_case else "cased: some tokens have"
        notes.append(f"{path}: taken to be {kind} a capital letter, because no do_lower_case is stated")
    split = found.settings.tokenize_chinese_chars
    backend = build_wordpiece(
        ids,
        unk_token=tokens["unk_token"],
        lower_case=lower_case,
        strip_accents=found.settings.strip_accents,
        split_ideographs=True if split is None else split,
    )
    frame_with(backend, tokens["cls_token"], tokens["sep_token"])
    return backend


def _from_bpe(vocabulary: Path, merges: Path, found: FolderSettings) -> tokenizers.Tokenizer:
    ids, pairs = read_bpe(vocabulary, merges)
    _require_gpt1(ids, vocabulary)
    unk_token = found.special_tokens.get("unk_token") or GPT1_TOKENS["unk_token"]
    if unk_token not in ids:
        raise TokenizerError(f"{vocabulary}: {len(ids)} tokens, but no unknown token {unk_token!r}")
    return build_gpt1(ids, pairs, unk_token=unk_token)


def _from_tokenizer_json(path: Path, found: FolderSettings, notes: list[str]) -> tokenizers.Tokenizer:
    try:
        state = json.loads(tokenizers.Tokenizer.from_file(str(path)).to_str())
    except Exception as error:  # the Rust package raises plain Exception
        raise TokenizerError(f"{path}: tokenizers {tokenizers.__version__} cannot read it: {error}") from error
    model = state["model"]
    if model["type"] not in ("WordPiece", "BPE"):
        raise TokenizerError(f"{path}: model type {model['type']!r}; expected WordPiece (BERT) or BPE (GPT-1)")
    model["vocab"] = without_gaps(model["vocab"], source=path)
    if model["unk_token"] not in model["vocab"]:
        raise TokenizerError(f"{path}: the unknown token {model['unk_token']!r} is not in the vocabulary")
    if model["type"] == "BPE":
        _require_gpt1(model["vocab"], path)
    else:
        _overrule(state, found, path, notes)
    state["truncation"] = state["padding"] = None
    backend = tokenizers.Tokenizer.from_str(json.dumps(state))
    tokens = BERT_TOKENS | {role: token for role, token in found.special_tokens.items() if token}
    frame = tokens["cls_token"], tokens["sep_token"]
    if model["type"] == "WordPiece" and state["post_processor"] is None and set(frame) <= model["vocab"].keys():
        notes.append(f"{path}: has no post_processor; {frame[0]} and {frame[1]} are put around texts, as BERT needs")
        frame_with(backend, *frame)
    return backend


def _overrule(state: dict[str, Any], found: FolderSettings, path: Path, notes: list[str]) -> None:
    """Let tokenizer_config.json have the last word on casing, accents and Chinese, as transformers does."""
    normalizer = bert_normalizer(state)
    for key, name in NORMALIZER_FIELDS.items():
        wish = getattr(found.settings, key)
        if wish is None or (normalizer and normalizer[name] == wish):
            continue
        if normalizer is None:
            notes.append(f"{path}: has no BertNormalizer, so {key}={wish} of tokenizer_config.json changes nothing")
            continue
        notes.append(f"{path}: {key} was {normalizer[name]}; {wish}, as asked for or in tokenizer_config.json, holds")
        normalizer[name] = wish


def _require_class(found: FolderSettings, classes: tuple[str, ...], path: Path) -> None:
    name = (found.settings.tokenizer_class or classes[0]).removesuffix("Fast")
    if name not in (*classes, "PreTrainedTokenizer", "TokenizersBackend"):
        raise TokenizerError(
            f"{path}: tokenizer_config.json says tokenizer_class {name!r}, which reads this file by rules that plm has "
            f"not; expected one of {', '.join(classes)}. If its rules are these, remove the key"
        )


def _require_gpt1(ids: dict[str, int], path: Path) -> None:
    if not any(token.endswith(END_OF_WORD) for token in ids):
        raise TokenizerError(
            f"{path}: no token ends in {END_OF_WORD!r}, so these byte pairs are not GPT-1's (GPT-2 and RoBERTa have "
            f"files of the same names)"
        )
