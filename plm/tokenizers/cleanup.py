"""Makes decoded text read like text again."""

from __future__ import annotations

import re

# What transformers calls clean_up_tokenization_spaces, in its order.
_ENGLISH = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")
# Ideographs, their punctuation and full-width signs.
_IDEOGRAPH = "\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0002fa1f"
_SHARED = "“”‘’…—·"  # quotes and dashes that Chinese shares with other scripts
_BETWEEN_IDEOGRAPHS = re.compile(f"(?<=[{_IDEOGRAPH}]) (?=[{_IDEOGRAPH}{_SHARED}])|(?<=[{_SHARED}]) (?=[{_IDEOGRAPH}])")


def tidy(text: str) -> str:
    """Take out the spaces that tokenisation put before English punctuation and between Chinese characters.

    >>> tidy("he didn't say , 你 好 ！ did n't he ?")
    "he didn't say, 你好！ didn't he?"
    """
    for spaced in _ENGLISH:
        text = text.replace(spaced, spaced.strip())
    return _BETWEEN_IDEOGRAPHS.sub("", text)
