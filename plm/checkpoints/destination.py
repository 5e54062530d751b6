"""The folder that a tool writes a checkpoint into: looked at before the work, filled all at once at its end."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from plm.checkpoints.formats import FORMATS
from plm.checkpoints.formats.replacing import replacing
from plm.checkpoints.hub import CONFIG_FILES
from plm.checkpoints.saving import TARGETS, refuse_hidden
from plm.errors import CheckpointError

OVERWRITE = "overwrite (overwrite=True; --overwrite on the command line)"
"""How to write into a folder that holds files, for messages."""

# What a killed process leaves of its work is in nobody's way; `plm doctor` names it.
_ASIDE = ".filling-"

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def filling(
    destination: Path, *, source: Path, layout: str, overwrite: bool, stale: Iterable[str] = ()
) -> Iterator[Path]:
    """An empty folder to write into; when the block ends well, its files appear in `destination` together.

    source: where the weights come from, a folder or a file. layout: a name in TARGETS, what will be written.
    overwrite: True = `destination` may hold other files; those of the same names are replaced.
    stale: patterns of files that go as well, besides those of the layout; see Replacement.commit.
    When the block fails, `destination` is as it was. Raises CheckpointError at once for a destination that cannot be
    written without damage, see `check_destination`, and when there is no room.
    """
    check_destination(destination, source=source, layout=layout, overwrite=overwrite)
    is_new = not destination.exists()
    destination.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=destination, prefix=_ASIDE) as aside:
            yield Path(aside)
            files = _config_last(Path(aside))
            for config in (file.name for file in files if file.name in CONFIG_FILES):
                refuse_hidden(destination, TARGETS.get(layout), config)
            with replacing(destination) as new:
                for file in files:
                    new.adopt(file)
                new.commit(stale=(*FORMATS.get(TARGETS.get(layout).format).stale, *stale))
    except BaseException as error:
        if is_new:
            with contextlib.suppress(OSError):  # somebody put something there meanwhile
                destination.rmdir()
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise CheckpointError(f"{destination}: {error.strerror}; nothing was written there") from error
        raise


def check_destination(destination: Path, *, source: Path, layout: str, overwrite: bool) -> None:
    """Raise CheckpointError when writing there would destroy or hide something, saying what to do.

    Never allowed: the folder of the source, a file, and weights of another format, which would be read instead of the
    new ones or beside them. Without `overwrite`, a folder that holds anything.
    """
    target = TARGETS.get(layout)
    if not destination.exists():
        return
    if not destination.is_dir():
        raise CheckpointError(f"{destination}: is a file; name a folder to write into")
    if destination.samefile(source if source.is_dir() else source.parent):
        raise CheckpointError(f"{destination}: is the folder of the source; name another one to write into")
    held = sorted(item.name for item in destination.iterdir() if not item.name.startswith(_ASIDE))
    if held and not overwrite:
        some = ", ".join(held[:5]) + (", ..." if len(held) > 5 else "")
        raise CheckpointError(f"{destination}: is not empty ({some}); name a new folder, or {OVERWRITE}")
    for name, held_format in FORMATS.items():
        entries = held_format.find(destination) if name != target.format else []
        if entries:
            raise CheckpointError(
                f"{destination}: holds weights in another format ({entries[0].name}, {name}), and one folder is one "
                "checkpoint; delete them or name another folder"
            )


def _config_last(folder: Path) -> list[Path]:
    """All files to put in place, what readers start from at the end: the config, then an index of shards or tensors."""
    ranks = dict.fromkeys(CONFIG_FILES, 1)
    return sorted(folder.iterdir(), key=lambda file: (2 if _is_index(file) else ranks.get(file.name, 0), file.name))


def _is_index(file: Path) -> bool:
    return file.name.endswith((".index.json", ".index", "params_shapes.json"))
