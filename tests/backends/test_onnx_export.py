"""An exported folder: graphs that plain onnxruntime runs, with one file of weights."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from plm.backends import BACKENDS
from plm.backends.eager import load_torch
from plm.backends.exporting import export
from plm.errors import CheckpointError, ConfigError
from tests.tiny_folders import tiny_folder
from tests.tiny_models import random_ids
from tests.tolerances import assert_close

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

IDS = random_ids(2, 6).numpy() % 20


def exported(tmp_path: Path, family: str, head: str, dtype: str = "float32") -> tuple[Path, Path]:
    source = tiny_folder(tmp_path / "source", family, head)
    export(source, tmp_path / "exported", to="onnx", dtype=dtype)
    return source, tmp_path / "exported"


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_plain_onnxruntime_runs_the_files(tmp_path: Path, dtype: str) -> None:
    source, folder = exported(tmp_path, "bert", "sequence_classification", dtype)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [taken.name for taken in session.get_inputs()] == ["input_ids", "attention_mask", "token_type_ids"]
    assert [(given.name, given.shape) for given in session.get_outputs()] == [("logits", ["batch", 2])]
    feeds = {"input_ids": IDS, "attention_mask": np.ones_like(IDS), "token_type_ids": np.zeros_like(IDS)}
    logits = session.run(["logits"], feeds)[0]
    expected = load_torch(source, "sequence_classification", "float32").run(feeds)["logits"]
    assert_close(logits, expected, factor=2 if dtype == "float32" else 1e4)


def test_a_causal_model_has_a_graph_for_each_use_and_one_file_of_weights(tmp_path: Path) -> None:
    _, folder = exported(tmp_path, "openai-gpt", "causal_lm")
    graphs = sorted(file.name for file in folder.glob("*.onnx"))
    plain = ["decoder.onnx", "model.onnx", "model_packed.onnx"]
    assert graphs == sorted([*plain, *(name.replace(".onnx", "_types.onnx") for name in plain)])
    for name in graphs:
        onnx.checker.check_model(str(folder / name), full_check=False)
        held = onnx.load(str(folder / name), load_external_data=False).graph.initializer
        where = {entry.value for tensor in held for entry in tensor.external_data if entry.key == "location"}
        assert where == {"model.onnx.data"}
    decoder = onnxruntime.InferenceSession(str(folder / "decoder.onnx"), providers=["CPUExecutionProvider"])
    assert [taken.name for taken in decoder.get_inputs()][:3] == [
        "input_ids",
        "attention_mask",
        "past_key_values.0.key",
    ]
    assert [given.name for given in decoder.get_outputs()][:3] == ["logits", "present.0.key", "present.0.value"]


def test_weights_of_eight_bits_take_less_room(tmp_path: Path) -> None:
    sizes = [
        (exported(tmp_path / dtype, "bert", "masked_lm", dtype)[1] / "model.onnx.data").stat().st_size
        for dtype in ("float32", "int8")
    ]
    assert sizes[1] < 0.75 * sizes[0]


def test_a_head_that_compares_has_a_graph_for_choices(tmp_path: Path) -> None:
    source, folder = exported(tmp_path, "bert", "matching")
    given, expected = (
        BACKENDS.get("onnx").load(folder, "matching", "float32"),
        load_torch(source, "matching", "float32"),
    )
    for ids in (IDS, IDS.reshape(1, 2, 6)):
        assert_close(given.run({"input_ids": ids})["logits"], expected.run({"input_ids": ids})["logits"], factor=2)


def test_an_exported_folder_answers_only_what_it_was_exported_for(tmp_path: Path) -> None:
    _, folder = exported(tmp_path, "openai-gpt", "token_classification")
    load = BACKENDS.get("onnx").load
    with pytest.raises(CheckpointError, match="was exported with no head 'masked_lm'"):
        load(folder, "masked_lm", "float32")
    with pytest.raises(
        CheckpointError, match="was exported with the head 'token_classification', not as hidden states"
    ):
        load(folder, None, "float32")
    with pytest.raises(ConfigError, match="was exported with float32, got 'int8'"):
        load(folder, "token_classification", "int8")
    runner = load(folder, "token_classification", "float32")
    with pytest.raises(CheckpointError, match="without a graph for choices texts"):
        runner.run({"input_ids": IDS[None]})


def test_token_types_of_a_model_without_a_table_of_them_are_taken_as_well(tmp_path: Path) -> None:
    source, folder = exported(tmp_path, "openai-gpt", "token_classification")
    runners = [
        load(path, "token_classification", "float32")
        for load, path in ((load_torch, source), (BACKENDS.get("onnx").load, folder))
    ]
    for batch in ({"input_ids": IDS}, {"input_ids": IDS, "token_type_ids": IDS % 2}):
        expected, given = (runner.run(batch)["logits"] for runner in runners)
        assert_close(given, expected, factor=2)


def test_running_an_exported_folder_needs_no_package_that_writes_graphs(tmp_path: Path) -> None:
    _, folder = exported(tmp_path, "bert", "sequence_classification")
    program = (
        "import sys, numpy as np, pathlib; sys.modules['onnx'] = None; from plm.backends import BACKENDS\n"
        "runner = BACKENDS.get('onnx').load(pathlib.Path(sys.argv[1]), 'sequence_classification', 'float32')\n"
        "print(runner.run({'input_ids': np.ones((1, 3), int)})['logits'].shape)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(1, 2)"


def relocate(folder: Path, key: str, value: str) -> None:
    """Have the graph look for its weights elsewhere."""
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    for entry in (entry for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == key):
        entry.value = value
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def rename_operator(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    model.graph.node[0].op_type, model.graph.node[0].domain = "Own", "own.example"
    model.opset_import.append(onnx.helper.make_opsetid("own.example", 1))
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def link_weights(folder: Path) -> None:
    (folder / "model.onnx.data").replace(folder.parent / "secret")
    (folder / "model.onnx.data").symlink_to(folder.parent / "secret")


def cut(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:1000])


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: relocate(folder, "location", "../secret"),
        lambda folder: relocate(folder, "location", str(folder.parent / "secret")),
        lambda folder: relocate(folder, "offset", "-64"),
        lambda folder: relocate(folder, "offset", "999999999"),
        lambda folder: cut(folder, "model.onnx"),
        lambda folder: cut(folder, "model.onnx.data"),
        lambda folder: (folder / "model.onnx.data").write_bytes(b"\xff" * 100_000),
        lambda folder: (folder / "model.onnx.data").unlink(),
        rename_operator,
        link_weights,
    ],
)
def test_damaged_and_hostile_folders_are_refused(damage: Callable[[Path], object], tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "source", "bert", "sequence_classification")
    export(source, tmp_path / "exported", to="onnx", verify=False)
    (tmp_path / "secret").write_bytes(bytes(100_000))
    damage(tmp_path / "exported")
    with pytest.raises(CheckpointError, match=r"model\.onnx"):
        BACKENDS.get("onnx").load(tmp_path / "exported", "sequence_classification", "float32").run({"input_ids": IDS})
