"""Texts with holes to the words that fit: `the [MASK] was good` to the likeliest tokens of each mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plm.backends.runner import Runner
from plm.blocks.labels import IGNORED_LABEL
from plm.errors import ConfigError, DataError
from plm.pipelines import TOKENS_PER_BATCH, Encoded, batches_by_length
from plm.pipelines.source import checked_length
from plm.tokenizers import Tokenizer


class FillMask:
    """Asks a masked language model what stands at each mask.

    runner: with the head masked_lm. choices: tokens for each mask, best first. tokens_per_batch: real ones, about.
    takes_labels: True = the runner is PyTorch's, which takes labels, and then computes scores for masks alone.
    Raises ConfigError for a vocabulary without mask token.
    """

    def __init__(
        self,
        runner: Runner,
        tokenizer: Tokenizer,
        *,
        choices: int,
        tokens_per_batch: int = TOKENS_PER_BATCH,
        takes_labels: bool = True,
    ) -> None:
        if tokenizer.mask_token is None or tokenizer.mask_token_id is None:
            raise ConfigError("fill-mask: the vocabulary of this model has no mask token")
        self.runner = runner
        self.tokenizer = tokenizer
        self.max_length = checked_length(None, runner.config, tokenizer)
        self.choices = choices
        self.tokens_per_batch = tokens_per_batch
        self.takes_labels = takes_labels
        self._mask, self._mask_id = tokenizer.mask_token, tokenizer.mask_token_id

    def __call__(self, texts: Sequence[str]) -> list[list[list[dict[str, Any]]]]:
        """For each text, for each of its masks from left to right, [{"token", "score"}, ...]; scores are probabilities.

        Raises DataError for a text without mask, and for one that is longer than the model takes: no mask is cut off.
        """
        rows = [self.encode(text, place) for place, text in enumerate(texts)]
        encoded = Encoded(rows, [[0] * len(row) for row in rows])
        answers: list[list[list[dict[str, Any]]]] = [[] for _ in texts]
        for places in batches_by_length([len(row) for row in rows], self.tokens_per_batch):
            owners = [place for place in places for _ in range(rows[place].count(self._mask_id))]
            for place, logits in zip(owners, self._run(encoded, places), strict=True):
                answers[place].append(self._best(logits))
        return answers

    def encode(self, text: str, place: int = 0) -> list[int]:
        """Ids of a text in which the mask token, and no other special token, is read as such. Raises DataError."""
        parts = text.split(self._mask)
        if len(parts) == 1:
            raise DataError(f"text {place}: has no {self._mask}, so there is nothing to fill in ({text!r:.80})")
        pieces = self.tokenizer.encode_batch_ids(parts, add_special_tokens=False)[0]
        start, end = self.tokenizer.encode("")
        row = [start, *pieces[0]]
        for piece in pieces[1:]:
            row += [self._mask_id, *piece]
        if self.max_length is not None and len(row) >= self.max_length:
            raise DataError(f"text {place}: has {len(row) + 1} tokens, more than the {self.max_length} of the model")
        return [*row, end]

    def _run(self, encoded: Encoded, places: list[int]) -> np.ndarray[Any, Any]:
        """(masks, vocabulary): logits, text by text in the order of `places`."""
        batch = (
            encoded.packed(places)
            if self.runner.takes_packed
            else encoded.padded(places, self.tokenizer.pad_token_id or 0)
        )
        is_mask = batch["input_ids"] == self._mask_id
        if not self.takes_labels:
            logits = self.runner.run(batch)["logits"]
            found: np.ndarray[Any, Any] = logits[is_mask]
            return found
        batch["labels"] = np.where(is_mask, batch["input_ids"], IGNORED_LABEL)
        return self.runner.run(batch)["logits"]

    def _best(self, logits: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
        chances = np.exp(logits - logits.max())
        chances /= chances.sum()
        best = np.argsort(-chances, kind="stable")[: self.choices].tolist()
        tokens = self.tokenizer.convert_ids_to_tokens(best)
        return [{"token": token or "", "score": float(chances[id_])} for id_, token in zip(best, tokens, strict=True)]
