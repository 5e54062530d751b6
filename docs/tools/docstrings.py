"""Docstrings as Markdown: an extension of griffe for the API reference.

Docstrings here are plain text. A line `name: what it is` about an argument or a field becomes an item of a list, the
lines indented below it go with it, `>>>` begins an example, and characters that mean something to Markdown alone mean
nothing. Tables and names of types, which have no docstring, are said to be that.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import griffe

_FIELD = re.compile(r"(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)*): (?P<said>.+)")
_CODE = re.compile(r"(`+[^`]+`+)")


class MarkdownDocstrings(griffe.Extension):
    """Rewrites every docstring once its object is known with all of its members."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe for modules, classes, functions and attributes."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value, names=_names(obj))
        elif isinstance(obj, griffe.Attribute) and obj.name[0].isupper():
            obj.docstring = griffe.Docstring(_said_of(obj), parent=obj)


def _said_of(attribute: griffe.Attribute) -> str:
    """What stands for the docstring of an attribute of a module."""
    if str(attribute.annotation).startswith("Registry["):
        return "Rows by name, to which anybody may `add`: see plm.registry."
    return "A table of constants." if attribute.name.isupper() else "A name for a type."


def _names(obj: griffe.Object) -> set[str]:
    """What a docstring may describe: parameters of a function, fields of a class and parameters of its __init__."""
    if isinstance(obj, griffe.Function):
        return {one.name for one in obj.parameters}
    if isinstance(obj, griffe.Class):
        init = obj.members.get("__init__")
        return set(obj.members) | (_names(init) if isinstance(init, griffe.Function) else set())
    return set()


def as_markdown(text: str, *, names: Collection[str] = ()) -> str:
    """The text of a docstring as Markdown. names: arguments and fields that lines may be about."""
    return "\n".join(_lines(text.split("\n"), set(names)))


def _lines(lines: list[str], names: set[str]) -> Iterator[str]:
    in_list = in_example = False
    for place, line in enumerate(lines):
        if in_example and not line.strip():
            yield "```"
            in_example = False
        if line.lstrip().startswith(">>>") and not in_example:
            yield from ("", "```pycon")
            in_example = True
        found = _FIELD.fullmatch(line)
        if in_example:
            yield line
        elif found and names.issuperset(name.lstrip("*") for name in found["names"].split(", ")):
            yield from () if in_list else ("",)
            yield f"- `{found['names']}`: {_plain(found['said'])}"
            in_list = True
        elif in_list and line.startswith("    "):
            yield "  " + _plain(line.strip())
        else:
            yield from ("",) if in_list or _opens_code(lines, place) else ()
            yield line if line.startswith("    ") else _plain(line)
            in_list = False
    if in_example:
        yield "```"


def _opens_code(lines: list[str], place: int) -> bool:
    """True for the first indented line below a paragraph, which Markdown would take for a part of it."""
    indented = lines[place].startswith("    ")
    return indented and place > 0 and bool(lines[place - 1].strip()) and not lines[place - 1].startswith("    ")


def _plain(text: str) -> str:
    """A line in which nothing but what stands in backticks is marked up."""
    parts = _CODE.split(text)
    parts[::2] = [re.sub(r"([*_\[\]#])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    return "".join(parts)
