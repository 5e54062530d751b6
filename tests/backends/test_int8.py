"""The int8 backend: one model in eight bits, rounded at loading or read back, with the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from plm.auto.models import AutoModel
from plm.backends import BACKENDS
from plm.backends.exporting import export
from plm.backends.int8 import load_int8, load_int8_engine
from plm.blocks.int8 import Int8Linear, int8_supported
from plm.checkpoints.formats.safetensors import read, write
from plm.checkpoints.inspection import inspect
from plm.checkpoints.saving import save_model
from plm.config import read_json, write_json
from plm.errors import CheckpointError, ConfigError
from plm.heads.model import build_model
from plm.heads.several import HeadPlan
from tests.backends.batches import live, packed, padded
from tests.tiny_folders import tiny_folder
from tests.tiny_models import FAMILY_NAMES, randomized, tiny_config

pytestmark = pytest.mark.skipif(not int8_supported(), reason="this torch has no kernels for eight bits here")

# Of the norm of the answers: what rounding makes of a tiny model, twice over.
LIMIT = 0.1


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("head", [None, "sequence_classification", "crf_token_classification", "masked_lm"])
def test_rounding_at_loading_and_before_give_the_same_numbers(family: str, head: str | None, tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "source", family, *([] if head is None else [head]))
    export(source, tmp_path / "int8", to="int8", verify=False)
    at_loading, before = (load_int8(folder, head, "float32") for folder in (source, tmp_path / "int8"))
    eager = BACKENDS.get("torch").load(source, head, "float32")
    for batch in (padded(), packed()):
        first, second, exact = (runner.run(batch) for runner in (at_loading, before, eager))
        assert list(first) == list(second) == list(exact)
        for name, expected in exact.items():
            assert np.array_equal(first[name], second[name])
            assert np.linalg.norm(first[name] - expected) <= LIMIT * np.linalg.norm(expected)


def test_packed_and_padded_texts_get_the_same_answers(tmp_path: Path) -> None:
    runner = load_int8(tiny_folder(tmp_path, "bert", "token_classification"), "token_classification", "auto")
    assert runner.takes_packed
    assert np.array_equal(live(runner.run(padded()), padded())["logits"], runner.run(packed())["logits"])


def test_a_folder_holds_bytes_scales_and_the_rest_as_asked(tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "source", "bert", "masked_lm")
    for dtype in ("float32", "bfloat16"):
        export(source, tmp_path / dtype, to="int8", dtype=dtype)
        stored = read(tmp_path / dtype / "model.safetensors")
        rest = getattr(torch, dtype)
        assert stored["backbone.blocks.0.attention.query.weight"].dtype == torch.int8
        assert stored["backbone.blocks.0.attention.query.weight_scale"].dtype == torch.float32
        assert stored["backbone.embeddings.word.weight"].dtype == rest
        assert stored["heads.masked_lm.language_model.decoder.weight"].dtype == torch.int8
        model = load_int8(tmp_path / dtype, "masked_lm", "float32").model
        assert model.backbone.embeddings.word.weight.dtype == torch.float32


def test_weights_are_in_memory_once(tmp_path: Path) -> None:
    runner = load_int8(tiny_folder(tmp_path, "bert", "masked_lm"), "masked_lm", "float32")
    runner.run(packed())
    layers = [part for part in runner.model.modules() if isinstance(part, Int8Linear)]
    assert len(layers) == 14
    assert all(layer.weight is None for layer in layers)


def test_several_heads_are_in_one_folder_and_found_by_name_and_kind(tmp_path: Path) -> None:
    plans = {
        "intent": HeadPlan("sequence_classification", {"labels": ("flight", "fare")}),
        "mood": HeadPlan("sequence_classification", {"labels": ("glad", "sad", "so")}),
        "slots": HeadPlan("token_classification", {"labels": ("O", "B-city")}),
    }
    save_model(randomized(build_model(tiny_config("bert"), plans)).eval(), tmp_path / "source")
    report = export(tmp_path / "source", tmp_path / "int8", to="int8")
    assert list(report.proofs) == list(plans)
    for head, labels in (("mood", 3), ("intent", 2), ("token_classification", 2)):
        runner = load_int8(tmp_path / "int8", head, "float32")
        assert runner.run(packed())["logits"].shape[-1] == labels == len(runner.config.labels)
    assert load_int8(tmp_path / "int8", None, "float32").run(packed())["last_hidden_state"].shape == (9, 12)
    with pytest.raises(CheckpointError, match=r"several heads of the kind 'sequence_classification'.*intent, mood"):
        load_int8(tmp_path / "int8", "sequence_classification", "float32")
    with pytest.raises(CheckpointError, match="no head 'matching'"):
        load_int8(tmp_path / "int8", "matching", "float32")


def test_a_causal_model_goes_on_from_either_folder(tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "source", "openai-gpt", "causal_lm")
    export(source, tmp_path / "int8", to="int8", verify=False)
    ids = torch.tensor([[1, 2, 3]])
    first, second = (load_int8_engine(folder, "int8").begin(4).read(ids) for folder in (source, tmp_path / "int8"))
    assert torch.equal(first, second)


def test_other_ways_of_loading_name_the_right_one(tmp_path: Path) -> None:
    source, folder = tiny_folder(tmp_path / "source", "bert"), tmp_path / "int8"
    export(source, folder, to="int8", verify=False)
    for load in (
        lambda: AutoModel.from_pretrained(folder),
        lambda: BACKENDS.get("torch").load(folder, None, "float32"),
        lambda: BACKENDS.get("pt2").load(folder, None, "float32"),
        lambda: BACKENDS.get("torch").load(folder / "model.safetensors", None, "float32"),
    ):
        with pytest.raises(CheckpointError, match=r"exported for the backend 'int8'.*backend=\"int8\""):
            load()
    assert "backend 'int8'" in str(inspect(folder).problem)


def test_types_between_the_layers_other_than_float32_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="got 'bfloat16'"):
        load_int8(tiny_folder(tmp_path, "bert"), None, "bfloat16")


def test_weights_that_are_not_of_the_config_are_refused(tmp_path: Path) -> None:
    source, folder = tiny_folder(tmp_path / "source", "bert"), tmp_path / "int8"
    export(source, folder, to="int8", verify=False)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"hidden_size": 12', '"hidden_size": 15'))
    with pytest.raises(CheckpointError, match="are not of one model"):
        load_int8(folder, None, "float32")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing"):
        load_int8(folder, None, "float32")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 10**6}, "has 2 blocks, config.json says 1000000"),
        ({"vocab_size": 10**12}, r"word.weight is \(\d+, 12\) .* asks for \(1000000000000, 12\)"),
        ({"hidden_size": 24}, "not of one model"),
    ],
)
def test_a_config_of_another_model_is_refused_before_memory_is_asked_for(
    changes: dict[str, int], message: str, tmp_path: Path
) -> None:
    export(tiny_folder(tmp_path / "source", "bert", "masked_lm"), tmp_path / "int8", to="int8", verify=False)
    config = tmp_path / "int8" / "config.json"
    write_json(config, read_json(config) | changes)
    with pytest.raises(CheckpointError, match=message):
        load_int8(tmp_path / "int8", "masked_lm", "float32")


@pytest.mark.parametrize("dtype", [torch.float32, torch.int16])
def test_weights_that_are_no_bytes_are_refused(dtype: torch.dtype, tmp_path: Path) -> None:
    export(tiny_folder(tmp_path / "source", "bert", "masked_lm"), tmp_path / "int8", to="int8", verify=False)
    tensors = dict(read(tmp_path / "int8" / "model.safetensors"))
    name = "backbone.blocks.0.attention.key.weight"
    write(tmp_path / "int8", tensors | {name: tensors[name].to(dtype)})
    with pytest.raises(CheckpointError, match=r"is no int8 in model\.safetensors"):
        load_int8(tmp_path / "int8", "masked_lm", "float32")
