"""What a container format is: how to find its files, tell them apart by content, read and write them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from plm.errors import CheckpointError
from plm.registry import Registry


@dataclass(frozen=True)
class Format:
    """A format knows bytes and no models: names and tensors come out as they are in the file.

    name: "safetensors", "tf_checkpoint", ...; also its name in FORMATS.
    find: the entries of this format in a folder, best first; empty when there are none. An entry is what `read`
        takes: a file, an index file, the prefix of a TensorFlow checkpoint, or a folder.
    accepts: whether an entry holds this format, told by its content and not by its name alone.
    read: names and tensors in the order of the file, memory-mapped where the format allows it. Runs no code of the
        file. Raises CheckpointError that names the file and the reason.
    write: puts tensors into a folder under the format's usual file names and returns the files written; None where
        plm does not write the format. Either all files are replaced or none is.
    stale: patterns (as for Path.glob) of files that an earlier save may have left and that would be read with the new
        ones or in their place.
    non_finite: names of tensors in an entry that hold NaN or infinity, found without keeping the file in memory; None
        where there is no better way than to look at the tensors.
    looks_for: the names that `find` looks for, for messages.
    """

    name: str
    find: Callable[[Path], list[Path]]
    accepts: Callable[[Path], bool]
    read: Callable[[Path], dict[str, Tensor]]
    write: Callable[[Path, Mapping[str, Tensor]], list[Path]] | None = None
    stale: tuple[str, ...] = ()
    non_finite: Callable[[Path], list[str]] | None = None
    looks_for: str = ""


FORMATS: Registry[Format] = Registry("checkpoint format")
"""All known formats. The order of registration is the order in which `find_weights` tries them."""


def existing(folder: Path, *names: str) -> list[Path]:
    """Those of the named files that are in the folder, in the order of the names; links that lead nowhere too.

    A hub cache with a missing blob should end in a message about that file and not in one about an empty folder.
    """
    return [folder / name for name in names if (folder / name).is_file() or (folder / name).is_symlink()]


def best_first(paths: Iterable[Path], *, usual: Sequence[Path] = (), prefer_steps: bool = False) -> list[Path]:
    """The entries of a folder in order: those with usual names, then those that somebody named freely.

    Among the latter a later training step comes before an earlier one.
    prefer_steps: True puts `x-300` before `x`, False after it.
    Raises CheckpointError when the first place is shared by several, for nothing tells which one is meant.
    """
    free = sorted((path for path in set(paths) if path not in usual), key=lambda path: path.name)
    free.sort(key=lambda path: (bool(_steps(path)) is prefer_steps, _steps(path)), reverse=True)
    if not usual and len(free) > 1 and _steps(free[0]) == _steps(free[1]):
        tied = ", ".join(path.name for path in free if _steps(path) == _steps(free[0]))
        raise CheckpointError(f"{free[0].parent}: several files could be meant ({tied}); give the path of one")
    return [*usual, *free]


def _steps(path: Path) -> tuple[int, ...]:
    """The numbers in a file name that stand apart from letters: `ckpt_100.pt` -> (100,), `gpt1.pt` -> ()."""
    return tuple(int(digits) for digits in re.findall(r"(?<![A-Za-z0-9])\d{1,18}(?![A-Za-z0-9])", path.name))
