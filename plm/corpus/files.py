"""The files of a corpus: found by name, folder or pattern, and read as streams of bytes, packed or not.

The readers of gzip, xz and bz2 in the standard library take damage behind the first part of a file for its end (files
of parallel packers have thousands of parts). Here every byte of a packed file must be part of something whole.
"""

from __future__ import annotations

import bz2
import glob
import lzma
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

from plm.errors import DataError, did_you_mean

_PIECE = 1 << 16


def find_files(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """The files that names, folders and patterns stand for, sorted, each once.

    paths: one or several; "~" is the home folder. A folder stands for all files in it and in its folders, a pattern
    (`*`, `?`, `[...]`, `**`) for what it matches. Files and folders whose names begin with a dot are passed over.
    Raises DataError for one that stands for nothing, for what is not a regular file, and for what may not be read.
    """
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not given:
        raise DataError("no text files are given: expected names of files or folders, or patterns such as 'wiki/*.gz'")
    found = {
        file.resolve(): file for path in given for file in sorted(_files_of(Path(path).expanduser()), reverse=True)
    }
    return sorted(found.values())


def total_bytes(files: Iterable[Path]) -> int:
    """The size of all files as they lie on the disk, packed ones as they are. Raises DataError for one that is gone."""
    try:
        return sum(file.stat().st_size for file in files)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _files_of(path: Path) -> list[Path]:
    """What one path stands for, at least one file."""
    if path.is_dir():
        files = list(_walk(path))
        if not files:
            raise DataError(f"{path}: the folder holds no files (hidden ones are passed over)")
    elif path.exists() or not glob.has_magic(str(path)):
        files = [path]
    else:
        matches = map(Path, glob.glob(str(path), recursive=True))  # noqa: PTH207  # Path.glob wants a folder first
        files = [file for match in matches for file in (_walk(match) if match.is_dir() else [match])]
        if not files:
            raise DataError(f"{path}: no file matches (from the folder {Path.cwd()}; hidden ones are passed over)")
    for file in files:
        _check(file)
    return files


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder, hidden ones apart. Links are followed, but not in circles."""
    seen = set()
    for place, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(place, name) for name in names if not name.startswith("."))


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _check(file: Path) -> None:
    if not file.exists():
        siblings = [entry.name for entry in file.parent.iterdir()] if file.parent.is_dir() else []
        raise DataError(f"{file}: no such file or folder{did_you_mean(file.name, siblings)}")
    if not file.is_file():
        raise DataError(f"{file}: not a regular file; reading must be able to begin again at any place of it")
    if not os.access(file, os.R_OK):
        raise DataError(f"{file}: may not be read; change its permissions (chmod +r)")


class _Unpacker(Protocol):
    """What bz2 and lzma give: one part of a packed file, fed bytes, asked for at most so many."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes: ...


class _Gunzip:
    """zlib in the manner of bz2 and lzma."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # 16 = with the header and check sum of gzip

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


UNPACKERS: Mapping[str, Callable[[], _Unpacker]] = {
    ".gz": _Gunzip,
    ".xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ),
    ".bz2": bz2.BZ2Decompressor,
}

# What a file begins with -> what it is, for those that are no text.
_SIGNATURES: Mapping[bytes, str] = {
    b"\x1f\x8b": "packed by gzip: let its name end in .gz",
    b"\xfd7zXZ\0": "packed by xz: let its name end in .xz",
    b"BZh91AY&SY": "packed by bzip2: let its name end in .bz2",
    b"\x28\xb5\x2f\xfd": "packed by zstd: unpack it first (`zstd -d`)",
    b"PK\x03\x04": "a zip archive (or an office document): unpack it, or save it as text",
    b"PAR1": "a Parquet table: write it as JSON lines first (`to_json(lines=True)` of datasets and pandas)",
    b"%PDF-": "a PDF document: extract its text first (`pdftotext`)",
    b"\xff\xfe": "UTF-16, not UTF-8: convert it first (`iconv -f utf-16 -t utf-8`)",
    b"\xfe\xff": "UTF-16, not UTF-8: convert it first (`iconv -f utf-16 -t utf-8`)",
}


class TextStream:
    """The bytes of a text file from its beginning, unpacked on the way where its name ends in .gz, .xz or .bz2.

    path: a regular file. A context manager.
    Raises DataError when it cannot be read, is damaged or cut off, or is plainly no text.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unpacker = UNPACKERS.get(path.suffix.lower())
        try:
            self._file: IO[bytes] = path.open("rb")
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        self._pieces = _unpacked(self._file, self._unpacker) if self._unpacker else iter(())
        self._held = b""

    def __enter__(self) -> TextStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def disk_offset(self, offset: int) -> int:
        """Bytes of the file as it lies on the disk that `offset` bytes of text, which were read, are made of.

        Exact for plain files and at the end of packed ones; else what was taken in so far, which is a little more.
        """
        return self._file.tell() if self._unpacker else offset

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end."""
        try:
            return self._read_packed(size) if self._unpacker else self._file.read(size)
        except (zlib.error, lzma.LZMAError, EOFError, OSError) as error:
            raise DataError(
                f"{self.path}: damaged or cut off near byte {self._file.tell()} of the file, or not what its suffix "
                f"{self.path.suffix!r} says: {error}. Fetch it again, or unpack what can be saved (`gzip -dc`, "
                "`xz -dc`, `bzip2recover`) into a file of its own."
            ) from error

    def skip(self, offset: int) -> int:
        """Go on by `offset` bytes. Returns by how many: fewer when the end comes first."""
        if not self._unpacker:
            here, end = self._file.tell(), self._file.seek(0, os.SEEK_END)
            return self._file.seek(min(here + offset, end)) - here
        return sum(map(len, self.pieces(offset)))

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes, or all up to the end, a little at a time."""
        while size > 0 and (piece := self.read(min(size, _PIECE))):
            yield piece
            size -= len(piece)

    def check_signature(self, head: bytes) -> None:
        """Raise DataError when a text that begins with `head` is of a kind that is known and no text."""
        for signature, kind in _SIGNATURES.items():
            if head.startswith(signature):
                raise DataError(f"{self.path}: not text in UTF-8, but {kind}")
        if head.count(0) > len(head) // 4:
            raise DataError(
                f"{self.path}: not text in UTF-8: it begins with {head[:8]!r}. Most often UTF-16 (convert it with "
                "`iconv -f utf-16le -t utf-8`), else an archive (tar) or a file of another program."
            )

    def _read_packed(self, size: int) -> bytes:
        pieces = [self._held]
        missing = size - len(self._held)
        while missing > 0 and (piece := next(self._pieces, b"")):
            pieces.append(piece)
            missing -= len(piece)
        data = b"".join(pieces)
        self._held = data[size:]
        return data[:size]


def _unpacked(file: IO[bytes], begin: Callable[[], _Unpacker]) -> Iterator[bytes]:
    """The content, piece by piece, of all the parts that a packed file consists of. Never more than _PIECE at once."""
    packed = file.read(_PIECE)
    while True:
        unpacker = begin()
        while not unpacker.eof:
            if unpacker.needs_input:
                packed = packed or file.read(_PIECE)
                if not packed:
                    raise EOFError("it ends in the middle")
            piece, packed = unpacker.decompress(packed, _PIECE), b""
            if piece:
                yield piece
        # Zeros may fill up the end of a part.
        packed = unpacker.unused_data.lstrip(b"\0")
        while not packed:
            more = file.read(_PIECE)
            if not more:
                return
            packed = more.lstrip(b"\0")
