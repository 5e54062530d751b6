"""What a folder remembers of its tasks is what was saved, or an error that names file and field."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from plm.errors import ConfigError
from plm.tasks import TASKS, Classification, QuestionAnswering, Tagging
from plm.tasks.saving import FILE_NAME, SavedTask, load_tasks, save_tasks, task_from_dict, task_to_dict

SLOTS = Tagging(format="parallel", scheme="bio", joiner=" ", labels=("O", "B-city"), decoder="crf")
TAGGING = {"kind": "tagging", "max_length": 64}


def test_tasks_come_back_as_they_were(tmp_path: Path) -> None:
    tasks = {
        "slots": SavedTask(SLOTS, 64),
        "intent": SavedTask(Classification(text=3, labels=("a", "b")), 128),
        "answers": SavedTask(QuestionAnswering(version_2=True), 384),
    }
    assert save_tasks(tmp_path, tasks) == tmp_path / FILE_NAME
    assert load_tasks(tmp_path) == tasks
    assert json.loads((tmp_path / FILE_NAME).read_text())["slots"]["kind"] == "tagging"


def test_a_folder_without_the_file_has_no_tasks(tmp_path: Path) -> None:
    assert load_tasks(tmp_path) == {}


@pytest.mark.parametrize("kind", TASKS.names())
def test_every_kind_survives_a_table(kind: str) -> None:
    task = TASKS.get(kind)()
    table = json.loads(json.dumps(task_to_dict(task)))
    assert table["kind"] == kind
    assert task_from_dict(table, source="a.json") == task


def test_none_in_place_of_a_default_is_kept() -> None:
    """A field left out would come back as its default."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Unlabelled(Classification):
        label: Any = "label"

    TASKS.add("unlabelled", Unlabelled)
    try:
        assert task_from_dict(task_to_dict(Unlabelled(label=None)), source="a.json") == Unlabelled(label=None)
    finally:
        TASKS.remove("unlabelled")


def test_a_task_without_a_name_cannot_be_saved(tmp_path: Path) -> None:
    class Nameless(Tagging):
        """Not in TASKS."""

    with pytest.raises(ConfigError, match=r'Nameless has no name .*TASKS.add\("...", Nameless\)'):
        save_tasks(tmp_path, {"task": SavedTask(Nameless(), 8)})
    assert not (tmp_path / FILE_NAME).exists()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"max_length": 8}, "tasks.json: slots: missing field 'kind'"),
        (
            {"kind": "taging", "max_length": 8},
            r"tasks.json: slots: kind: unknown task 'taging'; did you mean 'tagging'",
        ),
        ({"kind": ["tagging"], "max_length": 8}, "tasks.json: slots: kind: unknown task"),
        (TAGGING | {"decodr": "crf"}, "tasks.json: slots: unknown field 'decodr'; did you mean 'decoder'"),
        (TAGGING | {"decoder": "hmm"}, "tasks.json: slots: decoder: 'hmm' is not one of"),
        (TAGGING | {"labels": [1]}, r"tasks.json: slots: labels\[0\]: expected str, got int"),
        (TAGGING | {"overlap": -1}, "tasks.json: slots: overlap: expected 0 or more"),
        ({"kind": "tagging"}, "tasks.json: slots: max_length: expected a positive number of tokens, got None"),
        (TAGGING | {"max_length": True}, "tasks.json: slots: max_length: expected a positive number"),
        (TAGGING | {"max_length": 0}, "tasks.json: slots: max_length: expected a positive number"),
        (3, "tasks.json: slots: expected a table, got int"),
    ],
)
def test_what_is_wrong_is_named(table: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(json.dumps({"slots": table}))
    with pytest.raises(ConfigError, match=message):
        load_tasks(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", "nonsense"])
def test_a_file_that_is_no_table_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(ConfigError, match=r"tasks.json"):
        load_tasks(tmp_path)
