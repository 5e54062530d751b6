"""The files of the page, without a browser: nothing from elsewhere, nothing inline, all texts in both languages."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.golden_files import REPOSITORY

STATIC = REPOSITORY / "plm" / "serving" / "static"
FILES = sorted(STATIC.iterdir())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
PAGE = (STATIC / "index.html").read_text(encoding="utf-8")
WORDS = (STATIC / "words.js").read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Collects (tag, attributes) of the page, and the text between."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(PAGE)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def keys(language: str) -> list[str]:
    """The keys of words.js in one language."""
    table = WORDS.partition(f"const {language} = {{")[2].partition("\n};")[0]
    return re.findall(r'^  "?([\w.-]+)"?:', table, flags=re.MULTILINE)


def test_both_languages_have_the_same_texts() -> None:
    assert len(set(keys("zh"))) == len(keys("zh")) > 100
    assert keys("zh") == keys("en")


def test_texts_have_the_same_blanks_in_both_languages() -> None:
    blanks = [sorted(re.findall(r"\{(\w+)\}", text)) for text in re.findall(r':\s+"([^"]*)",', WORDS)]
    half = len(blanks) // 2
    assert len(blanks) == 2 * len(keys("zh"))
    assert blanks[:half] == blanks[half:]


def test_every_text_is_used_and_every_used_text_exists() -> None:
    sources = PAGE + "".join(path.read_text(encoding="utf-8") for path in SCRIPTS if path.name != "words.js")
    said = set(re.findall(r'data-say(?:-[a-z-]+)?="([\w.-]+)"', PAGE)) | set(re.findall(r'say\("([\w.-]+)"', sources))
    assert said <= set(keys("zh"))
    families = tuple(re.findall(r"`([a-z]+\.)(?:[a-z]+\.)?\$\{", sources))  # `task.${name}` says a family of texts
    unused = [key for key in keys("zh") if f'"{key}"' not in sources and not key.startswith(families)]
    assert unused == []


def test_the_page_holds_no_script_style_or_handler_of_its_own() -> None:
    for tag, attributes in Tags().tags:
        assert tag != "style"
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        assert tag != "script" or attributes["src"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_names_no_other_host(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"(?:https?:)?//[a-z0-9]+\.[a-z][^\s\"']*", text.replace("http://www.w3.org/2000/svg", "")) == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_never_makes_markup_of_text(path: Path) -> None:
    makers = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    assert re.findall(makers, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_imports_of_a_script_are_files_beside_it(path: Path) -> None:
    for name in re.findall(r'from "([^"]+)"', path.read_text(encoding="utf-8")):
        assert (STATIC / name).is_file(), f"{name} is imported"


def test_files_that_the_page_names_exist() -> None:
    named = [attributes.get("src") or attributes.get("href") for _, attributes in Tags().tags]
    files = [name for name in named if name and not name.startswith("#")]
    assert sorted(files) == ["static/app.js", "static/favicon.svg", "static/style.css"]
    assert all((STATIC / name.removeprefix("static/")).is_file() for name in files)


def test_every_field_of_the_page_has_a_label() -> None:
    tags = Tags().tags
    labelled = {attributes.get("for") for tag, attributes in tags if tag == "label"}
    for tag, attributes in tags:
        if tag in ("input", "select", "textarea") and attributes.get("type") not in ("radio", "checkbox"):
            assert attributes["id"] in labelled
