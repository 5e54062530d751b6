"""Special tokens and the attributes that name them: `tokenizer.cls_token`, `tokenizer.cls_token_id` and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plm.tokenizers.tokenizer import Tokenizer

ROLES = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "bos_token", "eos_token")
BERT_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
GPT1_TOKENS = {"unk_token": "<unk>"}


class SpecialToken:
    """The token in a role, or None. Assigning gives the role to a token that the vocabulary has already."""

    def __set_name__(self, owner: type[Tokenizer], name: str) -> None:
        self._role = name

    def __get__(self, tokenizer: Tokenizer, owner: type[Tokenizer]) -> str | None:
        return tokenizer.special_tokens_map.get(self._role)

    def __set__(self, tokenizer: Tokenizer, token: str | None) -> None:
        tokenizer.set_role(self._role, token)


class SpecialTokenId:
    """The id of the token in a role, or None. Read only."""

    def __set_name__(self, owner: type[Tokenizer], name: str) -> None:
        self._role = name.removesuffix("_id")

    def __get__(self, tokenizer: Tokenizer, owner: type[Tokenizer]) -> int | None:
        token = tokenizer.special_tokens_map.get(self._role)
        return None if token is None else tokenizer.backend.token_to_id(token)

    def __set__(self, tokenizer: Tokenizer, value: object) -> None:
        raise AttributeError(f"{self._role}_id follows from {self._role}: assign that")
