"""The account of a run says what people ask."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from plm.training import Callback, MarkdownReport, Record, Run, Trainer
from plm.training.report import markdown
from tests.training.tiny import TinyBatches, TinyModel, config, examples


def reported(path: Path, *callbacks: Callback, **options: object) -> str:
    results = iter([0.5, 0.75])
    Trainer(
        TinyModel(),
        config(eval_strategy="epoch", seed=7),
        batches=TinyBatches(),
        evaluate=lambda model: {"accuracy": next(results)},
        callbacks=[*callbacks, MarkdownReport(path, **options)],  # type: ignore[arg-type]
    ).train()
    return path.read_text()


def test_it_tells_outcome_scores_settings_speed_and_environment(tmp_path: Path) -> None:
    text = reported(tmp_path / "reports" / "report.md", title="Reviews")
    lines = text.splitlines()
    tokens = 2 * int(examples(torch.arange(40))["attention_mask"].sum())
    for line in (
        "# Reviews",
        "| stopped | finished |",
        "| updates | 10 of 10 |",
        "| seed | 7 |",
        "| best accuracy | 0.7500 |",
        f"| real tokens | {tokens} |",
        f"| padding | {1 - tokens / 480:.1%} of the positions |",
        "| update | epoch | accuracy |",
        "| 5 | 1.00 | 0.5000 |",
        "| 10 (best) | 2.00 | 0.7500 |",
        "| learning_rate | 0.01 |",
        f"| torch | {torch.__version__} |",
        "| device | cpu |",
    ):
        assert line in lines
    assert "FLOP/s" not in text


def test_it_tells_the_share_of_the_peak_where_operations_are_known() -> None:
    run = Run(config(), total_updates=1, tokens=1000, seconds=2.0)
    text = markdown(run, flops_per_token=6e9, peak_flops=12e12)
    assert "| computing | 3 TFLOP/s, on real tokens |" in text
    assert "| share of the device's peak (MFU) | 25.0% |" in text
    assert "TFLOP/s" in markdown(run, flops_per_token=6e9)
    assert "MFU" not in markdown(run, flops_per_token=6e9)


@pytest.mark.parametrize(
    ("options", "passes"),
    [({"r_drop": 1.0}, 2), ({"adversarial": "fgm"}, 2), ({"adversarial": "pgd", "adversarial_steps": 4}, 5),
     ({"adversarial": "fgm", "r_drop": 0.5}, 4)],
)  # fmt: skip
def test_further_passes_with_a_token_are_computing_too(options: dict[str, object], passes: int) -> None:
    run = Run(config(**options), total_updates=1, tokens=1000, seconds=1.0)
    assert f"| computing | {passes} TFLOP/s" in markdown(run, flops_per_token=1e9)


def test_it_is_written_while_the_run_goes_on_and_after_an_error(tmp_path: Path) -> None:
    class Failing(Callback):
        def on_step(self, run: Run, record: Record) -> None:
            if record.update == 6:
                assert "| stopped | running |" in (tmp_path / "report.md").read_text()
                raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        reported(tmp_path / "report.md", Failing())
    text = (tmp_path / "report.md").read_text()
    assert "| stopped | ended by an error |" in text
    assert "| updates | 6 of 10 |" in text


def test_cells_do_not_break_the_table() -> None:
    run = Run(config(), total_updates=1, stop_reason="a|b\nc")
    assert "| stopped | a\\|b c |" in markdown(run)
