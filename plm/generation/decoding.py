"""One token after the other: greedy and by sampling."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from plm.errors import GenerationError
from plm.generation.config import GenerationConfig
from plm.generation.constraints import LogitsConstraint, LogitsProcessor, allowed_tokens
from plm.generation.decoder import Decoder
from plm.generation.prompts import Prompts
from plm.generation.repetition import ban_repeated_ngrams, penalise_seen
from plm.generation.sampling import Draws, draw

# Rows that have ended are left out once they are this share of those that are computed.
_ENDED_SHARE = 0.25


@dataclass(frozen=True)
class NextTokens:
    """One step of all rows.

    ids: (rows,), int64; a row that has ended gets 0. scores: (rows,), float32, log-probability under the model, before
    constraints and filters; 0 where the token was the only one allowed. alive: (rows,), bool, rows that had not ended
    before this token. ended: (rows,), bool, rows whose last token this is.
    """

    ids: Tensor
    scores: Tensor
    alive: Tensor
    ended: Tensor


# Rows, of those still running, that are to end after the token that was just added: (numbers of rows, (these rows,
# new tokens)) -> (these rows,) bool.
Stop = Callable[[Tensor, Tensor], Tensor]


class Decoding:
    """Texts in the making: iterate to get them token by token, at most `max_new_tokens` times.

    decoder: with one row for each prompt. prompts: what it started from. new_types, seeds: as in `generate`.
    """

    def __init__(
        self,
        decoder: Decoder,
        prompts: Prompts,
        config: GenerationConfig,
        *,
        new_types: Tensor | None = None,
        seeds: Sequence[int] | None = None,
        constraints: Sequence[LogitsConstraint] = (),
        processors: Sequence[LogitsProcessor] = (),
        stop: Stop | None = None,
    ) -> None:
        self._decoder, self._config = decoder, config
        self._constraints, self._processors, self._stop = constraints, processors, stop
        self._live, self._new_types = prompts.live, new_types
        rows, texts = len(prompts.ids), config.num_return_sequences
        self._draws = None
        if config.samples:
            prompt_ids = [prompts.row(number) for number in range(rows)]
            self._draws = Draws([config.seed] * rows if seeds is None else seeds, prompt_ids, texts)
        self._all = rows * texts
        self._rows = torch.arange(self._all, device=prompts.ids.device)  # those still computed
        self._new = prompts.ids.new_empty(rows * texts, 0)
        self._alive = torch.ones_like(self._rows, dtype=torch.bool)
        self._stops = prompts.ids.new_tensor(config.stop_token_ids or ())

    def __iter__(self) -> Iterator[NextTokens]:
        """See the class. Raises GenerationError where constraints allow no token."""
        texts = self._config.num_return_sequences
        logits = None
        if texts > 1:  # every prompt is read once, however many texts go on from it
            copies = self._rows // texts
            logits = self._decoder.logits()[copies]
            self._decoder.select(copies)
            self._live = None if self._live is None else self._live[copies]
        for step in range(self._config.max_new_tokens):
            allowed = allowed_tokens(self._constraints, step, self._new)
            ids = self._only(allowed, step)
            scores = torch.zeros(len(self._rows), device=self._rows.device)
            if ids is None:
                logits = self._decoder.logits() if logits is None else logits
                ids, scores = self._take(logits, allowed, step)
            yield self._add(ids, scores)
            logits = None
            if not bool(self._alive.any()):
                return
            self._leave_out_ended()

    def _only(self, allowed: Tensor | None, step: int) -> Tensor | None:
        """The tokens of this step where each row has one alone."""
        if allowed is None:
            return None
        counts = allowed.sum(1)[self._alive]
        if not bool((counts > 0).all()):
            row = int(self._rows[self._alive][counts == 0][0])
            raise GenerationError(f"row {row}: the constraints allow no token as number {step} of the new ones")
        return allowed.to(torch.uint8).argmax(1) if bool((counts == 1).all()) else None

    def _take(self, logits: Tensor, allowed: Tensor | None, step: int) -> tuple[Tensor, Tensor]:
        config, raw = self._config, logits
        logits = repetition_controlled(logits, self._decoder.ids, self._all_live(), config)
        for processor in self._processors:
            logits = processor(step, self._new, logits)
        if allowed is not None:
            logits = logits.masked_fill(~allowed, -torch.inf)
        if self._draws is None:
            ids = logits.argmax(1)
        else:
            ids = draw(logits.masked_fill(~self._alive[:, None], 0.0), self._draws(step), config)
        scores = raw.gather(1, ids[:, None]).squeeze(1) - raw.logsumexp(1)
        return ids, scores

    def _add(self, ids: Tensor, scores: Tensor) -> NextTokens:
        alive = self._alive.clone()
        ids = ids.masked_fill(~alive, 0)
        types = None if self._new_types is None else self._new_types[self._rows, self._new.shape[1]]
        self._decoder.append(ids, types)
        self._new = torch.cat([self._new, ids[:, None]], dim=1)
        ended = torch.isin(ids, self._stops)
        if self._stop is not None:
            ended = ended | self._stop(self._rows, self._new)
        ended = ended & alive
        self._alive = alive & ~ended
        return NextTokens(*(self._spread(part) for part in (ids, scores.masked_fill(~alive, 0.0), alive, ended)))

    def _spread(self, part: Tensor) -> Tensor:
        """(rows still computed,) -> (rows,)."""
        if len(part) == self._all:
            return part
        return part.new_zeros(self._all).index_copy(0, self._rows, part)

    def _leave_out_ended(self) -> None:
        # Constraints and processors know rows by their numbers, so with them all rows stay.
        if self._constraints or self._processors:
            return
        if int(self._alive.sum()) > (1.0 - _ENDED_SHARE) * len(self._alive):
            return
        kept = self._alive.nonzero().flatten()
        self._decoder.select(kept)
        self._rows, self._new, self._alive = self._rows[kept], self._new[kept], self._alive[kept]
        self._live = None if self._live is None else self._live[kept]
        if self._draws is not None:
            self._draws.select(kept)

    def _all_live(self) -> Tensor | None:
        """Which of the decoder's tokens are no filling."""
        if self._live is None:
            return None
        new = self._live.new_ones(len(self._live), self._decoder.ids.shape[1] - self._live.shape[1])
        return torch.cat([self._live, new], dim=1)


def repetition_controlled(logits: Tensor, ids: Tensor, live: Tensor | None, config: GenerationConfig) -> Tensor:
    """Logits after repetition_penalty and no_repeat_ngram_size. ids: (rows, length), live: which are no filling."""
    if config.repetition_penalty != 1.0:
        logits = penalise_seen(logits, ids, live, config.repetition_penalty)
    if config.no_repeat_ngram_size:
        logits = ban_repeated_ngrams(logits, ids, live, config.no_repeat_ngram_size)
    return logits
