"""Small batches in every form that runners take, and how answers to them compare."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from plm.backends.runner import Arrays
from tests.tiny_models import mask_of, random_ids

LENGTH = 9
LENGTHS = (5, 1, 3, 3)

MASKS = {
    "full": mask_of(LENGTH, *[(0, LENGTH)] * 4).numpy(),
    "right": mask_of(LENGTH, (0, 9), (0, 4), (0, 4), (0, 1)).numpy(),
    "left": mask_of(LENGTH, (0, 9), (5, 9), (3, 9), (8, 9)).numpy(),
    "holes": mask_of(LENGTH, (0, 9), (2, 9), (0, 4), (0, 9)).numpy() * (np.arange(LENGTH) != 3),
    "absent": mask_of(LENGTH, (0, 9), (0, 0), (3, 9), (0, 4)).numpy(),
}


def padded(mask: str | None, *, types: bool = True, choices: bool = False) -> Arrays:
    """Four texts, or two of two choices each. mask: a name in MASKS; None = none, one text ends in padding tokens."""
    batch = {"input_ids": random_ids(4, LENGTH).numpy()}
    if mask is None:
        batch["input_ids"][1, 6:] = 0
    else:
        batch["attention_mask"] = MASKS[mask]
        batch["input_ids"] = batch["input_ids"] * MASKS[mask]
    if types:
        batch["token_type_ids"] = random_ids(4, LENGTH, seed=3).numpy() % 2
    return {name: array.reshape(2, 2, LENGTH) if choices else array for name, array in batch.items()}


def packed(*, types: bool = True) -> Arrays:
    """Four texts, one after the other."""
    tokens = sum(LENGTHS)
    batch = {"input_ids": random_ids(tokens).numpy(), "lengths": np.array(LENGTHS)}
    return batch | ({"token_type_ids": random_ids(tokens, seed=3).numpy() % 2} if types else {})


def batches(*, choices: bool) -> Iterator[Arrays]:
    """All forms. choices: True = with a dimension of choices, which some heads need, and nothing packed."""
    for mask in (None, *MASKS):
        for types in (True, False):
            yield padded(mask, types=types, choices=choices)
    if not choices:
        yield packed()
        yield packed(types=False)


def assert_same(actual: Arrays, expected: Arrays, batch: Arrays, *, most: float) -> None:
    """The same names and shapes, and values that differ by at most `most` times 1 + their size.

    Of answers by token only those at live tokens are compared: what stands elsewhere is said by each backend.
    """
    assert list(actual) == list(expected)
    for name, values in expected.items():
        assert actual[name].shape == values.shape, name
        mask = batch.get("attention_mask")
        by_token = mask is not None and values.shape[: mask.ndim] == mask.shape
        live = mask != 0 if by_token and mask is not None else ...
        difference = np.abs(actual[name][live].astype(np.float64) - values[live]) / (1 + np.abs(values[live]))
        assert difference.max() <= most, f"{name}: {difference.max()}"
