"""convert, inspect, doctor, shrink and models do from a shell what their functions do from Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plm.checkpoints.loading import load_model
from plm.cli.shrink import parse_layers
from plm.cli.sources import parse_settings
from plm.config import read_json, write_json
from plm.tokenizers import load_tokenizer
from tests.cli.conftest import Plm
from tests.tiny_folders import tiny_folder


def test_convert_and_verify(plm: Plm, classifier: Path, tmp_path: Path) -> None:
    result = plm("convert", classifier, tmp_path / "tf", "--to", "google-tf1", "--verify")
    assert result.exit_code == 0, result.stderr
    assert "tensors equal bit by bit" in result.stdout
    back = plm("convert", tmp_path / "tf", tmp_path / "back", "--verify", "--json")
    assert json.loads(back.stdout)["heads"] == ["sequence_classification"]
    assert (tmp_path / "back" / "model.safetensors").read_bytes() == (classifier / "model.safetensors").read_bytes()


def test_convert_refuses_to_hide_files_unless_told(plm: Plm, classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    refused = plm("convert", classifier, tmp_path / "full")
    assert refused.exit_code == 1
    assert "not empty (notes.txt)" in refused.stderr
    assert plm("convert", classifier, tmp_path / "full", "--overwrite").exit_code == 0


def test_convert_with_head_dtype_and_settings(plm: Plm, classifier: Path, tmp_path: Path) -> None:
    options = ("--head", "sequence_classification", "--dtype", "bfloat16", "--set", "hidden_dropout_prob=0.25")
    result = plm("convert", classifier, tmp_path / "new", *options)
    assert result.exit_code == 0, result.stderr
    config = read_json(tmp_path / "new" / "config.json")
    assert (config["hidden_dropout_prob"], config["dtype"]) == (0.25, "bfloat16")


def test_inspect_describes_what_loads_and_what_does_not(plm: Plm, classifier: Path, tmp_path: Path) -> None:
    good = plm("inspect", classifier, "--tensors")
    assert "bert.encoder.layer.1.output.dense.weight" in good.stdout
    assert good.stdout.endswith("can be loaded\n")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.json").write_text((classifier / "config.json").read_text())
    bad = plm("inspect", tmp_path / "bad", "--json")
    assert bad.exit_code == 0
    assert "no weights found" in json.loads(bad.stdout)["problem"]


def test_doctor_has_status_1_only_for_errors(plm: Plm, classifier: Path, tmp_path: Path) -> None:
    assert plm("doctor", classifier).exit_code == 0
    sick = tiny_folder(tmp_path / "sick", "bert")
    write_json(sick / "config.json", {**read_json(sick / "config.json"), "num_hidden_layers": 9})
    result = plm("doctor", sick, "--json")
    assert result.exit_code == 1
    severities = {finding["check"]: finding["severity"] for finding in json.loads(result.stdout)}
    assert severities["weights"] == "error"
    assert "error   weights: " in plm("doctor", sick).stdout


def test_shrink_takes_words_and_layers_out(plm: Plm, classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("the good film\nthe bad film\n", encoding="utf-8")
    options = ("--keep-layers", "1", "--texts", tmp_path / "texts.txt", "--most-frequent", 2, "--drop-characters")
    result = plm("shrink", classifier, tmp_path / "small", *options)
    assert result.exit_code == 0, result.stderr
    assert "layers: 2 -> 1 (0)" in result.stdout
    assert set(load_tokenizer(tmp_path / "small").get_vocab()) >= {"the", "film"}
    assert load_model(tmp_path / "small")[0].config.vocab_size == 7


def test_shrink_says_what_it_needs(plm: Plm, classifier: Path, tmp_path: Path) -> None:
    assert "nothing to shrink" in plm("shrink", classifier, tmp_path / "small").stderr
    both = plm("shrink", classifier, tmp_path / "small", "--keep-tokens", "x", "--most-frequent", 3)
    assert both.exit_code == 2


@pytest.mark.parametrize(("text", "layers"), [(None, None), ("6", 6), ("0,2,4", [0, 2, 4]), ("3,", [3])])
def test_layers_are_a_number_or_a_list(text: str | None, layers: object) -> None:
    assert parse_layers(text) == layers


def test_layers_that_are_no_numbers_are_a_mistake_in_usage(plm: Plm, classifier: Path, tmp_path: Path) -> None:
    result = plm("shrink", classifier, tmp_path / "small", "--keep-layers", "all")
    assert result.exit_code == 2
    assert "'all'" in result.stderr


def test_settings_are_json_where_they_can_be() -> None:
    assert parse_settings(("a=3", "b=null", "c=gelu_new", "d=[1, 2]", "e=x=y")) == {
        "a": 3,
        "b": None,
        "c": "gelu_new",
        "d": [1, 2],
        "e": "x=y",
    }


def test_a_setting_without_value_is_a_mistake_in_usage(plm: Plm, classifier: Path) -> None:
    result = plm("inspect", classifier, "--set", "num_labels")
    assert result.exit_code == 2
    assert "NAME=VALUE" in result.stderr


def test_models_are_listed_and_filtered(plm: Plm) -> None:
    everything = plm("models").stdout.splitlines()
    assert everything[0].split() == ["name", "family", "layers", "hidden", "language", "licence"]
    chinese = json.loads(plm("models", "--family", "nezha", "--language", "zh", "--json").stdout)
    assert chinese
    assert {(model["model_type"], model["language"]) for model in chinese} == {("nezha", "zh")}
