"""Tokenizer folders: loads those of transformers, Google and OpenAI, saves one that transformers opens too."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import tokenizers

from plm.config import write_json, write_text
from plm.errors import TokenizerError
from plm.tokenizers.gpt1_bpe import OpenAIWords, Pretokenizer, use_bert_words, use_openai_words
from plm.tokenizers.requests import UNKNOWN_LENGTH
from plm.tokenizers.settings import CONFIG_FILE, FolderSettings, Settings, read_settings
from plm.tokenizers.sources import NORMALIZER_FIELDS, bert_normalizer, read_backend
from plm.tokenizers.special_tokens import BERT_TOKENS, GPT1_TOKENS
from plm.tokenizers.tokenizer import Tokenizer


def load_tokenizer(
    folder: Path | str,
    *,
    do_lower_case: bool | None = None,
    strip_accents: bool | None = None,
    tokenize_chinese_chars: bool | None = None,
    pretokenizer: Pretokenizer | None = None,
    ftfy: bool | None = None,
    model_max_length: int | None = None,
    parse_special_tokens: bool = False,
) -> Tokenizer:
    """The tokenizer of a folder: tokenizer.json, else vocab.txt, else the two files of GPT-1; or of one vocab.txt file.

    do_lower_case, strip_accents, tokenize_chinese_chars: overrule what the folder says (WordPiece). Where nothing says
        it, an uncased model is known by a vocabulary without capitals.
    pretokenizer: "openai" finds words as GPT-1 was trained with, "bert" as transformers does (GPT-1).
    ftfy: True runs the package ftfy on every text, as OpenAI did (GPT-1 with "openai").
    model_max_length: the longest row of the model; None takes what the folder says.
    parse_special_tokens: True recognises special tokens that stand in a text.
    The `notes` of the result say what was inferred. Raises TokenizerError when files are missing, damaged, or of a kind
    that is not read here.
    """
    folder = Path(folder)
    found = read_settings(folder) if folder.is_dir() else FolderSettings(Settings(), {}, [], {})
    asked: dict[str, Any] = {
        "do_lower_case": do_lower_case,
        "strip_accents": strip_accents,
        "tokenize_chinese_chars": tokenize_chinese_chars,
        "pretokenizer": pretokenizer,
        "ftfy": ftfy,
        "model_max_length": model_max_length,
    }
    asked = {key: value for key, value in asked.items() if value is not None}
    found = dataclasses.replace(found, settings=dataclasses.replace(found.settings, **asked))
    notes: list[str] = []
    backend = read_backend(folder, found, notes)
    is_wordpiece = isinstance(backend.model, tokenizers.models.WordPiece)
    of_others = {"pretokenizer", "ftfy"} if is_wordpiece else set(NORMALIZER_FIELDS)
    if misplaced := sorted(of_others & asked.keys()):
        raise TokenizerError(f"{folder}: {', '.join(misplaced)}: no choice for {'BERT' if is_wordpiece else 'GPT-1'}")
    words = None if is_wordpiece else _choose_words(backend, found.settings, notes)
    _add_tokens(backend, found.added, folder)
    tokenizer = Tokenizer(
        backend,
        special_tokens=_roles(backend, found, BERT_TOKENS if is_wordpiece else GPT1_TOKENS, notes),
        openai_words=words,
        model_max_length=min(int(found.settings.model_max_length), UNKNOWN_LENGTH),
        notes=notes,
        config=found.rest,
    )
    tokenizer.padding_side = found.settings.padding_side
    tokenizer.truncation_side = found.settings.truncation_side
    tokenizer.parse_special_tokens = parse_special_tokens
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path | str) -> list[Path]:
    """Write tokenizer.json, tokenizer_config.json, and vocab.txt (WordPiece) or vocab.json and merges.txt (GPT-1).

    Each file is written whole or not at all. tokenizer.json of GPT-1 always has the words of BERT, since it cannot
    express OpenAI's; `pretokenizer` in tokenizer_config.json says which ones to use here. Returns the files.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    backend = tokenizers.Tokenizer.from_str(tokenizer.backend.to_str())
    backend.no_truncation()
    backend.no_padding()
    if tokenizer.openai_words:
        use_bert_words(backend)
    state = json.loads(backend.to_str())
    texts = {"tokenizer.json": backend.to_str(pretty=True) + "\n", **_vocabulary_files(state["model"])}
    for name, text in texts.items():
        write_text(folder / name, text)
    write_json(folder / CONFIG_FILE, _config_of(tokenizer, state))
    return [folder / name for name in (*texts, CONFIG_FILE)]


def _choose_words(backend: tokenizers.Tokenizer, settings: Settings, notes: list[str]) -> OpenAIWords | None:
    """Set up the words of GPT-1; None for those of BERT."""
    if settings.pretokenizer is None:
        notes.append(
            "pretokenizer 'openai' is assumed, the words that GPT-1 was trained with; transformers uses 'bert', which "
            "gives other ids for contractions, punctuation runs, abbreviations, accents and line breaks"
        )
    elif settings.pretokenizer == "bert":
        return None
    elif settings.pretokenizer != "openai":
        raise TokenizerError(f"pretokenizer: expected 'openai' or 'bert', got {settings.pretokenizer!r}")
    use_openai_words(backend)
    return OpenAIWords(ftfy=settings.ftfy)


def _add_tokens(
    backend: tokenizers.Tokenizer, added: list[tuple[int | None, tokenizers.AddedToken]], folder: Path
) -> None:
    """Add the tokens beyond the vocabulary, each at the id that it is declared with."""
    for id_, token in added:
        (backend.add_special_tokens if token.special else backend.add_tokens)([token])
        given = backend.token_to_id(token.content)
        if id_ is not None and given != id_:
            raise TokenizerError(
                f"{folder}: the added token {token.content!r} is declared with id {id_}, but the vocabulary gives it "
                f"{given}; is the vocabulary file of another model?"
            )


def _roles(
    backend: tokenizers.Tokenizer, found: FolderSettings, usual: dict[str, str], notes: list[str]
) -> dict[str, str]:
    """Role -> token: as declared, or the usual one where the vocabulary has it."""
    roles: dict[str, str] = {}
    for role, token in {**usual, **found.special_tokens}.items():
        if token is not None and backend.token_to_id(token) is not None:
            roles[role] = token
        elif token is not None:
            notes.append(f"{role}: {token!r} is not in the vocabulary; the role stays empty")
    return roles


def _vocabulary_files(model: dict[str, Any]) -> dict[str, str]:
    """File name -> text, for readers that know no tokenizer.json."""
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    if model["type"] == "WordPiece":
        return {"vocab.txt": "\n".join(tokens) + "\n"}
    merges = [" ".join(pair) for pair in model["merges"]]
    return {
        "vocab.json": json.dumps({token: model["vocab"][token] for token in tokens}, ensure_ascii=False) + "\n",
        "merges.txt": "\n".join(["#version: 0.2", *merges]) + "\n",
    }


def _config_of(tokenizer: Tokenizer, state: dict[str, Any]) -> dict[str, Any]:
    """The content of tokenizer_config.json."""
    config: dict[str, Any] = {
        **tokenizer.config,
        **tokenizer.special_tokens_map,
        "tokenizer_class": "BertTokenizer" if tokenizer.is_wordpiece else "OpenAIGPTTokenizer",
        "model_max_length": tokenizer.model_max_length,
        "padding_side": tokenizer.padding_side,
        "truncation_side": tokenizer.truncation_side,
    }
    roles = set(tokenizer.special_tokens_map.values())
    if others := [token for token in tokenizer.all_special_tokens if token not in roles]:
        config["additional_special_tokens"] = others
    if not tokenizer.is_wordpiece:
        config["pretokenizer"] = "openai" if tokenizer.openai_words else "bert"
        config["ftfy"] = bool(tokenizer.openai_words and tokenizer.openai_words.ftfy)
    elif normalizer := bert_normalizer(state):
        config |= {key: normalizer[name] for key, name in NORMALIZER_FIELDS.items()}
    else:  # transformers' BertTokenizer would put its own normalizer in place of this one
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    return config
