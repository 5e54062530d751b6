"""What the README and the pages say can be followed: links lead somewhere, examples run, commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import plm
from plm.cli import main
from plm.models.families import FAMILIES
from tests.golden_files import REPOSITORY

PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language ("" = none named)."""
    found: list[str] = []
    inside: list[str] | None = None
    for line in page.read_text(encoding="utf-8").split("\n"):
        if line.startswith("```"):
            if inside is None:
                inside, wanted = [], line[3:].strip() == language
            else:
                found += ["\n".join(inside)] if wanted else []
                inside = None
        elif inside is not None:
            inside.append(line)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_of_a_page_compiles(page: Path) -> None:
    for source in blocks(page, "python"):
        compile(source, page.name, "exec")


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
    """Every `plm ...` line of the pages."""
    lines = [line for page in PAGES for block in blocks(page, "") for line in block.split("\n")]
    return sorted({line for line in lines if line.startswith("plm ")})


@pytest.mark.parametrize("line", commands())
def test_commands_of_the_pages_exist_with_their_options(line: str) -> None:
    result = CliRunner().invoke(main, [line.split()[1], "--help"])
    assert result.exit_code == 0, result.output
    for option in re.findall(r"\s(--[a-z-]+)", line):
        assert option in result.output, f"{option} of: {line}"
