"""Text files to blocks of whole lines, and blocks to documents of sentences.

    files = find_files(["books.txt", "wiki/*.gz"])
    for block in read_blocks(files, layout):            # one process reads ...
        parsed = documents_of(block, layout)            # ... others parse, and make ids of the sentences

A block is small and made of the file alone; documents may go on over any number of blocks. So memory is bounded
whatever the corpus, and the documents are the same however the blocks are cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from plm.corpus.files import TextStream, find_files, total_bytes
from plm.corpus.layouts import TextLayout
from plm.errors import ConfigError, DataError

__all__ = [
    "BEGINNING",
    "Block",
    "ParsedBlock",
    "Position",
    "TextLayout",
    "documents_of",
    "find_files",
    "join_documents",
    "read_blocks",
    "total_bytes",
]

# A line is held in memory as a whole; one that is longer than this (bytes) is no line of a text.
_LONGEST_LINE = 1 << 26
# Bytes that tell what kind of file it is.
_HEAD = 1024
_JSON_SUFFIXES = (".jsonl", ".json", ".ndjson")
_MARK = "\ufeff"  # the byte order mark


class Position(NamedTuple):
    """Where a block begins: the number of the file, and the byte of its (unpacked) text."""

    file: int
    offset: int


BEGINNING = Position(0, 0)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Whole lines of a file: plain data that can travel to another process.

    path: the file, which is number `file` of all. offset, end: first byte, and the one after the last, of the text
    (unpacked). raw: these bytes; empty only in the last block of a file. disk_end: bytes of the file as it lies on the
    disk that were read when the block was whole, in the unit of `total_bytes`.
    """

    path: str
    file: int
    offset: int
    raw: bytes
    is_last_of_file: bool
    disk_end: int

    @property
    def end(self) -> int:
        return self.offset + len(self.raw)

    @property
    def next(self) -> Position:
        """Where reading goes on after this block."""
        return Position(self.file + 1, 0) if self.is_last_of_file else Position(self.file, self.end)


class ParsedBlock(NamedTuple):
    """The sentences of a block (no white space around them, none empty), and where documents end.

    ends: rising numbers of sentences of this block that lie before the end of a document. 0 = the document of the
    blocks before ends here. What lies behind the last of them goes on in the next block.
    """

    sentences: list[str]
    ends: list[int]


def read_blocks(
    files: Sequence[Path], layout: TextLayout, *, start: Position = BEGINNING, size: int = 1 << 20
) -> Iterator[Block]:
    """The text of all files as blocks of whole lines, in order; every file has at least one.

    start: where a block began in an earlier reading of the same files with the same size; the blocks from there on
    are then the same. A packed file is unpacked up to there once more.
    size: bytes of a block at most; a line that is longer is a block of its own.
    Raises DataError for a file that cannot be read, is damaged, is not text in the layout, or is not the one that
    `start` was taken from; ConfigError for a size or start that cannot be.
    """
    if size < 1 or not 0 <= start.file <= len(files) or start.offset < 0:
        raise ConfigError(f"expected size >= 1 and a start in one of {len(files)} files, got {size} and {start}")
    for number in range(start.file, len(files)):
        with TextStream(files[number]) as stream:
            yield from _blocks(stream, layout, Position(number, start.offset if number == start.file else 0), size)


def documents_of(block: Block, layout: TextLayout) -> ParsedBlock:
    """The sentences of a block and the ends of its documents.

    Only \\n and \\r\\n end a line; U+2028, U+0085 and the like are white space in it, and NUL is a character.
    A byte order mark at the beginning of a file is dropped.
    Raises DataError with file and line for bytes that are not UTF-8 and for lines that are not JSON as told.
    """
    sentences_of, ends_document = layout.line_reader(), layout.ends_document
    sentences: list[str] = []
    ends: list[int] = []
    for number, line in enumerate(_lines(block)):
        try:
            found = sentences_of(line)
        except DataError as error:
            raise DataError(f"{_place(block, number)}, {error}") from error
        sentences += found
        if ends_document(found):
            ends.append(len(sentences))
    if block.is_last_of_file:
        ends.append(len(sentences))
    return ParsedBlock(sentences, list(dict.fromkeys(ends)))


def join_documents(blocks: Iterable[ParsedBlock]) -> Iterator[list[str]]:
    """The documents of blocks that follow each other, as lists of sentences; none is empty."""
    document: list[str] = []
    for sentences, ends in blocks:
        begin = 0
        for end in ends:
            document += sentences[begin:end]
            begin = end
            if document:
                yield document
                document = []
        document += sentences[begin:]
    if document:
        yield document


def _blocks(stream: TextStream, layout: TextLayout, start: Position, size: int) -> Iterator[Block]:
    """The blocks of one file, each a function of the file, of `size` and of where it begins."""
    offset = start.offset
    if offset:
        _go_to(stream, offset)
    held = bytearray(stream.read(max(size + 1, _HEAD)))
    if not offset:
        _check_head(stream, bytes(held[:_HEAD]), layout)
    is_last = False
    while not is_last:
        # One byte more than a block tells whether more will follow.
        cut = len(held) if len(held) <= size else held.rfind(b"\n", 0, size) + 1 or _end_of_line(stream, held, offset)
        raw = bytes(held[:cut])
        del held[:cut]
        held += stream.read(max(0, size + 1 - len(held)))
        is_last = not held
        yield Block(
            path=str(stream.path),
            file=start.file,
            offset=offset,
            raw=raw,
            is_last_of_file=is_last,
            disk_end=stream.disk_offset(offset + cut),
        )
        offset += cut


def _go_to(stream: TextStream, offset: int) -> None:
    """Pass over what was read before; there must still be the beginning of a line, or the end of the file."""
    passed = stream.skip(offset - 1)
    before = stream.read(1)
    if not before:
        trouble = f"holds {passed} bytes of text"
    elif before != b"\n" and stream.read(1):
        trouble = "has no line that begins there"
    else:
        return
    raise DataError(
        f"{stream.path}: reading was to go on at byte {offset}, but the file {trouble}: it was changed since. "
        "Bring the old file back, or begin anew."
    )


def _check_head(stream: TextStream, head: bytes, layout: TextLayout) -> None:
    """Refuse files that are plainly something else than the layout says, before anything is made of them."""
    stream.check_signature(head)
    first = head.removeprefix(_MARK.encode()).lstrip()[:1]
    if layout.kind == "jsonl" and first == b"[":
        raise DataError(
            f"{stream.path}: a JSON list, not JSON lines: expected one object a line, without a list around them. "
            "`jq -c '.[]' FILE > FILE.jsonl` writes it so."
        )
    suffixes = Path(stream.path).suffixes
    if layout.kind != "jsonl" and first == b"{" and any(suffix.lower() in _JSON_SUFFIXES for suffix in suffixes):
        raise DataError(f'{stream.path}: JSON lines, to be read with kind="jsonl", not {layout.kind!r}')


def _end_of_line(stream: TextStream, held: bytearray, offset: int) -> int:
    """Read on to the end of a line that is longer than a block. Returns where that is in `held`."""
    seen = 0
    while not (cut := held.find(b"\n", seen) + 1):
        if len(held) > _LONGEST_LINE:
            raise DataError(
                f"{stream.path}: the line that begins at byte {offset} is longer than {_LONGEST_LINE >> 20} MiB. A "
                "line should be a sentence, a paragraph or a document; break it, for example after sentences."
            )
        seen = len(held)
        more = stream.read(1 << 20)
        if not more:
            return seen
        held += more
    return cut


def _lines(block: Block) -> list[str]:
    """The lines without their \\n; the \\r before it is white space, which is taken off anyway."""
    try:
        text = block.raw.decode()
    except UnicodeDecodeError as error:
        number = block.raw.count(b"\n", 0, error.start)
        byte = error.start - block.raw.rfind(b"\n", 0, error.start)
        raise DataError(
            f"{_place(block, number)}, byte {byte}: not UTF-8. Convert the file first, for example "
            "`iconv -f gb18030 -t utf-8` for Chinese text or `iconv -f latin1 -t utf-8` for European; "
            "`iconv -c -f utf-8 -t utf-8` drops what is damaged."
        ) from error
    if block.offset == 0:
        text = text.removeprefix(_MARK)
    return text.removesuffix("\n").split("\n") if text else []


def _place(block: Block, number: int) -> str:
    """The file, and which of its lines is number `number` (from 0) of the block: counted only for errors."""
    try:
        with TextStream(Path(block.path)) as stream:
            before = sum(piece.count(b"\n") for piece in stream.pieces(block.offset))
    except DataError:
        return f"{block.path}, line {number + 1} from byte {block.offset} on"
    return f"{block.path}, line {before + number + 1}"
