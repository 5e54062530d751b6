"""Writes docs/compatibility.md, what fits what, from the registries of plm: python -m docs.tools.compatibility"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from plm.backends import BACKENDS, Backend
from plm.backends.program.heads import HEAD_PROGRAMS
from plm.checkpoints.formats import FORMATS
from plm.checkpoints.maps import MAPS
from plm.checkpoints.name_map import NameMap, table_for
from plm.checkpoints.saving import TARGETS
from plm.config import write_text
from plm.heads.head import HEADS, HeadSpec
from plm.models.families import FAMILIES

PAGE = Path(__file__).parents[1] / "compatibility.md"

# Backends that compute heads by plm.backends.program; the others run the head itself, whatever it is.
BY_PROGRAM = ("onnx", "numpy")

YES, NO = "yes", ""

INTRODUCTION = """\
# What fits what

Which heads a family has, in which layouts of checkpoints they are stored, and which backends compute them. The tables
are made from plm's registries by `python -m docs.tools.compatibility`; a test fails where they are out of date.
"""

LAYOUTS = """\
## Layouts of checkpoints

A layout is a table of names, and what the values of its configs mean. *read*: `from_pretrained` and `plm convert` take
it; *write*: `plm convert --layout` makes it, under the name in the last column. Files are told apart by their content,
so that a layout without a format of its own may come in any of the formats below.
"""

FORMATS_TEXT = """\
## Formats of files

*read* takes what the layouts above describe, and runs no code from the file; *write* is for the layouts that use it.
"""

FAMILY = """\
*read, write*: the layout has names for this head. *write*: files of others have none, so that plm writes it under names
of its own, which only plm reads. The backbone alone is read and written in all of them.
"""

BACKENDS_TEXT = """\
## Backends

A backend computes a trained model: `from_pretrained(folder, backend="int8")`, and `--backend` of `plm predict` and
`plm serve`. All of them take every family. *goes on with texts*: it keeps a cache, for `plm generate` and poems.
"""


def page() -> str:
    """The whole page."""
    return "\n".join((INTRODUCTION, *_families(), *_layouts(), *_heads_by_layout(), *_backends()))


def _families() -> Iterator[str]:
    yield "## Families and heads\n"
    yield table(
        ("head", *_code(FAMILIES)),
        ((f"`{head}`", *(_mark(head in family.heads) for _, family in FAMILIES.items())) for head in _heads()),
    )


def _layouts() -> Iterator[str]:
    yield LAYOUTS
    yield table(
        ("layout", *_code(FAMILIES), "formats", "`--layout`"),
        (
            (
                f"`{name}`",
                *(_access(one, family) for family in FAMILIES),
                ", ".join(_code(one.formats)) or "any",
                ", ".join(_code(one.layouts)),
            )
            for name, one in MAPS.items()
        ),
    )
    yield FORMATS_TEXT
    yield table(
        ("format", "access", "looks for"),
        (
            (f"`{name}`", "read" if one.write is None else "read, write", f"`{one.looks_for}`")
            for name, one in FORMATS.items()
        ),
    )


def _heads_by_layout() -> Iterator[str]:
    yield "## Heads in layouts\n"
    yield FAMILY
    for name, family in FAMILIES.items():
        layouts = [one for _, one in MAPS.items() if name in one.families]
        yield f"### {name}\n"
        yield table(
            ("head", *_code(one.name for one in layouts)),
            ((f"`{head}`", *(_head_access(one, name, HEADS.get(head)) for one in layouts)) for head in family.heads),
        )


def _backends() -> Iterator[str]:
    yield BACKENDS_TEXT
    yield table(
        ("backend", "what it is", "goes on with texts"),
        ((f"`{name}`", _first_line(one), _mark(one.causal is not None)) for name, one in BACKENDS.items()),
    )
    yield table(
        ("head", *_code(BACKENDS)),
        ((f"`{head}`", *(_mark(_computes(backend, head)) for backend in BACKENDS)) for head in _heads()),
    )


def _heads() -> list[str]:
    """All heads in the order in which families list them: that of HEADS depends on who imported what first."""
    return list(dict.fromkeys([*(head for _, family in FAMILIES.items() for head in family.heads), *HEADS]))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown, with an empty line behind."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n".replace("  ", " ") for line in lines)


def writes(layout: NameMap, family: str) -> bool:
    """True when one of the layouts to write uses this table for a family."""
    return any(name in TARGETS and table_for(name, family) is layout for name in layout.layouts)


def has_names(layout: NameMap, head: HeadSpec) -> bool:
    """True when a layout has names for everything that a head stores."""
    return bool(head.parts) and all(part in layout.parts for _, part in head.parts)


def _access(layout: NameMap, family: str) -> str:
    if family not in layout.families:
        return NO
    return "read, write" if writes(layout, family) else "read"


def holds(layout: NameMap, family: str, head: HeadSpec) -> bool:
    """True when plm writes a head of a family in a layout. A format made for one layout has no room for other names."""
    return writes(layout, family) and (has_names(layout, head) or not layout.formats)


def _head_access(layout: NameMap, family: str, head: HeadSpec) -> str:
    allowed = {"read": has_names(layout, head), "write": holds(layout, family, head)}
    return ", ".join(name for name, is_so in allowed.items() if is_so)


def _computes(backend: str, head: str) -> bool:
    return backend not in BY_PROGRAM or head in HEAD_PROGRAMS


def _first_line(backend: Backend) -> str:
    """What the module of a backend, or its package where it has one of its own, says of itself; read, not imported."""
    place = getattr(backend.load, "place", None) or f"{backend.load.__module__}:"
    home = ".".join(place.partition(":")[0].split(".")[:3])
    found = importlib.util.find_spec(home)
    if found is None or found.origin is None:
        return ""
    said = ast.get_docstring(ast.parse(Path(found.origin).read_text(encoding="utf-8"))) or ""
    line = said.partition("\n")[0]
    return (line.partition(": ")[2] or line).rstrip(".")


def _mark(is_so: bool) -> str:
    return YES if is_so else NO


def _code(names: Iterable[str]) -> list[str]:
    return [f"`{name}`" for name in names]


if __name__ == "__main__":
    write_text(PAGE, page())
