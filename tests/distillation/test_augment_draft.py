"""An augmentation that was killed goes on, and its table is that of one that never stopped, to the byte."""

from __future__ import annotations

import json
import lzma
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import plm.distillation.augment_draft
import plm.distillation.augment_files
from plm.data.readers import Columns
from plm.distillation.augment_draft import Draft
from plm.distillation.augment_files import AugmentationReport, augment_file
from plm.distillation.augmentation import Augmentation, Augmenter
from plm.distillation.word_vectors import WordVectors
from plm.errors import DataError
from tests.distillation.fill import tiny_masked_lm
from tests.distillation.test_augment_files import VECTORS

TEXTS = (
    "the good film",
    "bad day",
    "a film 电影 and a film",
    "told",
    "the good film",
    "!",
    "night , day",
    "says",
)
COLUMNS = Columns(text="text", pair="pair", label="label")


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two texts at a time, and a note after each time."""
    monkeypatch.setattr(plm.distillation.augment_files, "TEXTS_AT_A_TIME", 2)
    monkeypatch.setattr(plm.distillation.augment_draft, "COMMIT_EVERY", -1.0)


def table(folder: Path) -> Path:
    """Texts, some of them twice, beside texts of others."""
    folder.mkdir(exist_ok=True)
    rows = [{"text": text, "pair": TEXTS[-place], "label": "x"} for place, text in enumerate(TEXTS)]
    path = folder / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def augmenter(folder: Path, **changes: Any) -> Augmenter:
    model, tokenizer = tiny_masked_lm(folder)
    settings = Augmentation(**{"variants": 4, "probability": 0.8, **changes})
    return Augmenter(settings, model=model, tokenizer=tokenizer, vectors=VECTORS)


def stopped(work: Augmenter, source: Path, target: Path, *, after: int) -> None:
    """Interrupted when the augmenter was asked so many times: for texts and pairs, of two rows at a time."""
    ask, left = work.augment_rows, iter(range(after))

    def once(*texts: Any, **place: Any) -> list[list[str]]:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return ask(*texts, **place)

    with mock.patch.object(work, "augment_rows", side_effect=once), pytest.raises(KeyboardInterrupt):
        augment_file(source, target, COLUMNS, work)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_whoever_was_stopped_again_and_again_ends_with_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    source, whole, target = table(tmp_path), tmp_path / f"whole{suffix}", tmp_path / f"b{suffix}"
    expected = augment_file(source, whole, COLUMNS, augmenter(tmp_path))
    asked = []
    for after in (2, 2, 3):
        stopped(augmenter(tmp_path), source, target, after=after)
        assert not target.exists()
        journal = json.loads((tmp_path / f"b{suffix}.partial.json").read_text())
        asked.append(journal["progress"]["rows"])
    assert asked == [2, 4, 6]
    last = augmenter(tmp_path)
    with mock.patch.object(last, "augment_rows", side_effect=last.augment_rows) as calls:
        assert augment_file(source, target, COLUMNS, last) == expected
    assert [list(call.args[1]) for call in calls.call_args_list] == [[6, 7]] * 2
    assert target.read_bytes() == whole.read_bytes()
    assert names(tmp_path) == sorted(["a.jsonl", whole.name, target.name])


def test_texts_may_hold_what_utf_8_cannot_say(tmp_path: Path) -> None:
    source, target = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_text('{"text": "film \\ud800"}\n' * 3)
    columns = Columns(text="text", label=None)
    with mock.patch.object(Draft, "finish", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        augment_file(source, target, columns, Augmenter(vectors=VECTORS))
    augment_file(source, target, columns, Augmenter(vectors=VECTORS))
    assert target.read_text().count('\\ud800"') >= 3


def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    table(tmp_path)
    script = "from tests.distillation.test_augment_draft import killed_at; killed_at"
    for after in (1, 5):
        command = [sys.executable, "-c", f"{script}({str(tmp_path)!r}, {after})"]
        assert subprocess.run(command, timeout=120, check=False).returncode == -signal.SIGKILL
        assert "b.jsonl" not in names(tmp_path)
    report = augment_file(tmp_path / "a.jsonl", tmp_path / "b.jsonl", COLUMNS, augmenter(tmp_path))
    expected = augment_file(tmp_path / "a.jsonl", tmp_path / "whole.jsonl", COLUMNS, augmenter(tmp_path))
    assert report == expected
    assert (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert names(tmp_path) == ["a.jsonl", "b.jsonl", "whole.jsonl"]


def killed_at(folder: str, after: int) -> AugmentationReport:
    """Kill this process in the middle of a row, when so many pieces were written."""
    write, left = Draft.write, iter(range(4 * after))

    def once(draft: Draft, lines: Iterable[str]) -> None:
        write(draft, lines)
        draft._file.flush()
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    with (
        mock.patch("plm.distillation.augment_files.TEXTS_AT_A_TIME", 2),
        mock.patch("plm.distillation.augment_draft.COMMIT_EVERY", -1.0),
        mock.patch.object(Draft, "write", once),
    ):
        return augment_file(f"{folder}/a.jsonl", f"{folder}/b.jsonl", COLUMNS, augmenter(Path(folder)))


def test_what_is_remembered_goes_on_with_it(tmp_path: Path) -> None:
    source, work = table(tmp_path), augmenter(tmp_path)
    stopped(work, source, tmp_path / "b.jsonl", after=4)
    other, model = augmenter(tmp_path), mock.Mock(**{"fill.return_value": []})
    memory = json.loads((tmp_path / "b.jsonl.partial.json").read_text())["progress"]["memory"]
    other.load_state_dict(memory)
    with mock.patch.object(other, "_masked_words", model):
        assert other.replacements(TEXTS[:3]) == work.replacements(TEXTS[:3])
    model.fill.assert_called_once_with([], [], count=15)
    assert other.state_dict() == work.state_dict()


def test_what_was_begun_with_something_else_is_refused(tmp_path: Path) -> None:
    source, target = table(tmp_path), tmp_path / "b.jsonl"
    stopped(augmenter(tmp_path), source, target, after=4)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    with pytest.raises(DataError, match=r"b\.jsonl\.partial: was begun with another variation; delete it to begin"):
        augment_file(source, target, COLUMNS, augmenter(tmp_path, seed=7))
    with pytest.raises(DataError, match="with another reading"):
        augment_file(source, target, Columns(text="text", label="label"), augmenter(tmp_path))
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before
    source.write_text(source.read_text() * 2)
    with pytest.raises(DataError, match="with another source"):
        augment_file(source, target, COLUMNS, augmenter(tmp_path))


def test_models_vectors_and_ways_to_ask_are_told_apart(tmp_path: Path) -> None:
    model, tokenizer = tiny_masked_lm(tmp_path)
    other = tiny_masked_lm(tmp_path)[0]
    other.backbone.embeddings.word.weight.data[0, 0] += 1.0
    turned = WordVectors(VECTORS.words, -VECTORS.matrix)
    ways = [
        Augmenter(vectors=VECTORS),
        Augmenter(vectors=turned),
        Augmenter(vectors=VECTORS, segmenter=str.split),
        Augmenter(model=model, tokenizer=tokenizer),
        Augmenter(model=model, tokenizer=tokenizer, tokens_per_batch=7),
        Augmenter(Augmentation(passes="text"), model=model, tokenizer=tokenizer),
        Augmenter(model=other, tokenizer=tokenizer),
    ]
    assert len({json.dumps(way.fingerprint()) for way in ways}) == len(ways)
    assert Augmenter(vectors=VECTORS).fingerprint() == ways[0].fingerprint()


@pytest.mark.parametrize("damage", ["journal", "rows", "file"])
def test_a_damaged_draft_begins_anew(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    source, target = table(tmp_path), tmp_path / "b.jsonl.xz"
    expected = augment_file(source, tmp_path / "whole.jsonl.xz", COLUMNS, augmenter(tmp_path))
    stopped(augmenter(tmp_path), source, target, after=4)
    begun, journal = tmp_path / "b.jsonl.xz.partial", tmp_path / "b.jsonl.xz.partial.json"
    if damage == "journal":
        journal.write_text(journal.read_text()[:40])
    elif damage == "rows":
        begun.write_bytes(begun.read_bytes()[:40])
    else:
        begun.unlink()
    assert augment_file(source, target, COLUMNS, augmenter(tmp_path)) == expected
    assert "is damaged; augmentation begins anew" in caplog.text
    assert lzma.decompress(target.read_bytes()) == lzma.decompress((tmp_path / "whole.jsonl.xz").read_bytes())
