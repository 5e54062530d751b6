"""Pickles read as data: a machine that knows containers, numbers and text, and cannot call anything.

Python's own unpickler runs what a file asks for and can only be talked out of it. This one has no way to run it: a
global is a pair of names, a call of one is looked up in a table that the caller hands over, and everything else in
the pickle that would act is refused by name. Bytes stay views of the mapped file.
Sources: CPython Lib/pickletools.py (the opcodes), PEP 3154 (protocol 4), PEP 574 (protocol 5).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from plm.checkpoints.formats.binary import Cursor, FileBytes

_DOUBLE = struct.Struct(">d")
_MARK = object()
_LONGEST_LINE = 256
_MOST_STEPS = 2**18  # some 10,000 tensors; one byte of pickle can ask for a hundred bytes of memory
_NO_CODE = "plm runs no code from checkpoints"


@dataclass(frozen=True)
class Global:
    """A name that the pickle refers to, not what it stands for."""

    module: str
    name: str


@runtime_checkable
class Buildable(Protocol):
    """What a call in the table may return to take the state that a pickle gives it afterwards."""

    def set_state(self, state: Any) -> None: ...


Calls: TypeAlias = Mapping[tuple[str, str], Callable[..., Any]]


def read_pickle(file: FileBytes, calls: Calls) -> Any:
    """The value of a pickle of protocol 2 to 5.

    calls: what to do for a call of a global, by exact (module, name). A returned object with a method `set_state`
        gets the state that follows. May raise TypeError or ValueError for arguments that it does not like.
    Text of Python 2 (`str`) comes back as text when it is UTF-8 and as bytes otherwise.
    Raises CheckpointError for damage and for everything that is not data.
    """
    machine = _Machine(file, calls)
    try:
        return machine.run()
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise file.error(f"not a valid pickle ({type(error).__name__}: {error!s:.100})") from error


class _Machine:
    """The stack, the memo and the place in the file."""

    def __init__(self, file: FileBytes, calls: Calls) -> None:
        self.file = file
        self.calls = calls
        self.input: Cursor = file.cursor()
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(_MOST_STEPS):
            code = self.input.uint(1)
            if code == _STOP:
                return self.stack.pop()
            step = _STEPS.get(code)
            if step is None:
                raise self.file.error(f"opcode {code:#04x} of the pickle is not data", advice=_NO_CODE)
            step(self)
        raise self.file.error(f"the pickle has more than {_MOST_STEPS} steps")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self, count: int) -> tuple[Any, ...]:
        """The last `count` values, oldest first."""
        if count > len(self.stack):
            raise IndexError("the stack is empty")
        values = tuple(self.stack[-count:])
        del self.stack[-count:]
        return values

    def pop_mark(self) -> list[Any]:
        """All values after the last mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise IndexError("no mark on the stack")
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def line(self) -> str:
        """Text up to the next line end."""
        rest = self.input.data[self.input.position : self.input.position + _LONGEST_LINE]
        text, end, _ = bytes(rest).partition(b"\n")
        if not end:
            raise ValueError("a name without an end")
        self.input.take(len(text) + 1)
        return text.decode()

    def signed(self, width: int) -> int:
        return int.from_bytes(self.input.take(width), "little", signed=True)

    def old_text(self, length: int) -> str | memoryview:
        """A `str` of Python 2: a name, or the bytes of an array."""
        raw = self.input.take(length)
        try:
            return str(raw, "utf-8")
        except UnicodeDecodeError:
            return raw

    def set_items(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(pairs) % 2:
            raise TypeError("items for something that is no dict")
        if not all(isinstance(key, str | int) for key in pairs[0::2]):  # hashing deep tuples overflows the C stack
            raise TypeError("a key that is neither text nor a number")
        target.update(zip(pairs[0::2], pairs[1::2], strict=True))

    def extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise TypeError("elements for something that is no list")
        self.stack[-1].extend(values)

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def push_global(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("a global without a name")
        self.push(Global(module, name))

    def call(self) -> None:
        function, arguments = self.pop(2)
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise TypeError("a call of something that is no global")
        known = self.calls.get((function.module, function.name))
        if known is None:
            asked = f"{function.module}.{function.name}"
            raise self.file.error(f"the pickle in it calls {asked!r:.120}, which is no array", advice=_NO_CODE)
        self.push(known(*arguments))

    def build(self) -> None:
        target, state = self.pop(2)
        if not isinstance(target, Buildable):
            raise TypeError("a state for something that takes none")
        target.set_state(state)
        self.push(target)


_STOP = ord(".")

# Every opcode that plain data need; see pickletools for what each one is called.
_STEPS: dict[int, Callable[[_Machine], object]] = {
    0x80: lambda m: m.input.take(1),  # PROTO
    0x95: lambda m: m.input.take(8),  # FRAME
    ord("("): lambda m: m.push(_MARK),
    ord("0"): lambda m: m.pop(1),
    ord("1"): lambda m: m.pop_mark(),
    ord("2"): lambda m: m.push(m.stack[-1]),
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("J"): lambda m: m.push(m.signed(4)),
    ord("K"): lambda m: m.push(m.input.uint(1)),
    ord("M"): lambda m: m.push(m.input.uint(2)),
    0x8A: lambda m: m.push(m.signed(m.input.uint(1))),
    ord("G"): lambda m: m.push(_DOUBLE.unpack(m.input.take(8))[0]),
    ord("T"): lambda m: m.push(m.old_text(m.input.uint(4))),
    ord("U"): lambda m: m.push(m.old_text(m.input.uint(1))),
    ord("B"): lambda m: m.push(m.input.take(m.input.uint(4))),
    ord("C"): lambda m: m.push(m.input.take(m.input.uint(1))),
    0x8E: lambda m: m.push(m.input.take(m.input.uint(8))),  # BINBYTES8
    0x96: lambda m: m.push(m.input.take(m.input.uint(8))),  # BYTEARRAY8
    ord("X"): lambda m: m.push(m.input.text(m.input.uint(4))),
    0x8C: lambda m: m.push(m.input.text(m.input.uint(1))),
    0x8D: lambda m: m.push(m.input.text(m.input.uint(8))),
    ord("}"): lambda m: m.push({}),
    ord("s"): lambda m: m.set_items(list(m.pop(2))),
    ord("u"): lambda m: m.set_items(m.pop_mark()),
    ord("]"): lambda m: m.push([]),
    ord("a"): lambda m: m.extend(list(m.pop(1))),
    ord("e"): lambda m: m.extend(m.pop_mark()),
    ord(")"): lambda m: m.push(()),
    ord("t"): lambda m: m.push(tuple(m.pop_mark())),
    0x85: lambda m: m.push(m.pop(1)),
    0x86: lambda m: m.push(m.pop(2)),
    0x87: lambda m: m.push(m.pop(3)),
    ord("q"): lambda m: m.remember(m.input.uint(1)),
    ord("r"): lambda m: m.remember(m.input.uint(4)),
    0x94: lambda m: m.remember(len(m.memo)),
    ord("h"): lambda m: m.push(m.memo[m.input.uint(1)]),
    ord("j"): lambda m: m.push(m.memo[m.input.uint(4)]),
    ord("c"): lambda m: m.push_global(m.line(), m.line()),
    0x93: lambda m: m.push_global(*m.pop(2)),
    ord("R"): lambda m: m.call(),
    ord("b"): lambda m: m.build(),
}
