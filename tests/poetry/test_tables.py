"""The tables of the package are small, whole and documented."""

from __future__ import annotations

from importlib import resources

from plm.poetry.tables import read_object, read_rows, read_text

FOLDER = resources.files("plm").joinpath("assets", "poetry")


def test_tables_are_small_and_each_is_described() -> None:
    tables = [entry.name for entry in FOLDER.iterdir() if entry.name != "README.md"]
    readme = read_text("README.md")
    assert all(f"`{name}`" in readme for name in tables)
    assert sum(len(read_text(name).encode()) for name in tables) < 300_000


def test_rows_have_no_empty_fields_and_objects_are_objects() -> None:
    for entry in FOLDER.iterdir():
        if entry.name.endswith(".tsv"):
            assert all(all(fields) and len(fields) in (2, 3) for fields in read_rows(entry.name)), entry.name
        elif entry.name.endswith(".json"):
            assert read_object(entry.name)
