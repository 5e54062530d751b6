"""Drawing the next token: filters over the distribution, and draws that do not depend on the batch."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from plm.data.draws import Numbers, draws, keys
from plm.generation.config import GenerationConfig


class Draws:
    """Uniform numbers for rows and steps.

    Each is a function of seed, prompt, which of the prompt's texts it is, and step: the same in any batch.
    """

    def __init__(self, seeds: Sequence[int], prompts: Sequence[Sequence[int]], texts: int) -> None:
        """seeds, prompts: of each prompt. texts: of each prompt."""
        prompt = [zlib.crc32(np.asarray(prompt, dtype="<i8").tobytes()) for prompt in prompts]
        self._keys: Numbers = keys(
            np.repeat(np.asarray([seed & (2**63 - 1) for seed in seeds], dtype=np.int64), texts),
            np.repeat(np.asarray(prompt, dtype=np.int64), texts),
            np.tile(np.arange(texts, dtype=np.int64), len(prompts)),
        )

    def __call__(self, step: int) -> Tensor:
        """(rows,), float64, in [0, 1)."""
        numbers = draws(self._keys, step)
        return torch.from_numpy((numbers >> np.uint64(11)).astype(np.float64) * 2.0**-53)

    def select(self, rows: Tensor) -> None:
        """Keep the given rows in the given order."""
        self._keys = self._keys[rows.cpu().numpy()]


def draw(logits: Tensor, uniform: Tensor, config: GenerationConfig) -> Tensor:
    """A token for each row, (rows,), int64.

    logits: (rows, vocab_size), float32, -inf for what is not allowed. uniform: (rows,), in [0, 1).
    """
    order = None
    scores = logits if config.temperature is None else logits / config.temperature
    if config.top_k is not None and config.top_k < scores.shape[1]:
        scores, order = scores.topk(config.top_k, dim=1)
    elif config.top_p is not None:
        scores, order = scores.sort(dim=1, descending=True)
    probabilities = filtered(scores.softmax(1), config)
    place = _invert(probabilities, uniform.to(logits.device))
    return place if order is None else order.gather(1, place[:, None]).squeeze(1)


def filtered(probabilities: Tensor, config: GenerationConfig) -> Tensor:
    """Probabilities, (rows, tokens), with top_p, min_p and typical_p applied one after the other.

    For top_p they have to be in descending order. Each row adds up to 1 again.
    """
    if config.top_p is not None:
        probabilities = _kept(probabilities, probabilities.cumsum(1) - probabilities < config.top_p)
    if config.min_p is not None:
        probabilities = _kept(probabilities, probabilities >= config.min_p * probabilities.amax(1, keepdim=True))
    if config.typical_p is not None:
        probabilities = _kept(probabilities, _typical(probabilities, config.typical_p))
    return probabilities


def _typical(probabilities: Tensor, share: float) -> Tensor:
    """True for the tokens nearest to the entropy with `share` together. Source: Meister et al. 2022, equation 5."""
    information = -probabilities.log()
    entropy = (probabilities * information).nan_to_num(0.0).sum(1, keepdim=True)
    nearest = (information - entropy).abs().argsort(dim=1, stable=True)
    ordered = probabilities.gather(1, nearest)
    kept = ordered.cumsum(1) - ordered < share
    return torch.zeros_like(kept).scatter(1, nearest, kept)


def _kept(probabilities: Tensor, kept: Tensor) -> Tensor:
    probabilities = probabilities.masked_fill(~kept, 0.0)
    return probabilities / probabilities.sum(1, keepdim=True)


def _invert(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """The token at which the sum of the probabilities passes `uniform`, never one of probability 0."""
    sums = probabilities.double().cumsum(1)
    total = sums[:, -1:]
    target = torch.minimum(uniform[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(sums, target, right=True).squeeze(1)
