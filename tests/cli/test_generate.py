"""plm generate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from plm.cli import main
from plm.generation import GenerationConfig, Generator
from tests.tiny_folders import tiny_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_folder(tmp_path_factory.mktemp("gpt"), "openai-gpt", "causal_lm"))


def run(*arguments: str) -> str:
    found = CliRunner().invoke(main, ["generate", *arguments])
    assert found.exit_code == 0, found.output
    return found.output


def test_one_text_is_streamed_behind_its_prompt(folder: str) -> None:
    text = Generator.from_pretrained(folder)("the old", GenerationConfig(max_new_tokens=5))[0][0].text
    assert run(folder, "the old", "--max-new-tokens", "5") == f"the old{text}\n"


def test_json_has_an_object_for_each_text(folder: str, tmp_path: Path) -> None:
    file, output = tmp_path / "prompts.txt", tmp_path / "texts.jsonl"
    file.write_text("the sun\nvery\n", encoding="utf-8")
    run(
        folder,
        "--file",
        str(file),
        "--max-new-tokens",
        "5",
        "--temperature",
        "1",
        "-n",
        "2",
        "--json",
        "--output",
        str(output),
    )
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [row["prompt"] for row in rows] == ["the sun"] * 2 + ["very"] * 2
    assert all(row.keys() == {"prompt", "text", "score", "ending"} for row in rows)


def test_weights_of_eight_bits_are_one_thing_by_two_names(folder: str) -> None:
    by_dtype, by_backend = (
        run(folder, "the old", "--max-new-tokens", "5", option, "int8") for option in ("--dtype", "--backend")
    )
    assert by_dtype == by_backend
    text = Generator.from_pretrained(folder, dtype="int8")("the old", GenerationConfig(max_new_tokens=5))[0][0].text
    assert by_dtype == f"the old{text}\n"


def test_a_backend_that_writes_no_texts_is_refused(folder: str) -> None:
    found = CliRunner().invoke(main, ["generate", folder, "the", "--backend", "numpy"])
    assert found.exit_code == 1
    assert "backend 'numpy' does not write texts" in found.output


def test_settings_that_contradict_each_other_are_told_in_a_line(folder: str) -> None:
    found = CliRunner().invoke(main, ["generate", folder, "the", "--num-beams", "3", "--top-k", "4"])
    assert found.exit_code == 1
    assert "do not sample besides" in found.output
    found = CliRunner().invoke(main, ["generate", folder, "the", "--top-p", "1.5"])
    assert "top_p 1.5 must be above 0" in found.output
