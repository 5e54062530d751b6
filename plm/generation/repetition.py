"""Keeping a text from saying the same thing again."""

from __future__ import annotations

import torch
from torch import Tensor


def penalise_seen(logits: Tensor, ids: Tensor, live: Tensor | None, penalty: float) -> Tensor:
    """Logits in which tokens of their row count less: divided by `penalty` where positive, else multiplied by it.

    logits: (rows, vocab_size). ids: (rows, length); live: the same, bool, False where a prompt is filled; None = all
    live. Source: Keskar et al. 2019, section 4.1; for negative logits as transformers has it.
    """
    seen = torch.zeros_like(logits, dtype=torch.bool)
    if live is None:
        seen.scatter_(1, ids, True)
    else:
        for row, tokens in enumerate(ids):
            seen[row, tokens[live[row]]] = True
    lowered = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(seen, lowered, logits)


def ban_repeated_ngrams(logits: Tensor, ids: Tensor, live: Tensor | None, size: int) -> Tensor:
    """Logits that are -inf for every token which would make `size` tokens in a row occur a second time.

    logits, ids, live: as in penalise_seen; a new tensor.
    """
    length = ids.shape[1]
    if length < size:
        return logits
    windows = ids.unfold(1, size, 1)  # (rows, length - size + 1, size)
    again = (windows[:, :, : size - 1] == ids[:, None, length - size + 1 :]).all(2)
    if live is not None:
        again &= live[:, : again.shape[1]]  # filled on the left: a window that starts live is live
    row, place = again.nonzero(as_tuple=True)
    banned = logits.clone()
    banned[row, windows[row, place, size - 1]] = -torch.inf
    return banned
