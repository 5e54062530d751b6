"""Folders of texts, one file each, in a folder for each label: `train/pos/0_9.txt`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from tqdm import tqdm

from plm.data.plan import permutation
from plm.data.readers import Example
from plm.errors import DataError

# What IMDb's corpus calls its 50,000 reviews without label.
UNLABELLED = ("unsup",)

_EXAMPLE = Path("pos", "0_9.txt")

_BREAKS = re.compile(r"[ \t]*(?:<br\s*/?>[ \t]*)+", re.IGNORECASE)


def read_folder(path: Path | str, *, ignored: Collection[str] = UNLABELLED, html_breaks: bool = True) -> list[Example]:
    """The texts of `path/LABEL/*.txt`: labels by name, the files of a label by name; the folder is the label.

    ignored: folders that are no class. html_breaks: True = `<br />` in a text becomes a line end.
    An example's id is its path without suffix ("pos/0_9"), its line is 1. Shows a progress bar on a terminal.
    Hidden folders are passed over. Raises DataError for a folder without texts, naming what it holds, and for a file
    that is empty or not UTF-8.
    """
    path = Path(path)
    if not path.is_dir():
        raise DataError(f"{path}: is no folder; expected one with a folder for each label, as in {path / _EXAMPLE}")
    by_label = {label: sorted((path / label).glob("*.txt")) for label in _labels(path, ignored)}
    if not any(by_label.values()):
        found = ", ".join(sorted(entry.name for entry in path.iterdir())[:10]) or "nothing"
        raise DataError(f"{path}: expected texts such as {path / _EXAMPLE}, but it holds {found}")
    for label, files in by_label.items():
        if not files:
            raise DataError(f"{path / label}: holds no .txt files; remove it, or name {label!r} among ignored folders")
    every = [file for files in by_label.values() for file in files]
    bar = tqdm(every, desc="reading", unit="text", disable=None, delay=2, leave=False)
    return [_example(file, html_breaks=html_breaks) for file in bar]


def with_line_ends(text: str) -> str:
    """Each run of `<br />` as one line end, as in IMDb's reviews, where they stand in pairs."""
    return _BREAKS.sub("\n", text)


def stratified(examples: Sequence[Example], count: int, *, seed: int) -> list[Example]:
    """A sample of `count` examples with equal shares of every label, in the order of `examples`.

    Shares differ by one at most where `count` is no multiple of the number of labels. The same arguments always give
    the same sample, whatever the platform. Raises DataError when a label has too few examples for its share.
    """
    by_label: dict[object, list[int]] = defaultdict(list)
    for place, example in enumerate(examples):
        by_label[example.label].append(place)
    if not 1 <= count <= len(examples):
        raise DataError(f"a sample of {count}: expected 1 to {len(examples)}, the number of examples")
    share, more = divmod(count, len(by_label))
    chosen: list[int] = []
    for number, label in enumerate(sorted(by_label, key=str)):
        places, wanted = by_label[label], share + (number < more)
        if len(places) < wanted:
            raise DataError(f"a sample of {count}: the label {label!r} has {len(places)} examples, {wanted} are needed")
        chosen += [places[place] for place in permutation(len(places), seed=seed, epoch=number)[:wanted]]
    return [examples[place] for place in sorted(chosen)]


def _labels(path: Path, ignored: Collection[str]) -> list[str]:
    names = (entry.name for entry in path.iterdir() if entry.is_dir())
    return sorted(name for name in names if name not in ignored and not name.startswith("."))


def _example(file: Path, *, html_breaks: bool) -> Example:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as UTF-8 text: {error}") from error
    if not text.strip():
        raise DataError(f"{file}: the text is empty; remove the file or fill it")
    if html_breaks:
        text = with_line_ends(text)
    label = file.parent.name
    return Example(id=f"{label}/{file.stem}", text=text, pair=None, label=label, line=1)
