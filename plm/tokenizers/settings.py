"""What a folder says about its tokenizer beside the vocabulary: tokenizer_config.json and its older companions."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import AddedToken

from plm.config import from_dict, read_json
from plm.errors import ConfigError, TokenizerError
from plm.tokenizers.gpt1_bpe import Pretokenizer
from plm.tokenizers.requests import UNKNOWN_LENGTH
from plm.tokenizers.special_tokens import ROLES
from plm.tokenizers.vocabulary import read_ids

CONFIG_FILE = "tokenizer_config.json"
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_LISTS = ("additional_special_tokens", "extra_special_tokens")
# Where a folder was loaded from once, or what tokenizer.json says better.
_PASSING = {
    *("backend", "is_local", "local_files_only", "name_or_path", "special_tokens_map_file"),
    *("tokenizer_file", "vocab_file", "merges_file", "added_tokens_decoder"),
}


@dataclass(frozen=True)
class Settings:
    """The keys of tokenizer_config.json that mean something here; None where the folder says nothing.

    tokenizer_class: with or without "Fast" at the end.
    pretokenizer, ftfy: of GPT-1; keys of this library.
    """

    tokenizer_class: str | None = None
    do_lower_case: bool | None = None
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool | None = None
    pretokenizer: Pretokenizer | None = None
    ftfy: bool = False
    model_max_length: int | float = UNKNOWN_LENGTH
    padding_side: Literal["right", "left"] = "right"
    truncation_side: Literal["right", "left"] = "right"


@dataclass(frozen=True)
class FolderSettings:
    """All that a folder says beside its vocabulary.

    special_tokens: role -> token, or None for a role that is declared empty.
    added: (id, token) beyond the vocabulary file, in the order of their ids; id None takes the next free one.
    rest: the other keys of tokenizer_config.json.
    """

    settings: Settings
    special_tokens: dict[str, str | None]
    added: list[tuple[int | None, AddedToken]]
    rest: dict[str, Any]


def read_settings(folder: Path) -> FolderSettings:
    """Read tokenizer_config.json, special_tokens_map.json and added_tokens.json; each may be missing.

    Raises TokenizerError naming the file and key when a value is not of the type expected.
    """
    source = folder / CONFIG_FILE
    config = _read(source)
    if "max_len" in config:  # its name before transformers 3
        config.setdefault("model_max_length", config.pop("max_len"))
    specials = _read(folder / "special_tokens_map.json")
    specials |= {key: config[key] for key in (*ROLES, *_LISTS) if key in config}
    known = {field.name for field in dataclasses.fields(Settings)}
    try:
        settings = from_dict(
            Settings, {k: v for k, v in config.items() if k in known and v is not None}, source=str(source)
        )
    except ConfigError as error:
        raise TokenizerError(str(error)) from error
    rest = {k: v for k, v in config.items() if k not in {*known, *ROLES, *_LISTS, *_PASSING}}
    roles = {role: _content(specials[role], f"{source}: {role}") for role in ROLES if role in specials}
    return FolderSettings(settings, roles, _added(folder, config, specials), rest)


def _added(folder: Path, config: dict[str, Any], specials: dict[str, Any]) -> list[tuple[int | None, AddedToken]]:
    """Tokens that three generations of transformers have declared in three places."""
    source = folder / CONFIG_FILE
    found: dict[str, tuple[int | None, AddedToken]] = {}
    older = folder / "added_tokens.json"
    for token, id_ in (read_ids(older) if older.is_file() else {}).items():
        found[token] = (id_, AddedToken(token))
    for key, entry in (config.get("added_tokens_decoder") or {}).items():
        where = f"{source}: added_tokens_decoder[{key!r}]"
        content = _content(entry, where)
        if content is None or not key.isdecimal():
            raise TokenizerError(f"{where}: expected a token with an integer id, got {entry!r:.80}")
        flags = {name: bool(entry[name]) for name in _FLAGS if name in entry} if isinstance(entry, dict) else {}
        found[content] = (int(key), AddedToken(content, **flags))
    for name in _LISTS:
        for entry in _list(specials.get(name), f"{source}: {name}"):
            token = _content(entry, f"{source}: {name}") or ""
            declared = found[token][0] if token in found else None
            found[token] = (declared, AddedToken(token, special=True, normalized=False))
    return sorted(found.values(), key=lambda entry: (entry[0] is None, entry[0]))


def _content(value: Any, where: str) -> str | None:
    """A token as transformers writes it: plain, or an object with its "content"."""
    content = value.get("content") if isinstance(value, dict) else value
    if content is not None and (not isinstance(content, str) or not content):
        raise TokenizerError(f"{where}: expected a token (str, or an object with 'content'), got {value!r:.80}")
    return content


def _list(value: Any, where: str) -> list[Any]:
    if isinstance(value, dict):  # transformers 5 also writes name -> token
        value = list(value.values())
    if value is not None and not isinstance(value, list):
        raise TokenizerError(f"{where}: expected a list of tokens, got {type(value).__name__}")
    return value or []


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path) if path.is_file() else {}
    except ConfigError as error:
        raise TokenizerError(str(error)) from error
