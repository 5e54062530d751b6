"""Recipes of distillation that the page shows are valid, whole or in part, and its tables say what is the case."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

import plm
from plm.cli.sources import parse_settings
from plm.distillation import MATCHES, Augmentation, Objective
from plm.heads.model import build_model
from plm.runs.architectures import architecture_file
from plm.runs.distilling import DistillationConfig, General, LatencyOptions, Stage, Variation, read_distillation
from plm.runs.distilling.ablation import PARTS
from plm.runs.distilling.config import STAGES
from plm.runs.distilling.measuring import text_flops
from tests.golden_files import REPOSITORY

PAGE = (REPOSITORY / "docs" / "tinybert.md").read_text(encoding="utf-8")
PAGES = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]
LINES = sorted(
    {line for page in PAGES for line in page.read_text("utf-8").split("\n") if line.startswith("plm distill configs/")}
)
RECIPES = REPOSITORY / "configs" / "distillation"
TASK = {"kind": "classification", "train": "t.tsv", "dev": "d.tsv"}
WHOLE = {"teacher": "t", "student": "s.json", "output_dir": "o", "task": TASK}


def rows_of(first: str) -> list[list[str]]:
    """Cells of the table whose header begins with this cell, below the header."""
    table = re.search(rf"\n\| {re.escape(first)} \|.*\n\|---.*\n((?:\|.*\n)+)", PAGE)
    assert table is not None, first
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table[1].splitlines()]


def names_of(first: str) -> set[str]:
    """What stands in backticks in the first column of that table."""
    return {name for row in rows_of(first) for name in re.findall(r"`([^`]+)`", row[0])}


def _after(words: str) -> str:
    """What follows these words, to the end of the row or paragraph."""
    return re.split(r"\|\n|\n\n", PAGE.partition(words)[2])[0]


def fields(config: type) -> set[str]:
    return {field.name for field in dataclasses.fields(config)}


@pytest.mark.parametrize("source", re.findall(r"```toml distillation\n(.*?)```", PAGE, re.DOTALL))
def test_recipes_of_the_page_are_valid_whole_or_in_part(source: str) -> None:
    assert DistillationConfig.from_dict({**WHOLE, **tomllib.loads(source)})


def test_every_recipe_of_the_page_is_marked_as_one() -> None:
    assert len(re.findall(r"```toml", PAGE)) == len(re.findall(r"```toml distillation\n", PAGE)) == 3


@pytest.mark.parametrize("line", LINES)
def test_recipes_that_commands_name_take_the_settings_given(line: str) -> None:
    words = shlex.split(line, comments=True)
    settings = tuple(after for word, after in pairwise(words) if word == "--set")
    assert read_distillation(REPOSITORY / words[2], parse_settings(settings))


def test_the_tables_name_every_setting_and_no_other() -> None:
    top, stage, general = (
        {name for row in block.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])}
        for block in re.findall(r"\n\| setting \|.*\n\|---.*\n((?:\|.*\n)+)", PAGE)
    )
    assert {name.strip("[]") for name in top} == fields(DistillationConfig)
    assert stage == fields(Stage) - {"training"}
    assert general == fields(General) - {"stage"}
    assert names_of("in `objective`") == fields(Objective)
    assert names_of("in `[augmentation]`") == (fields(Variation) | fields(Augmentation)) - {"settings", "seed"}
    assert names_of("`layers`") == set(MATCHES.names())
    assert names_of("stage") == set(STAGES)
    latency, parts = (re.findall(r"`([^`]+)`", text) for text in (_after("how the time of a"), _after("Parts are")))
    assert set(latency) == fields(LatencyOptions)
    assert set(parts) == set(PARTS)


def test_the_table_of_recipes_is_that_of_their_files() -> None:
    found = {path.stem: read_distillation(path) for path in RECIPES.glob("*.toml") if path.stem != "general"}
    told = {}
    for name, recipe in found.items():
        assert recipe.intermediate is not None
        assert recipe.task is not None
        variants = "none" if recipe.augmentation is None else str(recipe.augmentation.settings.variants)
        told[name] = [f"{recipe.intermediate.training.num_train_epochs:g}", variants, str(recipe.task.max_length)]
    assert {row[0].strip("`"): row[1:] for row in rows_of("recipe")} == told


@pytest.mark.parametrize("row", rows_of("architecture"), ids=lambda row: f"{row[0]} {row[1]}")
def test_sizes_and_operations_are_those_that_a_distillation_reports(row: list[str]) -> None:
    words = int(row[1].replace(",", ""))
    model = build_model(plm.AutoConfig.from_pretrained(architecture_file(row[0].strip("`")), vocab_size=words))
    embeddings = sum(each.numel() for each in model.backbone.embeddings.parameters())
    sizes = [f"{model.num_parameters():,}", f"{model.num_parameters() - embeddings:,}"]
    assert [*sizes, f"{text_flops(model, 128) / 1e9:.3g}"] == row[2:]


def test_the_student_of_the_page_is_an_architecture(tmp_path: Path) -> None:
    source = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert source is not None
    (tmp_path / "student.json").write_text(json.dumps(json.loads(source[1])))
    config = plm.AutoConfig.from_pretrained(architecture_file(str(tmp_path / "student.json")), vocab_size=30522)
    assert config == plm.AutoConfig.from_pretrained(architecture_file("tinybert-4l-312.json"), vocab_size=30522)
