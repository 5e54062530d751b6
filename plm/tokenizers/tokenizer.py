"""The tokenizer that users call: text in, ids out, and back."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken

from plm.errors import TokenizerError, did_you_mean
from plm.tokenizers.cleanup import tidy
from plm.tokenizers.encoding import BatchEncoding
from plm.tokenizers.engine import Engine
from plm.tokenizers.gpt1_bpe import OpenAIWords
from plm.tokenizers.requests import UNKNOWN_LENGTH, Truncation, read_padding, read_rows, read_truncation
from plm.tokenizers.special_tokens import ROLES, SpecialToken, SpecialTokenId
from plm.tokenizers.wordpiece import frame_with


class Tokenizer:  # longer than other classes, because users expect these methods on one object
    """A vocabulary with its rules, called like the tokenizers of transformers. `load_tokenizer` makes one.

    special_tokens_map: role ("cls_token", ...) -> token, for the roles that are filled.
    model_max_length: longest row of the model, special tokens included; 1e30 when unknown.
    padding_side, truncation_side: "right" or "left".
    notes: what was inferred or odd while loading, one sentence each.
    config: further keys of tokenizer_config.json, kept for saving.

    Calls are safe from several threads; adding tokens or changing attributes meanwhile is not.
    """

    unk_token, unk_token_id = SpecialToken(), SpecialTokenId()
    sep_token, sep_token_id = SpecialToken(), SpecialTokenId()
    pad_token, pad_token_id = SpecialToken(), SpecialTokenId()
    cls_token, cls_token_id = SpecialToken(), SpecialTokenId()
    mask_token, mask_token_id = SpecialToken(), SpecialTokenId()
    bos_token, bos_token_id = SpecialToken(), SpecialTokenId()
    eos_token, eos_token_id = SpecialToken(), SpecialTokenId()

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        *,
        special_tokens: Mapping[str, str],
        openai_words: OpenAIWords | None = None,
        model_max_length: int = UNKNOWN_LENGTH,
        notes: Sequence[str] = (),
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """special_tokens: role -> token, each in the vocabulary already; TokenizerError otherwise.

        openai_words: rewrites every text (GPT-1); `backend` then expects words between single spaces.
        """
        self._engine = Engine(backend, openai_words=openai_words, parse_special_tokens=False)
        self.model_max_length = model_max_length
        self.padding_side = "right"
        self.truncation_side = "right"
        self.notes = list(notes)
        self.config = dict(config or {})
        self.special_tokens_map: dict[str, str] = {}
        for role, token in special_tokens.items():
            self.set_role(role, token)

    # ------------------------------------------------------------------------------------------------- text to ids

    def __call__(
        self,
        text: str | Sequence[str] | Sequence[Sequence[str]],
        text_pair: str | Sequence[str] | Sequence[Sequence[str]] | None = None,
        *,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        add_special_tokens: bool = True,
        is_split_into_words: bool = False,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_overflowing_tokens: bool = False,
    ) -> BatchEncoding:
        """Ids and masks of a text, a pair, or lists of them. Names and meanings are those of transformers.

        text, text_pair: a str or a list of str; with is_split_into_words a list of words or a list of such lists.
        padding: True or "longest" fills to the longest row, "max_length" to max_length.
        truncation: True or "longest_first" cuts the longer text of a pair, "only_first" and "only_second" that one;
            None (the default) cuts when max_length is given, False never.
        stride: ids that a window shares with the one before, with return_overflowing_tokens.
        return_tensors: "pt" or "np" gives int64 tensors (rows, length); None gives lists.
        return_offsets_mapping: "offset_mapping", for each token (start, end) in characters of its text.
        return_overflowing_tokens: what was cut off follows as further rows; "overflow_to_sample_mapping" has the index
            of the text for each row.

        A single text gives flat lists, unless tensors or windows are asked for. Raises TokenizerError naming the place
        of a wrong input, for a stride that leaves no room, padding without pad token, and tensors of unequal rows.
        """
        rows, single = read_rows(text, text_pair, is_split=is_split_into_words)
        specials = self.num_special_tokens_to_add(text_pair is not None) if add_special_tokens else 0
        cut = self._truncation(truncation, max_length, specials, stride=stride)
        fill = read_padding(
            padding,
            max_length=self.model_max_length if max_length is None else max_length,
            multiple_of=pad_to_multiple_of,
            side=padding_side or self.padding_side,
            pad=(self.pad_token_id, self.pad_token),
        )
        if cut and cut.stride and text_pair is not None:
            self._engine.check_windows(rows, cut, is_split=is_split_into_words, specials=specials)
        encodings = self._engine.encode(
            rows, cut=cut, fill=fill, is_split=is_split_into_words, add_special_tokens=add_special_tokens
        )
        origins = [self._engine.origin(row) for row in rows] if self.openai_words else ()
        batch = BatchEncoding.of(encodings, with_windows=return_overflowing_tokens, origins=origins)
        return batch.filled(
            token_type_ids=self.is_wordpiece if return_token_type_ids is None else return_token_type_ids,
            attention_mask=return_attention_mask is not False,
            special_tokens_mask=return_special_tokens_mask,
            offset_mapping=return_offsets_mapping,
            overflow_to_sample_mapping=return_overflowing_tokens,
            tensors=return_tensors,
            flat=single and not return_overflowing_tokens,
        )

    def encode(
        self,
        text: str,
        text_pair: str | None = None,
        *,
        add_special_tokens: bool = True,
        truncation: bool | str | None = None,
        max_length: int | None = None,
    ) -> list[int]:
        """The ids of one text or pair."""
        batch = self(
            text, text_pair, add_special_tokens=add_special_tokens, truncation=truncation, max_length=max_length
        )
        ids: list[int] = batch["input_ids"]
        return ids

    def encode_batch_ids(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        max_length: int | None = None,
        add_special_tokens: bool = True,
    ) -> tuple[list[list[int]], list[list[int]] | None]:
        """Many texts or pairs the fast way, for pipelines: ids, and token types (None for GPT-1), unpadded.

        max_length: cuts the longer text of a pair first; None cuts nothing.
        """
        rows, _ = read_rows(list(texts), None if pairs is None else list(pairs), is_split=False)
        specials = self.num_special_tokens_to_add(pairs is not None) if add_special_tokens else 0
        cut = self._truncation(None, max_length, specials)
        encodings = self._engine.encode(rows, cut=cut, add_special_tokens=add_special_tokens, with_positions=False)
        types = [encoding.type_ids for encoding in encodings] if self.is_wordpiece else None
        return [encoding.ids for encoding in encodings], types

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text, without special tokens around it."""
        return self(text, add_special_tokens=False).tokens()

    # ------------------------------------------------------------------------------------------------- ids to text

    def decode(
        self, ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> str:
        """The text of a row of ids (list, array or tensor). It is not the original: case, accents, spaces are gone.

        clean_up_tokenization_spaces: True takes out spaces before English punctuation and contractions, as in
            transformers, and between Chinese characters; None (the default) means True for WordPiece, False for GPT-1.
        Raises TokenizerError for ids outside the vocabulary.
        """
        ids, size = _id_list(ids), len(self)
        if strange := [id_ for id_ in ids if not 0 <= id_ < size]:
            hint = "; -100 marks labels to ignore, replace it first" if -100 in strange else ""
            raise TokenizerError(f"id {strange[0]}: expected ids from 0 to {size - 1}{hint}")
        text: str = self.backend.decode(ids, skip_special_tokens=skip_special_tokens)
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self.is_wordpiece
        return tidy(text) if clean_up_tokenization_spaces else text

    def batch_decode(
        self, rows: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> list[str]:
        """The texts of many rows of ids."""
        return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in rows]

    # -------------------------------------------------------------------------------------------------- vocabulary

    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> Any:
        """The id of a token, or the ids of several. A token that is not there gets the id of the unknown token."""
        if isinstance(tokens, str):
            id_ = self.backend.token_to_id(tokens)
            return self.unk_token_id if id_ is None else id_
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def convert_ids_to_tokens(self, ids: Any) -> Any:
        """The token of an id, or the tokens of several; None where the vocabulary has no such id."""
        ids = ids.tolist() if hasattr(ids, "tolist") else ids
        if isinstance(ids, int):
            return self.backend.id_to_token(ids) if ids >= 0 else None
        return [self.convert_ids_to_tokens(id_) for id_ in ids]

    def get_vocab(self) -> dict[str, int]:
        """Ids by token, added tokens included."""
        vocabulary: dict[str, int] = self.backend.get_vocab(with_added_tokens=True)
        return vocabulary

    @property
    def vocab(self) -> dict[str, int]:
        """The same as `get_vocab()`."""
        return self.get_vocab()

    @property
    def vocab_size(self) -> int:
        """Number of ids without tokens added later."""
        return int(self.backend.get_vocab_size(with_added_tokens=False))

    def __len__(self) -> int:
        """Number of ids, added tokens included: the rows that an embedding table must have at least."""
        return int(self.backend.get_vocab_size(with_added_tokens=True))

    @property
    def is_wordpiece(self) -> bool:
        """True for BERT, NEZHA and TinyBERT; False for the byte pairs of GPT-1."""
        return isinstance(self.backend.model, tokenizers.models.WordPiece)

    @property
    def backend(self) -> tokenizers.Tokenizer:
        """The `tokenizers.Tokenizer` that does the work."""
        return self._engine.backend

    @property
    def openai_words(self) -> OpenAIWords | None:
        """The rewriting of texts before the backend sees them: GPT-1 with pretokenizer "openai", otherwise None."""
        return self._engine.openai_words

    # --------------------------------------------------------------------------------------- special and added tokens

    def add_special_tokens(self, tokens: Mapping[str, str | Sequence[str]]) -> int:
        """Give tokens to roles, as in {"bos_token": "<start>", "additional_special_tokens": ["<e1>", "<e2>"]}.

        Returns how many were new: the model's embeddings must grow by as many rows (`len(tokenizer)` in all).
        Raises TokenizerError for an unknown role.
        """
        before = len(self)
        for role, value in tokens.items():
            if role not in (*ROLES, "additional_special_tokens"):
                known = ", ".join((*ROLES, "additional_special_tokens"))
                raise TokenizerError(f"special token {role!r}: expected one of {known}{did_you_mean(role, ROLES)}")
            for token in [value] if isinstance(value, str) else value:
                self.backend.add_special_tokens([AddedToken(token, special=True, normalized=False)])
            if isinstance(value, str) and role in ROLES:
                self.set_role(role, value)
        self._engine.refresh()
        return len(self) - before

    def add_tokens(self, tokens: Iterable[str]) -> int:
        """Add ordinary words, found whole in any text from now on. Returns how many were new."""
        before = len(self)
        self.backend.add_tokens(list(tokens))
        self._engine.refresh()
        return len(self) - before

    def set_role(self, role: str, token: str | None) -> None:
        """Give a role to a token of the vocabulary, or to none. Raises TokenizerError when it is not there."""
        if token is None:
            self.special_tokens_map.pop(role, None)
            return
        if self.backend.token_to_id(token) is None:
            raise TokenizerError(
                f"{role}: {token!r} is not in the vocabulary of {len(self)} tokens; "
                f"add_special_tokens({{{role!r}: {token!r}}}) adds it, and the model must grow with it"
            )
        before = self.special_tokens_map.get(role)
        if token not in self.all_special_tokens:
            self.backend.add_special_tokens([AddedToken(token, special=True, normalized=False)])
        self.special_tokens_map[role] = token
        if before not in (None, token) and self.is_wordpiece and self.cls_token and self.sep_token:
            frame_with(self.backend, self.cls_token, self.sep_token)

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token, by rising id."""
        added = sorted(self.backend.get_added_tokens_decoder().items())
        return [token.content for _, token in added if token.special]

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of `all_special_tokens`."""
        return [id_ for id_, token in sorted(self.backend.get_added_tokens_decoder().items()) if token.special]

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens a row gets. pair: True for two texts."""
        return int(self.backend.num_special_tokens_to_add(pair))

    @property
    def parse_special_tokens(self) -> bool:
        """True reads "[SEP]" or "<pad>" in a text as that special token; False (the default) as plain characters.

        Text from outside should not be able to write special tokens, so this is off unless asked for.
        """
        return self._engine.parse_special_tokens

    @parse_special_tokens.setter
    def parse_special_tokens(self, parse: bool) -> None:
        self._engine.parse_special_tokens = parse
        self._engine.refresh()

    # ----------------------------------------------------------------------------------------------- keeping, copying

    def save_pretrained(self, folder: Path | str) -> list[Path]:
        """Write the tokenizer into a folder that `load_tokenizer` and transformers open. Returns the files."""
        from plm.tokenizers.store import save_tokenizer  # store builds tokenizers, so it imports this file

        return save_tokenizer(self, Path(folder))

    def with_backend(self, backend: tokenizers.Tokenizer) -> Tokenizer:
        """The same tokenizer over another vocabulary, which must hold the special tokens."""
        other = copy.copy(self)
        words = OpenAIWords(ftfy=self.openai_words.ftfy) if self.openai_words else None
        other._engine = Engine(backend, openai_words=words, parse_special_tokens=self.parse_special_tokens)
        other.special_tokens_map = dict(self.special_tokens_map)
        other.notes, other.config = list(self.notes), dict(self.config)
        return other

    def _truncation(
        self, truncation: bool | str | None, max_length: int | None, specials: int, *, stride: int = 0
    ) -> Truncation | None:
        return read_truncation(
            truncation,
            max_length=self.model_max_length if max_length is None else max_length,
            is_given=max_length is not None,
            stride=stride,
            specials=specials,
            side=self.truncation_side,
        )

    def __repr__(self) -> str:
        kind = "WordPiece" if self.is_wordpiece else "byte pairs"
        return f"Tokenizer({kind}, {len(self)} tokens, special tokens {self.special_tokens_map})"


def _id_list(ids: Any) -> list[int]:
    """A row of ids as plain integers."""
    ids = ids.tolist() if hasattr(ids, "tolist") else ids
    row = [ids] if isinstance(ids, int) else list(ids)
    if any(isinstance(id_, list) for id_ in row):
        raise TokenizerError("decode takes one row of ids; batch_decode takes several")
    return [int(id_) for id_ in row]
