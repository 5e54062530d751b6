"""Preparing a corpus on a Ray cluster: the same bytes as on one machine, and errors and deaths alike."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

import pytest

from plm.corpus import ray_engine as engines
from plm.corpus.prepare import prepare
from plm.corpus.ray_engine import ray_engine
from plm.corpus.reading import TextLayout
from plm.errors import ConfigError, DataError
from plm.tokenizers import Tokenizer

# Ray Data warns of settings whenever it makes its own.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")

SENTENCES = TextLayout(kind="sentences")
FILES = ("tokens.bin", "sentences.bin", "documents.bin", "manifest.json")


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


@pytest.fixture(autouse=True)
def small_windows(small_blocks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several windows of blocks, too."""
    monkeypatch.setattr(engines, "_BLOCKS_PER_TASK", 2)
    monkeypatch.setattr(engines, "_TASKS_PER_CPU", 2)


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.mark.parametrize("shared_files", [True, False])
def test_files_are_those_of_one_machine_to_the_byte(
    tmp_path: Path,
    text: Path,
    tokenizer: Tokenizer,
    cluster: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    shared_files: bool,
) -> None:
    for workers in (0, 2):
        prepare([text], tmp_path / f"{workers}", tokenizer=tokenizer, layout=SENTENCES, workers=workers)
    engine = ray_engine(shared_files=shared_files)
    corpus = prepare([text], tmp_path / "ray", tokenizer=tokenizer, layout=SENTENCES, engine=engine)
    assert len(corpus) > 10
    assert content(tmp_path / "ray") == content(tmp_path / "0") == content(tmp_path / "2")


def test_an_error_in_the_text_is_told_as_on_one_machine(
    tmp_path: Path, text: Path, tokenizer: Tokenizer, cluster: ModuleType
) -> None:
    with (text / "a.txt").open("ab") as file:
        file.write(b"fine\n\xff\n")
    messages = []
    for name, engine in (("one", None), ("ray", ray_engine())):
        with pytest.raises(DataError) as error:
            prepare([text], tmp_path / name, tokenizer=tokenizer, layout=SENTENCES, engine=engine)
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert "a.txt, line " in messages[0]


class FailsAt:
    """Makes strings of numbers but one, and notes every time that it is made anew."""

    def __init__(self, notes: Path, number: int) -> None:
        self.notes, self.number = notes, number

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = state
        with self.notes.open("a") as file:
            file.write(f"{os.getpid()}\n")

    def __call__(self, number: int) -> str:
        if number == self.number:
            raise ZeroDivisionError("unlucky")
        return str(number)


def test_results_come_in_order_up_to_an_error_which_keeps_its_type(tmp_path: Path, cluster: ModuleType) -> None:
    results = ray_engine()(FailsAt(tmp_path / "notes", 30), range(50))
    assert [next(results) for _ in range(30)] == [str(number) for number in range(30)]
    with pytest.raises(ZeroDivisionError, match="unlucky") as error:
        next(results)
    assert "in __call__" in error.value.__notes__[0]


def test_processes_are_kept_from_window_to_window(tmp_path: Path, cluster: ModuleType) -> None:
    assert list(ray_engine()(FailsAt(tmp_path / "notes", -1), range(50))) == [str(number) for number in range(50)]
    made = (tmp_path / "notes").read_text().split()
    assert len(made) == len(set(made)) <= 2


def test_only_a_window_is_taken_before_its_turn(tmp_path: Path, cluster: ModuleType) -> None:
    taken: list[int] = []
    numbers = (taken.append(number) or number for number in range(1000))
    with closing(ray_engine()(FailsAt(tmp_path / "notes", -1), numbers)) as results:
        assert next(results) == "0"
        assert len(taken) == 8
    assert cluster.is_initialized(), "the connection was there before"


def test_large_items_make_short_windows(tmp_path: Path, cluster: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_WINDOW_BYTES", 1)
    taken: list[int] = []
    numbers = (taken.append(number) or number for number in range(3))
    results = ray_engine()(FailsAt(tmp_path / "notes", -1), numbers)
    assert [(result, len(taken)) for result in results] == [("0", 1), ("1", 2), ("2", 3)]


def test_functions_of_a_program_travel(cluster: ModuleType) -> None:
    assert list(ray_engine()(lambda number: number + 1, [1, 2])) == [2, 3]


def test_what_cannot_travel_or_is_elsewhere_is_refused(cluster: ModuleType) -> None:
    with pytest.raises(ConfigError, match="cannot be sent"):
        next(ray_engine()(partial(str, Lock()), [1]))
    with pytest.raises(ConfigError, match=r"is connected to Ray at .* already; leave it out"):
        next(ray_engine("10.0.0.1:6379")(str, [1]))
    here = cluster.get_runtime_context().gcs_address
    assert list(ray_engine(here)(str, [1])) == ["1"]


class DiesOnce(FailsAt):
    """Takes its process along the first time that it meets the number."""

    def __call__(self, number: int) -> str:
        mark = self.notes.with_name("died")
        if number == self.number and not mark.exists():
            mark.touch()
            os._exit(1)
        return str(number)


def test_what_a_process_was_doing_when_it_died_is_done_again(tmp_path: Path, cluster: ModuleType) -> None:
    assert list(ray_engine()(DiesOnce(tmp_path / "notes", 5), range(20))) == [str(number) for number in range(20)]
    assert (tmp_path / "died").exists()


def test_what_happens_to_the_cluster_is_told(cluster: ModuleType) -> None:
    def numbers() -> Iterator[int]:
        yield from range(8)
        raise cluster.exceptions.ObjectStoreFullError("no room")

    results = ray_engine()(str, numbers())
    assert [next(results) for _ in range(8)] == list("01234567")
    with pytest.raises(DataError, match=r"could not do the work \(ObjectStoreFullError\)[\s\S]*the same call goes on"):
        next(results)


PROGRAM = """
import sys, time
from plm.auto.tokenizer import AutoTokenizer
from plm.corpus import prepare as preparing
from plm.corpus import ray_engine as engines
from plm.corpus.draft import Draft
from plm.corpus.reading import TextLayout
preparing.BLOCK_BYTES, preparing.COMMIT_EVERY = 200, 0.0
engines._BLOCKS_PER_TASK = engines._TASKS_PER_CPU = 2
add = Draft.add
def slow(*arguments):
    time.sleep(0.05)
    add(*arguments)
Draft.add = slow
text, folder, address = sys.argv[1:]
preparing.prepare([text], folder, tokenizer=AutoTokenizer.from_pretrained("plm/tiny-en"),
                  layout=TextLayout(kind="sentences"), engine=engines.ray_engine(address or None))
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_preparation_that_was_ended_goes_on(
    tmp_path: Path, text: Path, tokenizer: Tokenizer, cluster: ModuleType, end: signal.Signals
) -> None:
    expected = prepare([text], tmp_path / "whole", tokenizer=tokenizer, layout=SENTENCES)
    # Ctrl-C where the program has a cluster of its own, death where it is a guest
    address = cluster.get_runtime_context().gcs_address if end == signal.SIGKILL else "local"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, text, tmp_path / "c", address], stderr=subprocess.PIPE, text=True
    )
    tokens = tmp_path / "c.partial" / "tokens.bin"
    while process.poll() is None and not (tokens.exists() and tokens.stat().st_size > 200):
        time.sleep(0.005)
    process.send_signal(end)
    _, told = process.communicate(timeout=60)
    assert process.returncode in (-end, 1)
    assert end == signal.SIGKILL or told.rstrip().endswith("KeyboardInterrupt"), told
    assert not (tmp_path / "c").exists()
    begun = tokens.stat().st_size
    corpus = prepare([text], tmp_path / "c", tokenizer=tokenizer, layout=SENTENCES, engine=ray_engine())
    assert corpus.fingerprint() == expected.fingerprint()
    assert begun > 200
