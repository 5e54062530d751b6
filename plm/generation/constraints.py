"""What callers may say about the next token: which are allowed, and how scores are to change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class LogitsConstraint(Protocol):
    """Tokens that may come next.

    Where one token alone is allowed in every row, the model is not asked: it reads such tokens together with the next
    one that is free, in one step.
    """

    def __call__(self, step: int, ids: Tensor, /) -> Tensor:
        """Allowed tokens, (rows, vocab_size), bool, at least one in each row.

        step: new tokens so far. ids: (rows, step), int64, the new tokens so far; after its end, a row holds padding.
            Rows are prompts in order, each as often as texts are wanted of it (beams: as often as there are beams).
        """
        ...


class LogitsProcessor(Protocol):
    """Changes the logits before a token is taken; the log-probabilities that are returned are those before it."""

    def __call__(self, step: int, ids: Tensor, logits: Tensor, /) -> Tensor:
        """New logits, (rows, vocab_size), float32, of such; step and ids as in LogitsConstraint."""
        ...


def allowed_tokens(constraints: Sequence[LogitsConstraint], step: int, ids: Tensor) -> Tensor | None:
    """What all constraints allow, (rows, vocab_size), bool; None = everything, as there are none."""
    allowed: Tensor | None = None
    for constraint in constraints:
        one = constraint(step, ids)
        allowed = one if allowed is None else allowed & one
    return allowed
