"""plm poem and plm poem-evaluate."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from plm.checkpoints.saving import save_model
from tests.tiny_models import tiny_model
from tests.tiny_poets import tiny_poet_folder, tiny_tokenizer

Plm = Callable[..., Result]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_poet_folder(tmp_path_factory.mktemp("poet")))


@pytest.fixture
def poem(plm: Plm, folder: str) -> Plm:
    return lambda *arguments: plm("poem", "--model", folder, *arguments)


def test_an_acrostic_begins_its_lines_with_its_characters(poem: Plm) -> None:
    found = poem("--form", "七绝", "--acrostic", "人工智能")
    assert found.exit_code == 0, found.output
    lines = [line for row in found.stdout.split() for line in row.strip("。").split("，")]
    assert "".join(line[0] for line in lines) == "人工智能"
    assert poem("--form", "七绝", "--acrostic", "人工智能").stdout == found.stdout


def test_several_poems_stand_apart_below_their_title(poem: Plm) -> None:
    blocks = poem("--form", "五绝", "--title", "春夜", "-n", "3").stdout.strip().split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == ["春夜"] * 3
    assert all(len(block.splitlines()) == 3 for block in blocks)


def test_json_has_an_object_for_each_poem(poem: Plm) -> None:
    found = poem("--continue", "明月", "--form", "wujue", "-n", "2", "--script", "traditional", "--json")
    poems = [json.loads(line) for line in found.stdout.splitlines()]
    assert [one["form"] for one in poems] == ["五绝"] * 2
    assert all(one["lines"][0].startswith("明月") and one["report"]["form_ok"] for one in poems)
    assert poems[0]["score"] >= poems[1]["score"]


def test_a_report_tells_tones_and_score(poem: Plm) -> None:
    found = poem("--order", "A", "--rhyme", "七阳", "--licence", "三四互换", "--report").stdout
    assert "✓ 七绝 · order A · rhyme 七阳" in found
    assert "score -" in found


def test_what_is_left_out_is_told_aside(poem: Plm) -> None:
    found = poem("--title", "春龘", "--candidates", "1")
    assert found.stderr == "title: the poet does not know 龘, and leaves it out\n"


def test_a_judge_is_asked(poem: Plm, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    save_model(tiny_model("bert", "masked_lm", vocab_size=len(tokenizer), max_position_embeddings=80), tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert ", judged -" in poem("--judge", str(tmp_path), "--judge-weight", "2", "--report", "--candidates", "2").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--continue", "春", "--tails", "花家"), 2, "take one of them"),
        (("--form", "七绝", "--acrostic", "人工"), 1, "an acrostic needs as many characters; got 2"),
        (("--form", "七决"), 1, "七绝"),
        (("--licence", "三四互抱"), 1, "did you mean '三四互换'"),
    ],
)
def test_wishes_that_cannot_be_met_are_told_in_a_line(
    poem: Plm, arguments: tuple[str, ...], code: int, message: str
) -> None:
    found = poem(*arguments)
    assert found.exit_code == code
    assert message in found.stderr
    assert found.stdout == ""


def test_a_poet_is_judged_beside_people(plm: Plm, folder: str, tmp_path: Path) -> None:
    poems = tmp_path / "poems.txt"
    poems.write_text("夜:白日依山月，春风入夜花。李白乾坤夜，秋月照人家。\n", encoding="utf-8")
    found = plm("poem-evaluate", folder, "--samples", "2", "--poems", poems, "--json")
    assert found.exit_code == 0, found.output
    assert set(json.loads(found.stdout)) == {"random", "acrostic", "human"}
    plm("poem-evaluate", folder, "--samples", "2", "--output", tmp_path / "poet.md")
    assert "| random | 七绝 | 2 |" in (tmp_path / "poet.md").read_text(encoding="utf-8")
