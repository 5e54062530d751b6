"""Whatever happens to the files of a checkpoint, loading gives a sound model or a PlmError, soon, in little memory."""

from __future__ import annotations

import json
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plm
from plm.checkpoints.saving import save_model
from tests.edited_bytes import edited
from tests.golden_files import checkpoint
from tests.tiny_models import tiny_model

ROOM = 2**30  # bytes of address space beyond what the process has


def saved(family: str, layout: str, **options: Any) -> Callable[[Path], object]:
    return lambda folder: save_model(tiny_model(family, "sequence_classification"), folder, layout=layout, **options)


def golden(name: str) -> Callable[[Path], object]:
    return lambda folder: shutil.copytree(checkpoint(name), folder)


def gpt1(folder: Path) -> object:
    return save_model(tiny_model("openai-gpt"), folder, layout="openai")


SAMPLES: dict[str, Callable[[Path], object]] = {
    "safetensors": saved("bert", "huggingface"),
    "shards": saved("nezha", "huggingface", max_shard_size=9000),
    "torch": saved("tinybert", "huawei"),
    "tensorflow": saved("nezha", "google-tf1"),
    "openai": gpt1,
    "torch-legacy": golden("tinybert_sequence_classification"),
    "mindspore": golden("mindspore_bert_classifier"),
    "paddle": golden("paddle_bert_sequence_classification"),
    "palm": golden("palm_bert_fluid_dir"),
    "flax": golden("flax_bert_sequence_classification"),
    "keras": golden("tf2_h5_bert_sequence_classification"),
}
NOT_READ = {".npz", ".md", ".txt"}

_EDIT = st.tuples(
    st.sampled_from(["flip", "cut", "insert", "overwrite", "remove"]),
    st.floats(0, 1, exclude_max=True),
    st.binary(min_size=1, max_size=8)
    | st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\xff\xff\xff\x7f", b"9999999", b"-1"]),
)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.sampled_from([0, -1, 1, 2**31, 2**63, 10**9, 10**12, 1.5, 1e308, "", "8", "bert", "nezha", "gelu_fast"])
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.sampled_from("012"), inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("samples")

    def made(name: str) -> Path:
        if not (root / name).exists():
            SAMPLES[name](root / name)
        return root / name

    return made


@contextmanager
def little_memory() -> Iterator[None]:
    """Allocations of more than ROOM fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def check(folder: Path) -> None:
    """Load; a failure has to be one that plm means, and a success a model of finite numbers that runs."""
    start = time.process_time()
    with little_memory():
        try:
            model = plm.AutoModelForSequenceClassification.from_pretrained(folder)
        except plm.PlmError:
            pass
        else:
            assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())
            assert model(torch.tensor([[1, 2]])).logits.shape == (1, model.config.num_labels)
    assert time.process_time() - start < 2


def damaged(folder: Path, victim: Path, content: bytes) -> None:
    """Check a folder while one file has another content."""
    before = victim.read_bytes()
    victim.write_bytes(content)
    try:
        check(folder)
    finally:
        victim.write_bytes(before)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs to know the address space in use")
@pytest.mark.filterwarnings("ignore")  # torch warns about some damaged pickles before it refuses them
@pytest.mark.parametrize("name", SAMPLES)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_refused_or_harmless(name: str, samples: Callable[[str], Path], data: st.DataObject) -> None:
    folder = samples(name)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in NOT_READ)
    victim = data.draw(st.sampled_from(files))
    damaged(folder, victim, edited(victim.read_bytes(), data.draw(st.lists(_EDIT, min_size=1, max_size=3))))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs to know the address space in use")
@pytest.mark.parametrize("name", ["safetensors", "shards", "torch", "tensorflow", "openai"])
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_hostile_configs_are_refused_or_harmless(
    name: str, samples: Callable[[str], Path], data: st.DataObject
) -> None:
    folder = samples(name)
    file = next(path for path in (folder / "config.json", folder / "bert_config.json") if path.is_file())
    content = json.loads(file.read_bytes())
    extra = st.sampled_from(
        ["num_labels", "id2label", "max_relative_position", "fit", "fit_size", "norm", "is_decoder"]
    )
    for key in data.draw(st.lists(st.sampled_from(sorted(content)) | extra, min_size=1, max_size=3)):
        content[key] = data.draw(_JSON)
    damaged(folder, file, json.dumps(content).encode())
