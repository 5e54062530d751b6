"""Are two models the same? Their tensors bit by bit, and what every head says about random texts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from plm.heads.model import Model

# Largest difference between outputs that counts as equal; equal weights on one machine give 0.
TOLERANCE = 1e-6

# Texts of one batch, and the lengths of its longest ones: alone, short, beyond a clip distance of 8, long.
ROWS = 4
LENGTHS = (1, 3, 12, 48)

# Heads that read several texts for one answer: input_ids are (batch, choices, length).
CHOICE_HEADS = ("multiple_choice", "multiple_choice_with_lm", "double_heads")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How far two models differ.

    tensors: number of tensors that both have. unequal: names of those with other bits, or only one of the models has.
    differences: "head.field" -> largest absolute difference over all texts; infinite for other shapes or NaN.
    lengths: tokens of the longest text of each batch.
    """

    tensors: int
    unequal: tuple[str, ...]
    differences: dict[str, float]
    lengths: tuple[int, ...]

    @property
    def largest(self) -> float:
        """The largest difference between outputs."""
        return max(self.differences.values(), default=0.0)

    @property
    def is_equal(self) -> bool:
        """True when all tensors are equal and no output differs by more than TOLERANCE."""
        return not self.unequal and self.largest <= TOLERANCE

    def lines(self) -> list[str]:
        """The comparison, one fact a line."""
        equal = f"{self.tensors - len(self.unequal)} of {self.tensors} tensors equal bit by bit"
        lengths = ", ".join(map(str, self.lengths))
        return [
            equal,
            *(f"not equal: {name}" for name in self.unequal),
            *(f"{name}: largest difference {value:.3g}" for name, value in self.differences.items()),
            f"compared on random texts of up to {lengths} tokens, with padding",
        ]


def compare(first: Model, second: Model, *, seed: int = 0) -> Comparison:
    """Compare two models with the same heads, in evaluation mode.

    A tensor that is wider in one of them (float32 for bfloat16) is equal when it holds the same numbers.
    seed: of the random texts: ids over the whole vocabulary, types, and rows of different lengths with padding.
    """
    lengths = tuple(dict.fromkeys(min(length, _longest(first)) for length in LENGTHS))
    differences: dict[str, float] = {}
    calls = [(head, length) for head in (tuple(first.heads) or (None,)) for length in lengths]
    generator = torch.Generator().manual_seed(seed)
    for head, length in tqdm(calls, desc="comparing outputs", unit="batch", disable=None, delay=2, leave=False):
        batch = _batch(first, head, length, generator)
        for name, value in _differences(first, second, head, batch):
            differences[name] = max(value, differences.get(name, 0.0))
    return Comparison(
        tensors=len(first.state_dict().keys() | second.state_dict().keys()),
        unequal=tuple(compare_tensors(first, second)),
        differences=differences,
        lengths=lengths,
    )


def compare_tensors(first: Model, second: Model) -> list[str]:
    """Names of the tensors that have other bits, or that only one of the models has; see `compare`."""
    states, others = first.state_dict(), second.state_dict()
    unequal = [name for name, tensor in states.items() if name not in others or not _same_bits(tensor, others[name])]
    return unequal + [name for name in others if name not in states]


def _same_bits(first: Tensor, second: Tensor) -> bool:
    if first.shape != second.shape:
        return False
    wide = torch.promote_types(first.dtype, second.dtype)
    return torch.equal(_bits(first.to(wide)), _bits(second.to(wide)))


def _bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().flatten().view(torch.uint8)


def _longest(model: Model) -> int:
    """Tokens that the model takes; relative positions set no limit."""
    return model.config.longest_text or LENGTHS[-1]


def _batch(model: Model, head: str | None, length: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Random texts, the first of them `length` tokens, the others shorter and padded on the right."""
    config = model.config
    kind = None if head is None else model.plans[model.plans[head].shared_with or head].kind
    shape = (ROWS, length)
    batch = {"input_ids": torch.randint(config.vocab_size, shape, generator=generator)}
    lengths = torch.randint(1, length + 1, (ROWS,), generator=generator)
    lengths[0] = length
    batch["attention_mask"] = (torch.arange(length) < lengths[:, None]).long()
    if config.type_vocab_size:
        batch["token_type_ids"] = torch.randint(config.type_vocab_size, shape, generator=generator)
    if kind in CHOICE_HEADS:
        batch = {name: tensor.reshape(2, ROWS // 2, length) for name, tensor in batch.items()}
    return batch


def _differences(
    first: Model, second: Model, head: str | None, batch: dict[str, Tensor]
) -> Iterator[tuple[str, float]]:
    with torch.inference_mode():
        outputs = [model(**batch, head=head) for model in (first, second)]
    for field in dict.fromkeys([*outputs[0].keys(), *outputs[1].keys()]):
        name = f"{head}.{field}" if head else field
        if field not in outputs[0] or field not in outputs[1]:
            yield name, math.inf
        else:
            yield name, _largest(outputs[0][field], outputs[1][field])


def _largest(first: Tensor, second: Tensor) -> float:
    if first.shape != second.shape:
        return math.inf
    if torch.equal(first, second):
        return 0.0
    value = float((first.double() - second.double()).abs().max())
    return math.inf if math.isnan(value) else value
