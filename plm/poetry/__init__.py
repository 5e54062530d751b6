"""Chinese verse: characters, rhyme books, forms, and the check of a poem against them. Needs no torch."""

from __future__ import annotations

from plm.poetry.characters import is_han, normalize, parse_poem
from plm.poetry.checking import check
from plm.poetry.form_tables import FORMS, find_form, form_from_dict, form_of
from plm.poetry.forms import Form, Order
from plm.poetry.report import Report
from plm.poetry.request import PoemRequest
from plm.poetry.rhyme_books import Reading, RhymeBook
from plm.poetry.script import to_simplified, to_traditional

__all__ = [
    "FORMS",
    "Form",
    "Order",
    "PoemRequest",
    "Reading",
    "Report",
    "RhymeBook",
    "check",
    "find_form",
    "form_from_dict",
    "form_of",
    "is_han",
    "normalize",
    "parse_poem",
    "to_simplified",
    "to_traditional",
]
