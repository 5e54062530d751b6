"""Checkpoints are whole or not there, and say so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.errors import CheckpointError, TrainingError
from plm.training.state import MANIFEST, TENSORS, VALUES, Checkpoints, is_stateful, read_state, write_state
from tests.edited_bytes import edited

STATE = {"model": {"weight": torch.arange(12.0).reshape(3, 4)}, "run": {"update": 3, "loss": float("nan")}}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plm.folders.os.fsync", lambda descriptor: None)


def test_views_transposed_and_tied_tensors_are_saved(tmp_path: Path) -> None:
    whole = torch.arange(12.0)
    tied = torch.ones(3)
    views = {"turned": whole.view(3, 4).T, "row": whole[2:5], "all": whole, "flat": whole.view(12, 1)}
    state = {**views, "tied": [tied, tied]}
    write_state(tmp_path, state)
    found = read_state(tmp_path)
    for name, view in views.items():
        assert torch.equal(found[name], view)
    assert torch.equal(found["tied"][1], tied)


def test_what_was_read_does_not_depend_on_the_files(tmp_path: Path) -> None:
    write_state(tmp_path, STATE)
    found = read_state(tmp_path)
    (tmp_path / TENSORS).write_bytes(b"\0" * (tmp_path / TENSORS).stat().st_size)
    found["model"]["weight"] += 1
    assert torch.equal(found["model"]["weight"], STATE["model"]["weight"] + 1)  # type: ignore[operator]


EDITS = st.tuples(
    st.sampled_from(["flip", "cut", "insert", "overwrite", "remove"]),
    st.floats(0, 1, exclude_max=True),
    st.binary(min_size=1, max_size=4),
)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from([TENSORS, VALUES, MANIFEST]), st.lists(EDITS, min_size=1, max_size=2))
def test_no_change_of_any_file_goes_unnoticed(
    tmp_path_factory: pytest.TempPathFactory, name: str, edits: list[tuple[str, float, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("state")
    write_state(folder, STATE)
    before = (folder / name).read_bytes()
    after = edited(before, edits)
    (folder / name).write_bytes(after)
    if after == before or (name == MANIFEST and _loads(after) == _loads(before)):
        read_state(folder)
    else:
        with pytest.raises(CheckpointError, match=str(folder)):
            read_state(folder)


def _loads(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def test_the_newest_few_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.newest() is None
    for update in (3, 20, 100):
        assert checkpoints.save(update, STATE).name == f"update-{update:08d}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["update-00000020", "update-00000100"]
    found = checkpoints.newest()
    assert found is not None
    assert found[0].name == "update-00000100"


def test_going_back_deletes_what_came_after_once_the_new_one_is_whole(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=3)
    for update in (10, 20, 30):
        checkpoints.save(update, STATE)
    checkpoints.save(15, STATE)
    assert [path.name for path in checkpoints.paths()] == ["update-00000015", "update-00000010"]


def test_leftovers_of_killed_processes_are_no_checkpoints_and_go_away(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(1, STATE)
    for name in (".update-00000002.new-12345678", ".update-00000000", ".update-00000001.old-12345678"):
        write_state_into(tmp_path / name)
    assert [path.name for path in checkpoints.paths()] == ["update-00000001"]
    checkpoints.save(2, STATE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["update-00000001", "update-00000002"]


def test_a_checkpoint_killed_while_it_was_written_again_comes_back(tmp_path: Path) -> None:
    write_state_into(tmp_path / ".update-00000007.old-12345678")
    found = Checkpoints(tmp_path, keep=2).newest()
    assert found is not None
    assert found[0].name == "update-00000007"


def write_state_into(folder: Path) -> None:
    folder.mkdir()
    write_state(folder, STATE)


def test_a_state_that_cannot_be_held_leaves_the_older_checkpoints(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, STATE)
    with pytest.raises(TrainingError, match="run/what: a checkpoint cannot hold object"):
        checkpoints.save(2, {"run": {"what": object()}})
    assert [path.name for path in tmp_path.iterdir()] == ["update-00000001"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_files_that_the_system_refuses_to_let_grow_leave_the_older_checkpoints(tmp_path: Path) -> None:
    program = f"""
import resource, signal, torch
from pathlib import Path
from plm.errors import TrainingError
from plm.training.state import Checkpoints
checkpoints = Checkpoints(Path({str(tmp_path)!r}), keep=1)
checkpoints.save(1, {{"weight": torch.ones(10)}})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    checkpoints.save(2, {{"weight": torch.ones(100_000)}})
except TrainingError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "update-00000002: cannot be written" in done.stdout
    assert "update-00000001 is whole. Make room" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["update-00000001"]
    read_state(tmp_path / "update-00000001")


def test_another_format_is_refused(tmp_path: Path) -> None:
    write_state(tmp_path, STATE)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps(manifest | {"format": 2}))
    with pytest.raises(CheckpointError, match="expected a checkpoint of format 1, got 2"):
        read_state(tmp_path)


def test_files_are_there_before_their_folder_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    rename = Path.rename

    def note_sync(descriptor: int) -> None:
        events.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name.partition('.new-')[0]}")

    def note_rename(path: Path, target: Path) -> Path:
        events.append(f"rename {target.name}")
        return rename(path, target)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs a system that names open files")
    monkeypatch.setattr("plm.folders.os.fsync", note_sync)
    monkeypatch.setattr(Path, "rename", note_rename)
    Checkpoints(tmp_path / "checkpoints", keep=1).save(5, STATE)
    written = [f"sync {name}" for name in (MANIFEST, VALUES, TENSORS)]
    # write_json syncs its file aside, before it gets its name
    assert events[-6:] == [*written, "sync .update-00000005", "rename update-00000005", "sync checkpoints"]


def test_parts_with_both_methods_are_stateful() -> None:
    assert is_stateful(torch.nn.Linear(1, 1))
    assert not is_stateful(None)
    assert not is_stateful(object())
