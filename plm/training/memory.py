"""When memory runs out: which batches it was, and what to lower."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from plm.errors import TrainingError
from plm.training.step import Batch

# What torch says where it has no class for it: on the CPU, and when a library of CUDA finds no room for itself.
_MESSAGES = ("can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")


@contextmanager
def memory_errors_explained(batches: Sequence[Batch], *, number: int) -> Iterator[None]:
    """Turn an out-of-memory error inside into a TrainingError. number: of the update, from 1."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        shapes = ", ".join(dict.fromkeys(f"{_shape(batch)}" for batch in batches))
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise TrainingError(
            f"update {number}: out of memory with a batch of {shapes}: {first} Take smaller batches and as many more "
            "gradient_accumulation_steps, which trains the same; or gradient_checkpointing, precision bf16, or a "
            "smaller max_length."
        ) from error


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return any(message in str(error) for message in _MESSAGES)


def _shape(batch: Batch) -> str:
    """(rows, length) of a batch, by its input_ids or else its first entry."""
    if not batch:
        return "nothing"
    name = "input_ids" if "input_ids" in batch else next(iter(batch))
    return f"{name} {tuple(batch[name].shape)}"
