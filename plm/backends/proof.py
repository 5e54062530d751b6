"""Do two runners give the same answers? Asked about random texts, padded and packed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from plm.backends.runner import Arrays, Runner
from plm.checkpoints.verification import LENGTHS, ROWS


@dataclass(frozen=True, kw_only=True)
class Proof:
    """How far two runners differ over all texts.

    largest: by field, the largest absolute difference. relative: by field, the norm of the difference over that of the
    expected values. Both are infinite for other shapes or NaN. limit: of `relative`.
    """

    largest: Mapping[str, float]
    relative: Mapping[str, float]
    limit: float

    @property
    def holds(self) -> bool:
        """True when there is something to compare, and all of it lies within the limit."""
        return bool(self.relative) and all(value <= self.limit for value in self.relative.values())

    def lines(self) -> list[str]:
        """One line a field."""
        return [
            f"{name}: largest difference to eager PyTorch {self.largest[name]:.3g}, relative {value:.2g} "
            f"(at most {self.limit:g})"
            for name, value in self.relative.items()
        ]


def prove(expected: Runner, actual: Runner, *, limit: float, choices: bool, seed: int = 0) -> Proof:
    """Compare two runners of one model with the same head.

    choices: True = texts come as (batch, choices, length). limit: see Proof. seed: of the texts.
    """
    errors: dict[str, list[np.ndarray[Any, Any]]] = {}
    values: dict[str, list[np.ndarray[Any, Any]]] = {}
    for batch in _batches(expected, packed=actual.takes_packed, choices=choices, seed=seed):
        wanted, given = (_live(runner.run(batch), batch) for runner in (expected, actual))
        for name in dict.fromkeys([*wanted, *given]):
            fits = name in wanted and name in given and wanted[name].shape == given[name].shape
            errors.setdefault(name, []).append((wanted[name] - given[name]).ravel() if fits else np.array([math.inf]))
            values.setdefault(name, []).append(wanted[name].ravel() if fits else np.ones(1))
    joined = {name: (np.concatenate(errors[name]), np.concatenate(values[name])) for name in errors}
    return Proof(
        largest={name: _finite(np.abs(error).max(initial=0.0)) for name, (error, _) in joined.items()},
        relative={
            name: _finite(np.linalg.norm(error) / max(float(np.linalg.norm(value)), 1e-12))
            for name, (error, value) in joined.items()
        },
        limit=limit,
    )


def _live(answers: Arrays, batch: Arrays) -> Arrays:
    """Answers without those about padding, where a runner may say anything."""
    mask = batch.get("attention_mask")
    if mask is None:
        return answers
    by_token = {name for name, array in answers.items() if array.shape[: mask.ndim] == mask.shape}
    return {name: array[mask == 1] if name in by_token else array for name, array in answers.items()}


def _finite(value: Any) -> float:
    return math.inf if math.isnan(value) else float(value)


def _batches(runner: Runner, *, packed: bool, choices: bool, seed: int) -> Iterator[Arrays]:
    """Random texts, the first of each batch the longest: padded, and packed where that is taken."""
    config, random = runner.config, np.random.default_rng(seed)
    for length in dict.fromkeys(min(length, config.longest_text or length) for length in LENGTHS):
        lengths = np.array([length, *random.integers(1, length + 1, ROWS - 1)])
        batch = {"input_ids": random.integers(config.vocab_size, size=(ROWS, length))}
        batch["attention_mask"] = (np.arange(length) < lengths[:, None]).astype(np.int64)
        if config.type_vocab_size:
            batch["token_type_ids"] = random.integers(config.type_vocab_size, size=(ROWS, length))
        if choices:
            yield {name: array.reshape(2, ROWS // 2, length) for name, array in batch.items()}
            continue
        yield batch
        if packed:
            live = batch.pop("attention_mask") == 1
            yield {name: array[live] for name, array in batch.items()} | {"lengths": lengths}
