"""What tells one tokenizer from another: everything that the ids of a text depend on."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from plm.tokenizers.tokenizer import Tokenizer


def tokenizer_state(tokenizer: Tokenizer) -> dict[str, Any]:
    """JSON values; two tokenizers with equal ones give equal ids."""
    backend = json.loads(tokenizer.backend.to_str())
    for passing in ("truncation", "padding"):  # of the last call
        backend.pop(passing, None)
    words = tokenizer.openai_words
    return {
        "backend": backend,
        "special_tokens": tokenizer.special_tokens_map,
        "parse_special_tokens": tokenizer.parse_special_tokens,
        "model_max_length": tokenizer.model_max_length,
        "truncation_side": tokenizer.truncation_side,
        "openai_words": None if words is None else {"ftfy": words.ftfy},
    }


def vocabulary_digest(tokenizer: Tokenizer) -> str:
    """64 hexadecimal digits of all tokens with their ids: models read ids, whatever rules made them."""
    listed = sorted((id_, token) for token, id_ in tokenizer.get_vocab().items())
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()
