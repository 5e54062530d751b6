"""`generate`: prompts in, what comes after them out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from plm.errors import ConfigError
from plm.generation.beam import Hypothesis, beam_search
from plm.generation.config import GenerationConfig
from plm.generation.constraints import LogitsConstraint, LogitsProcessor
from plm.generation.decoder import Decoder
from plm.generation.decoding import Decoding, NextTokens, Stop
from plm.generation.prompts import Prompts
from plm.heads.engine import CausalEngine, as_engine
from plm.heads.model import Model

Ending = Literal["stop", "length"]


@dataclass(frozen=True)
class Sequences:
    """New tokens of all texts; the texts of a prompt are neighbours, the best or first of them first.

    ids: (texts, new tokens), int64, 0 behind the end. lengths: (texts,), int64, new tokens of each, the stop token
    included. scores: (texts, new tokens), float32, log-probability of each token under the model, before filters and
    constraints; of beams, after repetition control. 0 for tokens that constraints left no choice about, and behind the
    end. endings: how each text ended: "stop" = by a stop token or text, "length" = by max_new_tokens.
    """

    ids: Tensor
    lengths: Tensor
    scores: Tensor
    endings: tuple[Ending, ...]

    def text_ids(self, number: int) -> list[int]:
        """New tokens of one text."""
        ids: list[int] = self.ids[number, : int(self.lengths[number])].tolist()
        return ids


def generate(
    model: Model | CausalEngine,
    input_ids: Tensor,
    config: GenerationConfig | None = None,
    *,
    attention_mask: Tensor | None = None,
    token_type_ids: Tensor | None = None,
    new_token_types: Tensor | None = None,
    seeds: Sequence[int] | None = None,
    constraints: Sequence[LogitsConstraint] = (),
    processors: Sequence[LogitsProcessor] = (),
    stop: Stop | None = None,
    cached: bool = True,
) -> Sequences:
    """What comes after each prompt, by any causal model with a language model head.

    model: a Model, or the engine of a backend.
    input_ids: (prompts, length), int64; attention_mask: the same, 0/1, prompts padded on either side.
    token_type_ids: (prompts, length), for models that know types.
    new_token_types: (texts, max_new_tokens), int64, types of the new tokens; None = the last one of their prompt.
    seeds: one for each prompt, in place of that of the config.
    config: None = greedy, 64 tokens. constraints, processors: see their classes.
    stop: (numbers of texts, (texts, new tokens)) -> (texts,) bool, True for those that are to end.
    cached: False = read everything again for each token: for comparison.
    Raises ConfigError for a model that cannot go on with a text, ShapeError where it has too few positions,
    GenerationError where constraints allow no token.
    """
    config = config or GenerationConfig()
    if new_token_types is not None and (token_type_ids is None or config.num_beams > 1):
        raise ConfigError("new_token_types go on from token_type_ids, and not with beams")
    if config.num_beams > 1:
        decoder, prompts = _prepared(model, input_ids, attention_mask, token_type_ids, config, cached=cached)
        found = beam_search(decoder, prompts, config, constraints=constraints, processors=processors, stop=stop)
        return _of_beams(found, config)
    steps = generate_steps(
        model,
        input_ids,
        config,
        attention_mask=attention_mask,
        token_type_ids=token_type_ids,
        new_token_types=new_token_types,
        seeds=seeds,
        constraints=constraints,
        processors=processors,
        stop=stop,
        cached=cached,
    )
    return _of_steps(list(steps))


def generate_steps(
    model: Model | CausalEngine,
    input_ids: Tensor,
    config: GenerationConfig | None = None,
    *,
    attention_mask: Tensor | None = None,
    token_type_ids: Tensor | None = None,
    new_token_types: Tensor | None = None,
    seeds: Sequence[int] | None = None,
    constraints: Sequence[LogitsConstraint] = (),
    processors: Sequence[LogitsProcessor] = (),
    stop: Stop | None = None,
    cached: bool = True,
) -> Iterator[NextTokens]:
    """`generate` step by step, to show texts while they grow; whoever stops iterating stops the computation.

    Arguments and errors as of `generate`; and ConfigError for beams, which are only known at the end.
    """
    config = config or GenerationConfig()
    if config.num_beams > 1:
        raise ConfigError("beams are known when all are finished: they cannot be had token by token")
    decoder, prompts = _prepared(model, input_ids, attention_mask, token_type_ids, config, cached=cached)
    return iter(
        Decoding(
            decoder,
            prompts,
            config,
            new_types=new_token_types,
            seeds=seeds,
            constraints=constraints,
            processors=processors,
            stop=stop,
        )
    )


def _prepared(
    model: Model | CausalEngine,
    input_ids: Tensor,
    attention_mask: Tensor | None,
    token_type_ids: Tensor | None,
    config: GenerationConfig,
    *,
    cached: bool,
) -> tuple[Decoder, Prompts]:
    prompts = Prompts.of(input_ids, attention_mask, token_type_ids)
    needed = prompts.length + config.max_new_tokens
    engine = as_engine(model)
    window = engine.positions if config.overflow == "slide" else None
    decoder = Decoder(engine, prompts, capacity=needed, window=window, cached=cached)
    return decoder, prompts


def _of_steps(steps: Sequence[NextTokens]) -> Sequences:
    alive = torch.stack([step.alive for step in steps], dim=1)
    ended = torch.stack([step.ended for step in steps], dim=1).any(1)
    return Sequences(
        ids=torch.stack([step.ids for step in steps], dim=1),
        lengths=alive.sum(1),
        scores=torch.stack([step.scores for step in steps], dim=1),
        endings=tuple("stop" if one else "length" for one in ended.tolist()),
    )


def _of_beams(found: Sequence[Sequence[Hypothesis]], config: GenerationConfig) -> Sequences:
    best = [hypothesis for one in found for hypothesis in one[: config.num_return_sequences]]
    return Sequences(
        ids=torch.nn.utils.rnn.pad_sequence([one.ids for one in best], batch_first=True),
        lengths=torch.tensor([len(one.ids) for one in best]),
        scores=torch.nn.utils.rnn.pad_sequence([one.scores for one in best], batch_first=True),
        endings=tuple("stop" if one.ended else "length" for one in best),
    )
