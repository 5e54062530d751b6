"""Bulk work on a Ray cluster: the same rows as on one machine, and errors alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from plm.bulk import Effort, Embed, Predict, Table, answer_file, ray_engine
from plm.data import Columns
from plm.errors import DataError

# Ray Data warns of settings whenever it makes its own.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")

TEXT = Columns(text="text")


@pytest.fixture(scope="module")
def cluster() -> Iterator[ModuleType]:
    """Ray on this machine, with a connection to it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = pytest.importorskip("ray", reason='needs "plm[ray]"')
    pytest.importorskip("ray.data", reason='needs "plm[ray]"')
    # 127.0.0.1: else Ray asks for a route to the network, to find its own address
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    yield ray
    ray.shutdown()


@pytest.mark.parametrize("name", ["out.jsonl", "out.npy", "out.parquet"])
def test_rows_are_those_of_one_machine(
    tmp_path: Path, classifier: Path, texts: list[str], json_lines: Callable[..., Path], cluster: ModuleType, name: str
) -> None:
    table = Table(json_lines(texts), TEXT)
    job = Predict(model=classifier) if name == "out.jsonl" else Embed(model=classifier, normalize=True)
    answer_file(table, job, tmp_path / f"one_{name}", effort=Effort(rows=15))
    done = answer_file(table, job, tmp_path / name, effort=Effort(rows=15, engine=ray_engine()))
    assert (done.rows, done.tokens) == (100, sum(len(text.split()) + 2 for text in texts))
    assert (tmp_path / name).read_bytes() == (tmp_path / f"one_{name}").read_bytes()


def test_what_ended_on_a_cluster_goes_on_on_one_machine(
    tmp_path: Path, classifier: Path, texts: list[str], json_lines: Callable[..., Path], cluster: ModuleType
) -> None:
    broken = [*texts[:50], "", *texts[51:]]
    job, output = Predict(model=classifier), tmp_path / "out.jsonl"
    with pytest.raises(DataError, match="line 51: column 'text': the text is empty"):
        answer_file(Table(json_lines(broken), TEXT), job, output, effort=Effort(rows=10, engine=ray_engine()))
    done = answer_file(Table(json_lines(texts), TEXT), job, output, effort=Effort(rows=10))
    assert (done.rows, done.new_rows) == (100, 50)
