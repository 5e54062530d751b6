"""Number formats that the device has are used, others refused with a way out."""

from __future__ import annotations

import pytest
import torch

from plm.errors import TrainingError
from plm.training.precision import autocast, gradient_scaler

CPU = torch.device("cpu")


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_matrix_products_run_in_the_format(precision: str, dtype: torch.dtype) -> None:
    with autocast(precision, CPU):  # type: ignore[arg-type]
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_fp16_on_the_cpu_is_refused() -> None:
    for use in (autocast, gradient_scaler):
        with pytest.raises(
            TrainingError, match='precision "fp16" needs a CUDA device, the model is on cpu; take "bf16"'
        ):
            use("fp16", CPU)


def test_the_scaler_passes_through_what_needs_no_scaling() -> None:
    scaler = gradient_scaler("bf16", CPU)
    assert not scaler.is_enabled()
    assert scaler.scale(torch.tensor(3.0)).item() == 3.0
