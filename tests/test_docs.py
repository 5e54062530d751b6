"""What the README and the pages say can be followed: links lead somewhere, examples run, commands, settings exist."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

import plm
from plm.cli import main
from plm.cli.sources import parse_settings
from plm.models.families import FAMILIES
from plm.pipelines import TASKS as PIPELINES
from plm.runs import RunConfig, read_run
from plm.tasks import TASKS
from plm.training import TrainingConfig
from plm.training.resume import MAY_CHANGE
from tests.doc_pages import NOT_RUN, PAGES, REPLACED, blocks, prepare_folder, run_page
from tests.golden_files import REPOSITORY

DOCS = REPOSITORY / "docs"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models and files that pages name, made once."""
    return prepare_folder(tmp_path_factory.mktemp("prepared"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
@pytest.mark.filterwarnings("default")  # of matplotlib, about characters that no font here has, and the like
def test_python_of_a_page_runs_from_the_first_block_to_the_last(page: Path, prepared: Path, tmp_path: Path) -> None:
    run_page(page, shutil.copytree(prepared, tmp_path / "page"))


def test_blocks_that_are_not_run_exist_and_have_a_reason() -> None:
    for (name, word), reason in NOT_RUN.items():
        page = next(page for page in PAGES if page.name == name)
        assert any(word in block for block in blocks(page, "python")), f"{name} has no block with {word}"
        assert reason


def test_what_is_replaced_stands_on_the_page() -> None:
    for name, words in REPLACED.items():
        page = next(page for page in PAGES if page.name == name)
        assert [word for word in words if not any(word in block for block in blocks(page, "python"))] == []


def test_family_of_the_page_on_adding_one_works() -> None:
    source = blocks(REPOSITORY / "docs" / "adding_a_family.md", "python")[0]
    names: dict[str, object] = {"__name__": "somebody_elses_package"}
    try:
        exec(compile(source, "adding_a_family.md", "exec", dont_inherit=True), names)
        config = names["QuietConfig"](  # type: ignore[operator]
            vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        )
        ids = plm.AutoModelForMaskedLM.from_config(config).backbone.embeddings.word.weight.new_ones(2, 5).long()
        logits = plm.AutoModelForMaskedLM.from_config(config).eval()(ids).logits
        assert logits.shape == (2, 5, 20)
    finally:
        FAMILIES.remove("quiet")


def commands() -> list[str]:
    """Every `plm ...` line of the pages, also of those that torchrun starts."""
    lines = [line for page in PAGES for block in blocks(page, "") for line in block.replace("\\\n", "").split("\n")]
    return sorted({line[line.index("plm ") :] for line in lines if line.startswith(("plm ", "torchrun "))})


@pytest.mark.parametrize("line", commands())
def test_commands_of_the_pages_exist_with_their_options(line: str) -> None:
    result = CliRunner().invoke(main, [line.split()[1], "--help"])
    assert result.exit_code == 0, result.output
    for option in re.findall(r"\s(--[a-z-]+)", line):
        assert option in result.output, f"{option} of: {line}"


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("plm train configs/")])
def test_recipes_that_commands_name_take_the_settings_given(line: str) -> None:
    words = shlex.split(line)
    settings = tuple(after for word, after in pairwise(words) if word == "--set")
    assert isinstance(read_run(REPOSITORY / words[2], parse_settings(settings)), RunConfig)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_recipes_of_a_page_are_valid_whole_or_in_part(page: Path) -> None:
    for source in blocks(page, "toml"):
        values = tomllib.loads(source)
        if "model" in values:
            RunConfig.from_dict(values, source=page.name)
        else:
            task = {"kind": "classification", "train": "train.tsv", "dev": "dev.tsv"}
            RunConfig.from_dict({"model": "m", "output_dir": "o", "task": task, **values}, source=page.name)


def settings_of(page: str, heading: str) -> set[str]:
    """What stands in backticks in the first column of the first table below a heading."""
    lines = (DOCS / page).read_text(encoding="utf-8").partition(f"## {heading}\n")[2].split("\n")
    start = next(place for place, line in enumerate(lines) if line.startswith("|"))
    names: set[str] = set()
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return names
        names.update(re.findall(r"`([^`]+)`", line.split("|")[1]))
    return names


def fields(config: type) -> set[str]:
    return {field.name for field in dataclasses.fields(config)}


def test_the_table_of_settings_names_every_field_of_training_and_no_other() -> None:
    assert settings_of("training_runs.md", "Settings of `[training]`") == fields(TrainingConfig)


def test_the_table_of_a_run_names_every_field_and_no_other() -> None:
    named = {name.strip("[]") for name in settings_of("training_runs.md", "Settings of a run")}
    assert {"tasks" if name == "tasks.NAME" else name for name in named} == fields(RunConfig)


def test_the_tables_of_tasks_name_every_kind_and_every_pipeline() -> None:
    assert settings_of("tasks.md", "Asking a trained folder") == set(PIPELINES.names())
    listed = (DOCS / "tasks.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in listed.split("\n") if line.startswith("| `")]
    assert set(TASKS.names()) <= {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_the_page_on_resuming_names_exactly_what_may_change() -> None:
    named = settings_of("resume_and_scale_out.md", "Checkpoints of a run")
    assert named == set(MAY_CHANGE)
