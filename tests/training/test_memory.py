"""Out of memory: what it was, and what to do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from plm.errors import TrainingError
from plm.training import Batch, Trainer
from plm.training.memory import memory_errors_explained
from tests.training.tiny import Altered, TinyBatches, TinyModel, config

MATRIX = {"input_ids": torch.zeros(4, 7, dtype=torch.int64)}


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has ..."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
)
def test_the_message_names_shape_and_way_out(error: Exception) -> None:
    with (
        pytest.raises(TrainingError, match=r"5: out of memory with a batch of input_ids \(4, 7\): .*smaller batch"),
        memory_errors_explained([MATRIX, MATRIX], number=5),
    ):
        raise error


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), TrainingError("the loss is nan")])
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, memory_errors_explained([{}], number=1):
        raise error
    assert raised.value is error


def test_a_real_allocation_that_fails_is_told_by_the_trainer() -> None:
    def demand(loss: Tensor, batch: Batch) -> Tensor:
        return loss + torch.empty(2**50, dtype=torch.float64)

    model: nn.Module = TinyModel()
    with pytest.raises(TrainingError, match=r"update 1: out of memory with a batch of input_ids \(8, 6\)"):
        Trainer(model, config(), batches=TinyBatches(), step=Altered(demand), callbacks=()).train()
