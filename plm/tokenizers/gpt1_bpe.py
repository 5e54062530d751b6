"""The byte-pair pipeline of GPT-1, with the words of OpenAI or with those of BERT."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

Pretokenizer = Literal["openai", "bert"]
PRETOKENIZERS: tuple[Pretokenizer, ...] = ("openai", "bert")
END_OF_WORD = "</w>"


def build_gpt1(ids: Mapping[str, int], merges: Sequence[tuple[str, str]], *, unk_token: str = "<unk>") -> Tokenizer:
    """A Rust tokenizer with the words of BERT; `use_openai_words` changes to OpenAI's.

    ids: ids by token, without gaps. merges: pairs of tokens, the earliest first.
    """
    backend = Tokenizer(models.BPE(dict(ids), list(merges), unk_token=unk_token, end_of_word_suffix=END_OF_WORD))
    backend.decoder = decoders.BPEDecoder(suffix=END_OF_WORD)
    use_bert_words(backend)
    return backend


def use_bert_words(backend: Tokenizer) -> None:
    """Clean, strip accents, lower and split as transformers does for GPT-1 since version 5."""
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()


def use_openai_words(backend: Tokenizer) -> None:
    """Take words that `OpenAIWords` has found already and that stand between single spaces."""
    backend.normalizer = None
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "removed")


class OpenAIWords:
    """Rewrites a text as the words that OpenAI's code would have found in it (see `openai_text`).

    ftfy: True runs the package ftfy on every text, as OpenAI did.
    literals: matches the tokens that are recognised in a text and stay whole; None when there are none.
    """

    def __init__(self, *, ftfy: bool = False) -> None:
        self.ftfy = ftfy
        self.literals: re.Pattern[str] | None = None

    def recognise(self, tokens: Sequence[str]) -> None:
        """Leave these tokens whole where they stand in a text."""
        longest_first = sorted(tokens, key=len, reverse=True)
        self.literals = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def rewrite(self, text: str) -> str:
        """The words in lower case with single spaces between them."""
        from plm.tokenizers.openai_text import prepare  # builds its tables on import, which BERT need not wait for

        return prepare(text, literals=self.literals, ftfy=self.ftfy).text

    def origin(self, text: str) -> list[tuple[int, int]]:
        """For each character of `rewrite(text)` its (start, end) in `text`."""
        from plm.tokenizers.openai_text import prepare

        return prepare(text, literals=self.literals, ftfy=self.ftfy, with_origin=True).origin or []
