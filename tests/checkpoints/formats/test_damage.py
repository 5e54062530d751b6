"""Whatever happens to the bytes of a checkpoint, reading it gives tensors or a CheckpointError that names a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.checkpoints.formats import find_weights
from plm.errors import CheckpointError
from tests.checkpoints.formats.samples import SAMPLES
from tests.edited_bytes import edited

_WORDS = [b"\xff" * 8, b"\0" * 8, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x40", (2**63 - 1).to_bytes(8, "little")]

# kind of edit, place as a fraction of the file, bytes to put there
_EDIT = st.tuples(
    st.sampled_from(["flip", "cut", "insert", "overwrite", "remove"]),
    st.floats(0, 1, exclude_max=True),
    st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from(_WORDS)),
)


@pytest.mark.filterwarnings("ignore")  # torch warns about some damaged pickles before it refuses them
@pytest.mark.parametrize("sample", SAMPLES)
def test_damaged_files_give_tensors_or_a_checkpoint_error(sample: str, tmp_path: Path) -> None:
    container, make = SAMPLES[sample]
    entry = make(tmp_path)
    sound = {path: path.read_bytes() for path in sorted(tmp_path.iterdir())}

    @settings(deadline=None, max_examples=60)
    @given(victim=st.sampled_from(list(sound)), edits=st.lists(_EDIT, min_size=1, max_size=4))
    def attack(victim: Path, edits: list[tuple[str, float, bytes]]) -> None:
        victim.write_bytes(edited(sound[victim], edits))
        start = time.process_time()
        problem = _problem(container, entry)
        assert time.process_time() - start < 1
        assert problem is None or str(tmp_path) in problem
        container.accepts(entry)
        victim.write_bytes(sound[victim])

    attack()


def _problem(container: Any, entry: Path) -> str | None:
    """The message of the error that reading gives; None when it gives tensors, which are looked at."""
    try:
        tensors = container.read(entry)
    except CheckpointError as error:
        return str(error)
    for tensor in tensors.values():
        assert isinstance(tensor, torch.Tensor)
        tensor.clone()
    return None


@pytest.mark.parametrize("sample", SAMPLES)
def test_undamaged_samples_are_found_and_read(sample: str, tmp_path: Path) -> None:
    container, make = SAMPLES[sample]
    entry = make(tmp_path)
    assert container.accepts(entry)
    found, place = find_weights(entry)
    expected: dict[str, Any] = container.read(entry)
    assert expected
    assert list(found.read(place)) == list(expected)


@pytest.mark.parametrize("sample", SAMPLES)
def test_no_sample_is_taken_for_another_format(sample: str, tmp_path: Path) -> None:
    _, make = SAMPLES[sample]
    entry = make(tmp_path)
    accepting = {other.__name__ for other, _ in SAMPLES.values() if other.accepts(entry)}
    assert accepting == {SAMPLES[sample][0].__name__}


@pytest.mark.parametrize("sample", SAMPLES)
def test_changing_a_tensor_never_changes_the_file(sample: str, tmp_path: Path) -> None:
    container, make = SAMPLES[sample]
    entry = make(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for tensor in container.read(entry).values():
        tensor.zero_()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
