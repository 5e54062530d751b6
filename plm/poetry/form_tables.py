"""The forms of plm/assets/poetry/forms.json, and how to add one.

FORMS.add("忆江南", form_from_dict({
    "name": "忆江南",
    "orders": {"正体": {"lines": ["平中仄", "中仄仄平平", "中仄中平平仄仄", "中平中仄仄平平", "中仄仄平平"],
                       "rhymes": [2, 4, 5]}},
}))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from plm.errors import ConfigError
from plm.poetry.forms import Fault, Form, Licence, Order
from plm.poetry.script import to_simplified
from plm.poetry.tables import read_object
from plm.registry import Registry

FORMS: Final[Registry[Form]] = Registry("verse form")
"""Forms that are known by name; add your own."""


def find_form(name: str) -> Form:
    """The registered form with this name, title or alias, in either script: "七绝", "七言絕句" or "qijue".

    Raises UnknownNameError listing the names.
    """
    for registered, form in FORMS.items():
        if not {name, to_simplified(name)}.isdisjoint((registered, form.name, form.title, *form.aliases)):
            return form
    return FORMS.get(name)  # raises the error that lists what is known


def form_of(lines: Sequence[str]) -> Form | None:
    """The first registered form whose lines have the lengths of these, or None."""
    lengths = tuple(map(len, lines))
    return next((form for _, form in FORMS.items() if form.lengths == lengths), None)


def form_from_dict(values: Mapping[str, Any]) -> Form:
    """A form from a table.

    values: "name" and "orders"; if it likes "title", "aliases" and "line_length". An order has "rhymes" (line numbers
        from 1), "lines" and if it likes a "share" (of the orders that people choose). A line is a pattern of 平, 仄 and
        中 or, where there is a line_length of 5 or 7, one of the types T0 to T3.
    Raises ConfigError when the lines of a form contradict each other.
    """
    length = str(values.get("line_length", ""))
    return Form(
        name=values["name"],
        title=values.get("title", values["name"]),
        aliases=tuple(values.get("aliases", ())),
        orders=tuple(_order(name, order, length) for name, order in values["orders"].items()),
        licences=_licences(length),
        faults=_faults(length),
    )


@cache
def _tables() -> dict[str, Any]:
    return read_object("forms.json")


def _order(name: str, values: Mapping[str, Any], length: str) -> Order:
    types = _tables()["line_types"]
    lines = [(line, types[line]) if line in types else ("", {length: line}) for line in values["lines"]]
    for line, patterns in lines:
        if length not in patterns:
            raise ConfigError(
                f"order {name}: {line} is for lines of {' or '.join(patterns)}, line_length is {length or 0}"
            )
    return Order(
        name=name,
        patterns=tuple(patterns[length] for _, patterns in lines),
        rhymes=tuple(values["rhymes"]),
        types=tuple(line for line, _ in lines),
        share=float(values.get("share", 1.0)),
    )


def _licences(length: str) -> tuple[Licence, ...]:
    return tuple(
        Licence(row["name"], row["meaning"], tuple(row["on"]), tuple(row["patterns"][length]))
        for row in _tables()["licences"]
        if length in row["patterns"]
    )


def _faults(length: str) -> tuple[Fault, ...]:
    return tuple(
        Fault(row["name"], row["meaning"], row["on"], row["patterns"][length])
        for row in _tables()["faults"]
        if length in row["patterns"]
    )


for _values in _tables()["forms"]:
    FORMS.add(_values["name"], form_from_dict(_values))
