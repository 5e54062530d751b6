"""Recipes of pretraining that the pages show are valid, whole or in part, and their tables name all there is."""

from __future__ import annotations

import dataclasses
import re
import shlex
import tomllib
from itertools import pairwise

import pytest

from plm.cli.sources import parse_settings
from plm.data import Masking
from plm.runs import PretrainingConfig, read_pretraining
from plm.runs.example_options import EXAMPLES
from plm.runs.pretraining_config import PretrainingPhase
from plm.training import Phase
from tests.golden_files import REPOSITORY

PAGE = (REPOSITORY / "docs" / "pretraining.md").read_text(encoding="utf-8")
PAGES = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]
LINES = sorted(
    {line for page in PAGES for line in page.read_text("utf-8").split("\n") if "plm pretrain configs/" in line}
)
WHOLE = {
    "model": "m.json",
    "output_dir": "o",
    "corpus": {"train": "corpus"},
    "examples": {"kind": "pairs"},
    "phases": [{"max_steps": 1, "learning_rate": 1.0}],
}


def names_below(heading: str) -> set[str]:
    """What stands in backticks in the first column of the first table below a heading."""
    table = re.search(r"\n\|.*\n\|---.*\n((?:\|.*\n)+)", PAGE.partition(f"## {heading}\n")[2])
    assert table is not None
    return {name for row in table[1].splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


def fields(config: type) -> set[str]:
    return {field.name for field in dataclasses.fields(config)}


@pytest.mark.parametrize("source", re.findall(r"```toml pretraining\n(.*?)```", PAGE, re.DOTALL))
def test_recipes_of_the_page_are_valid_whole_or_in_part(source: str) -> None:
    assert PretrainingConfig.from_dict({**WHOLE, **tomllib.loads(source)})


@pytest.mark.parametrize("line", LINES)
def test_recipes_that_commands_name_take_the_settings_given(line: str) -> None:
    words = shlex.split(line[line.index("plm pretrain") :])
    settings = tuple(after for word, after in pairwise(words) if word == "--set")
    assert read_pretraining(REPOSITORY / words[2], parse_settings(settings))


def test_the_tables_name_every_setting_and_no_other() -> None:
    assert names_below("Phases") == (fields(PretrainingPhase) - {"schedule"}) | fields(Phase)
    assert names_below("Masked words") == fields(Masking) - {"seed"}
    assert names_below("Examples") == set(EXAMPLES.names())
