"""What a tokenizer has to say about a text: which words it does not know, which alphabets it has tokens for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from plm.corpus.survey.facts import UnknownWord
from plm.corpus.survey.text import letters
from plm.tokenizers import Tokenizer

_NAMED = 8


def unknown_words(tokenizer: Tokenizer, sentences: Iterable[str]) -> tuple[UnknownWord, ...]:
    """The words of some sentences that become the unknown token most often."""
    counted: Counter[str] = Counter()
    for sentence in sentences:
        encoded = tokenizer(sentence, add_special_tokens=False, return_offsets_mapping=True, truncation=False)
        places = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        counted.update(sentence[start:end] for id_, (start, end) in places if id_ == tokenizer.unk_token_id)
    named = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:_NAMED]
    return tuple(UnknownWord(word, times, _is_known_small(tokenizer, word)) for word, times in named)


def vocabulary_letters(tokenizer: Tokenizer) -> dict[str, int]:
    """Tokens by the alphabet of their first character, those of several alphabets once."""
    first = [token.removeprefix("##").encode("utf-8", "surrogatepass")[:1] for token in tokenizer.get_vocab()]
    return letters(np.bincount(np.frombuffer(b"".join(first), dtype=np.uint8), minlength=256))


def folds_case(tokenizer: Tokenizer) -> bool:
    """True = capitals are read as small letters."""
    return tokenizer.tokenize("A") == tokenizer.tokenize("a")


def _is_known_small(tokenizer: Tokenizer, word: str) -> bool:
    small = word.lower()
    return small != word and tokenizer.unk_token not in tokenizer.tokenize(small)
