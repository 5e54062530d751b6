"""Curves are drawn, but not all the time."""

from __future__ import annotations

from pathlib import Path

import pytest

from plm.training import CurvePlot, Run, Trainer
from tests.training.tiny import TinyBatches, TinyModel, config

pytest.importorskip("matplotlib", reason='needs the extra "plot"')


@pytest.mark.parametrize(("suffix", "mark"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_curves_are_drawn(tmp_path: Path, suffix: str, mark: bytes) -> None:
    Trainer(
        TinyModel(),
        config(eval_strategy="epoch"),
        batches=TinyBatches(),
        evaluate=lambda model: {"accuracy": 0.5},
        callbacks=[CurvePlot(tmp_path / "plots" / f"curves{suffix}")],
    ).train()
    assert (tmp_path / "plots" / f"curves{suffix}").read_bytes().startswith(mark)
    assert len(list((tmp_path / "plots").iterdir())) == 1


@pytest.mark.parametrize(("pause", "drawn"), [(0.0, 6), (3600.0, 2)])
def test_they_are_drawn_at_most_once_in_a_pause_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause: float, drawn: int
) -> None:
    plot, run, drawings = CurvePlot(tmp_path / "curve.png", pause=pause), Run(config(), total_updates=5), []
    draw = plot._draw
    monkeypatch.setattr(plot, "_draw", lambda run: (drawings.append(run.update), draw(run)))
    for update in range(1, 6):
        run.update = update
        plot.on_evaluate(run, run.record("evaluation", {"accuracy": 0.5}))
    plot.on_stop(run)
    assert len(drawings) == drawn
