"""What the pages on generation and the poet say is the case: their tables name everything, their examples run."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from plm.generation import GenerationConfig
from plm.generation.poem import Poem
from plm.generation.poem_evaluation import COLUMNS
from plm.poetry import FORMS, PoemRequest, check
from plm.poetry.plan import Planner
from tests.golden_files import REPOSITORY
from tests.test_docs import blocks, settings_of

GENERATION, POET = (REPOSITORY / "docs" / name for name in ("generation.md", "poet.md"))


def fields(config: type) -> set[str]:
    return {field.name for field in dataclasses.fields(config)}


def names_of(page: Path, first: str) -> set[str]:
    """What stands in backticks in the first column of the table whose header begins with this cell."""
    table = re.search(rf"\n\| {re.escape(first)} \|.*\n\|---.*\n((?:\|.*\n)+)", page.read_text(encoding="utf-8"))
    assert table is not None, first
    return {name for row in table[1].splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


def block(page: Path, beginning: str) -> str:
    """The only Python block with this text in it."""
    (found,) = (source for source in blocks(page, "python") if beginning in source)
    return found


def test_the_tables_name_every_setting_and_no_other() -> None:
    assert settings_of("generation.md", "Settings") == fields(GenerationConfig)
    assert settings_of("poet.md", "Writing") == fields(PoemRequest)
    assert names_of(POET, "column") == set(COLUMNS)
    poem = Poem(lines=(), form="", title="", score=0.0, report=check("白日依山尽，黄河入海流。"))
    assert names_of(POET, "name") == set(poem.to_dict())


def test_the_constraint_of_the_page_lets_nothing_else_through(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block(GENERATION, "constraints="), "generation.md", "exec", dont_inherit=True), {})
    first, *digits = capsys.readouterr().out.split()
    assert first == "exactly"
    assert len(digits) == len(set(digits)) > 0
    assert all(one.isdecimal() for one in digits)


def test_the_form_of_the_page_can_be_written() -> None:
    source, _, wishes = block(POET, "FORMS.add").partition("poet.write")
    assert 'form="忆江南"' in wishes
    try:
        exec(compile(source, "poet.md", "exec", dont_inherit=True), {})
        wish = PoemRequest(mode="acrostic", form="忆江南", text="春江花月夜", book="cilin")
        plan = Planner(wish, [chr(place) for place in range(0x4E00, 0x9FA6)]).plan(0)
        assert [slot.given for slot in plan.slots if slot.given in set(wish.text)] == list(wish.text)
    finally:
        FORMS.remove("忆江南")
