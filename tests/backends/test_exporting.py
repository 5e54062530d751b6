"""Exports are whole folders, proved equal, or not there at all; other forms are added from outside."""

from __future__ import annotations

import copy
import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from plm.backends import BACKENDS, Backend
from plm.backends.eager import TorchRunner
from plm.backends.exporting import EXPORTS, Export, export
from plm.checkpoints.conversion import convert
from plm.checkpoints.exported import KEY, exported_entry
from plm.checkpoints.saving import save_model
from plm.checkpoints.store import read_config_file
from plm.config import read_json, write_json
from plm.errors import CheckpointError, ConfigError, UnknownNameError
from plm.heads.model import Model, build_model
from plm.heads.several import HeadPlan
from plm.tokenizers import load_tokenizer
from tests.tiny_folders import tiny_folder
from tests.tiny_models import randomized, tiny_config, tiny_model


def write_twice(model: Model, folder: Path, dtype: str) -> list[str]:
    """Weights that are `model`, or twice it: a wrong export."""
    written = copy.deepcopy(model)
    if dtype == "wrong":
        with torch.no_grad():
            for parameter in written.parameters():
                parameter.mul_(2)
    torch.save(written, folder / "weights.own")
    return ["as if it were another form"]


def load_own(folder: Path, head: str | None, dtype: str) -> TorchRunner:
    return TorchRunner(torch.load(folder / "weights.own", weights_only=False))


@pytest.fixture(autouse=True)
def own_form() -> Iterator[None]:
    """A form of a third party."""
    EXPORTS.add("own", Export(write=write_twice, backend="own", limits={"right": 1e-6, "wrong": 1e-6}))
    BACKENDS.add("own", Backend(load=load_own))
    yield
    EXPORTS.remove("own")
    BACKENDS.remove("own")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tiny_folder(tmp_path / "source", "bert", "masked_lm", "next_sentence")


def test_a_folder_has_config_tokenizer_what_was_learned_and_the_entry(source: Path, tmp_path: Path) -> None:
    write_json(source / "tasks.json", {})
    report = export(source, tmp_path / "own", to="own", head="masked_lm")
    folder = tmp_path / "own"
    assert set(report.files) == {path.name for path in folder.iterdir()} >= {"tasks.json", "weights.own"}
    entry = exported_entry(folder)
    assert entry is not None
    assert (entry.backend, entry.dtype, entry.kinds) == ("own", "right", ("masked_lm",))
    assert read_config_file(folder) == read_config_file(source)
    assert load_tokenizer(folder).get_vocab() == load_tokenizer(source).get_vocab()


def test_the_account_names_sizes_notes_and_the_largest_difference(source: Path, tmp_path: Path) -> None:
    report = export(source, tmp_path / "own", to="own", head="masked_lm")
    text = "\n".join(report.lines())
    assert "weights.own" in text
    assert "note: as if it were another form" in text
    assert "logits: largest difference to eager PyTorch 0, relative 0" in text
    assert report.to_dict()["files"] == report.files


def test_of_several_heads_a_form_of_one_takes_the_first_and_says_so(tmp_path: Path) -> None:
    save_model(tiny_model("bert", "masked_lm", "question_answering").eval(), tmp_path / "source")
    report = export(tmp_path / "source", tmp_path / "own", to="own")
    assert report.heads == ("masked_lm",)
    assert "of the heads masked_lm, question_answering, this is masked_lm" in report.notes[0]
    assert export(tmp_path / "source", tmp_path / "bare", to="own", head="none").heads == ()


def test_other_layouts_are_exported_as_well(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "tf", layout="google-tf1")
    assert export(tmp_path / "tf", tmp_path / "own", to="own", head="masked_lm").proofs["masked_lm"].holds


def test_nothing_is_kept_of_an_export_that_gives_other_answers(source: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="gives other answers, nothing was kept: logits"):
        export(source, tmp_path / "own", to="own", head="masked_lm", dtype="wrong")
    assert not (tmp_path / "own").exists()


def test_a_full_folder_is_left_alone_unless_told(source: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="is not empty"):
        export(source, tmp_path / "own", to="own", head="masked_lm")
    export(source, tmp_path / "own", to="own", head="masked_lm", overwrite=True)
    assert (tmp_path / "own" / "notes.txt").read_text() == "mine"


def test_another_form_takes_the_place_of_an_earlier_one(source: Path, tmp_path: Path) -> None:
    EXPORTS.remove("own")
    row = Export(write=write_twice, backend="own", limits={"right": 1e-6}, files=("weights.*",))
    EXPORTS.add("own", row)
    export(source, tmp_path / "out", to="own", head="masked_lm")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    report = export(source, tmp_path / "out", to="int8", head="masked_lm", verify=False, overwrite=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*report.files, "notes.txt"}
    report = export(source, tmp_path / "out", to="own", head="masked_lm", overwrite=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*report.files, "notes.txt"}
    assert "model.safetensors" not in report.files


def test_no_checkpoint_is_replaced_by_an_export(source: Path, tmp_path: Path) -> None:
    other = tiny_folder(tmp_path / "other", "bert", "masked_lm")
    held = (other / "model.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match=r"holds a checkpoint \(model.safetensors\)"):
        export(source, other, to="own", head="masked_lm", overwrite=True)
    assert (other / "model.safetensors").read_bytes() == held


def test_what_a_killed_export_left_is_in_nobodys_way(source: Path, tmp_path: Path) -> None:
    (tmp_path / "own" / ".filling-abcd").mkdir(parents=True)
    export(source, tmp_path / "own", to="own", head="masked_lm")
    assert exported_entry(tmp_path / "own") is not None


def test_a_full_disk_is_told_with_the_folder(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("plm.backends.exporting.carry_learned", full)
    with pytest.raises(CheckpointError, match="own: No space left on device; nothing was written there"):
        export(source, tmp_path / "own", to="own", head="masked_lm")
    assert not (tmp_path / "own").exists()


def test_a_named_head_is_exported_under_its_name_by_forms_of_one(tmp_path: Path) -> None:
    plans = {
        "mood": HeadPlan("sequence_classification", {"labels": ("good", "bad")}),
        "verbs": HeadPlan("token_classification", {"labels": ("O", "V", "P")}),
    }
    save_model(randomized(build_model(tiny_config("bert"), plans)).eval(), tmp_path / "source")
    report = export(tmp_path / "source", tmp_path / "own", to="own", head="verbs")
    assert report.heads == ("verbs",)
    assert report.proofs["verbs"].holds
    entry = exported_entry(tmp_path / "own")
    assert entry is not None
    assert (list(entry.plans), entry.kinds) == (["verbs"], ("token_classification",))
    assert read_config_file(tmp_path / "own").labels == ("O", "V", "P")


def test_wrong_wishes_are_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'int8'"):
        export(source, tmp_path / "own", to="int9")
    with pytest.raises(ConfigError, match="one of right, wrong, got 'float64'"):
        export(source, tmp_path / "own", to="own", dtype="float64")
    with pytest.raises(CheckpointError, match="would have to be made up"):
        export(source, tmp_path / "own", to="own", head="token_classification")


def test_a_damaged_entry_is_an_error_that_names_the_file(source: Path, tmp_path: Path) -> None:
    export(source, tmp_path / "own", to="own", head="masked_lm")
    config = tmp_path / "own" / "config.json"
    write_json(config, read_json(config) | {KEY: {"backend": 3}})
    with pytest.raises(ConfigError, match=r"config\.json: exported"):
        exported_entry(tmp_path / "own")
