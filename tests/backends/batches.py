"""The same three texts, padded and packed, as backends take them."""

from __future__ import annotations

import numpy as np

from plm.backends.runner import Arrays
from tests.tiny_models import mask_of, random_ids

LENGTHS = (5, 1, 3)


def padded() -> Arrays:
    """input_ids and attention_mask, (3, 5)."""
    ids = random_ids(len(LENGTHS), max(LENGTHS)) % 20 + 1  # words that every tiny vocabulary has
    mask = mask_of(max(LENGTHS), *((0, length) for length in LENGTHS))
    return {"input_ids": (ids * mask).numpy(), "attention_mask": mask.numpy()}


def packed() -> Arrays:
    """input_ids, (9,), and lengths, (3,)."""
    batch = padded()
    return {"input_ids": batch["input_ids"][batch["attention_mask"] == 1], "lengths": np.array(LENGTHS)}


def live(answers: Arrays, batch: Arrays) -> Arrays:
    """Answers to a padded batch without those about padding, where backends may say anything."""
    mask = batch["attention_mask"]
    return {name: array[mask == 1] if array.shape[:2] == mask.shape else array for name, array in answers.items()}
