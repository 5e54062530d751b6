"""Beam search: several texts of a prompt are followed at once, and the likeliest returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from plm.errors import GenerationError
from plm.generation.config import GenerationConfig
from plm.generation.constraints import LogitsConstraint, LogitsProcessor, allowed_tokens
from plm.generation.decoder import Decoder
from plm.generation.decoding import Stop, repetition_controlled
from plm.generation.prompts import Prompts


@dataclass(frozen=True)
class Hypothesis:
    """A text that is finished.

    score: log-probability divided by the number of new tokens to the power of length_penalty. ids, scores: its new
    tokens and their log-probabilities. ended: True = by a stop token or text, False = by its length.
    """

    score: float
    ids: Tensor
    scores: Tensor
    ended: bool


@dataclass
class _Finished:
    """The best hypotheses of one prompt, best first."""

    size: int
    best: list[Hypothesis] = field(default_factory=list)

    def add(self, hypothesis: Hypothesis) -> None:
        self.best = sorted([*self.best, hypothesis], key=lambda one: -one.score)[: self.size]

    def beats(self, attainable: float) -> bool:
        """True when no text that is still followed, at most this good, can get among the best."""
        return len(self.best) == self.size and self.best[-1].score >= attainable


def beam_search(
    decoder: Decoder,
    prompts: Prompts,
    config: GenerationConfig,
    *,
    constraints: Sequence[LogitsConstraint] = (),
    processors: Sequence[LogitsProcessor] = (),
    stop: Stop | None = None,
) -> list[list[Hypothesis]]:
    """The best hypotheses of every prompt, best first.

    decoder: with one row for each prompt. A prompt is finished when it has as many hypotheses as beams and none that is
    still followed is likelier, per token, than the worst of them; the rule of transformers with early_stopping=False.
    """
    beams = torch.arange(len(prompts.ids), device=prompts.ids.device).repeat_interleave(config.num_beams)
    logits = decoder.logits()[beams]  # every prompt is read once
    decoder.select(beams)
    live = None if prompts.live is None else prompts.live[beams]
    search = _Search(prompts, config, stop)
    for step in range(config.max_new_tokens):
        if step:
            logits = decoder.logits()
        logits = repetition_controlled(logits, decoder.ids, _lengthened(live, decoder.ids), config)
        for processor in processors:
            logits = processor(step, search.new, logits)
        scores = logits.log_softmax(1)
        allowed = allowed_tokens(constraints, step, search.new)
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        rows = search.advance(scores, is_last=step == config.max_new_tokens - 1)
        if search.done:
            break
        decoder.select(rows)
        decoder.append(search.new[:, -1])
    return search.results()


def _lengthened(live: Tensor | None, ids: Tensor) -> Tensor | None:
    """Which of `ids` are no filling, from what is known of the prompts."""
    if live is None:
        return None
    return torch.cat([live, live.new_ones(len(live), ids.shape[1] - live.shape[1])], dim=1)


class _Search:
    """The texts that are followed: a prompt's beams are neighbouring rows.

    new: (rows, new tokens), int64.
    """

    def __init__(self, prompts: Prompts, config: GenerationConfig, stop: Stop | None) -> None:
        self._config, self._stop, self._beams = config, stop, config.num_beams
        device, count = prompts.ids.device, len(prompts.ids)
        self._stops = prompts.ids.new_tensor(config.stop_token_ids or ())
        self.new = prompts.ids.new_empty(count * self._beams, 0)
        self._scores = torch.zeros(count * self._beams, 0, device=device)
        self._sums = torch.full((count, self._beams), -torch.inf, device=device)
        self._sums[:, 0] = 0.0  # at first all beams are the prompt, so one of them goes on
        self._finished = [_Finished(self._beams) for _ in range(count)]
        self._open = [True] * count

    @property
    def done(self) -> bool:
        """True when every prompt is finished."""
        return not any(self._open)

    def advance(self, scores: Tensor, *, is_last: bool) -> Tensor:
        """Follow the best texts one token further; returns the row that each new row continues.

        scores: (rows, vocab_size), log-probabilities of the next token. is_last: True = all texts end with it.
        """
        count, vocab = len(self._open), scores.shape[1]
        totals = (self._sums[:, :, None] + scores.view(count, self._beams, vocab)).flatten(1)
        # So many that there are enough to go on with, even if every beam could end with every stop token.
        wanted = (len(self._stops) + 1 + (self._stop is not None)) * self._beams
        best, places = totals.topk(min(wanted, totals.shape[1]), dim=1)
        if any(is_open and best[number, 0] == -torch.inf for number, is_open in enumerate(self._open)):
            raise GenerationError(f"the constraints allow no token as number {self.new.shape[1]} of the new ones")
        rows = places // vocab + torch.arange(count, device=places.device)[:, None] * self._beams
        tokens = places % vocab
        new = torch.cat([self.new[rows], tokens[:, :, None]], dim=2)
        token_scores = torch.cat([self._scores[rows], scores[rows, tokens][:, :, None]], dim=2)
        ended = self._ended(rows, new) & (best > -torch.inf)
        kept = torch.stack([self._follow(one) for one in ended])
        for number in range(count):
            if self._open[number]:
                self._finish(number, best[number], ended[number], new[number], token_scores[number], everything=is_last)
        self._sums = best.gather(1, kept).masked_fill(ended.gather(1, kept), -torch.inf)
        chosen = (torch.arange(count, device=kept.device)[:, None], kept)
        self.new, self._scores = new[chosen].flatten(0, 1), token_scores[chosen].flatten(0, 1)
        self._close()
        return rows[chosen].flatten()

    def results(self) -> list[list[Hypothesis]]:
        """The best of every prompt, best first."""
        return [finished.best for finished in self._finished]

    def _ended(self, rows: Tensor, new: Tensor) -> Tensor:
        ended = torch.isin(new[:, :, -1], self._stops)
        if self._stop is not None:
            ended = ended | self._stop(rows.flatten(), new.flatten(0, 1)).view_as(ended)
        return ended

    def _follow(self, ended: Tensor) -> Tensor:
        """Places of the candidates that go on: the best that have not ended, then others, whose sums do not count."""
        places = torch.cat([(~ended).nonzero().flatten(), ended.nonzero().flatten()])
        return places[torch.arange(self._beams, device=places.device).clamp(max=len(places) - 1)]

    def _finish(
        self, number: int, best: Tensor, ended: Tensor, new: Tensor, scores: Tensor, *, everything: bool
    ) -> None:
        """Keep the candidates that end, if they are among the best. everything: True = all do."""
        for place in range(min(self._beams, len(best))):
            if (everything or ended[place]) and best[place] > -torch.inf:
                score = float(best[place]) / new.shape[1] ** self._config.length_penalty
                self._finished[number].add(Hypothesis(score, new[place], scores[place], bool(ended[place])))

    def _close(self) -> None:
        length = self.new.shape[1]
        for number, sums in enumerate(self._sums):
            best = float(sums.max())
            if best == -torch.inf or self._finished[number].beats(best / length**self._config.length_penalty):
                self._open[number] = False
