"""The site: its table of what fits what is current and true, its reference is complete, it loads nothing from afar."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

import plm
from docs.tools import compatibility
from docs.tools.outside_links import with_links_outside
from plm.checkpoints.loading import load_model
from plm.checkpoints.maps import MAPS
from plm.checkpoints.saving import save_model
from plm.heads.head import HEADS
from plm.models.families import FAMILIES
from tests.golden_files import REPOSITORY
from tests.tiny_models import FAMILY_NAMES, tiny_model

DOCS = REPOSITORY / "docs"
REFERENCE = DOCS / "reference"
WRITTEN = [
    (family, head, name)
    for family in FAMILY_NAMES
    for head in FAMILIES.get(family).heads
    for _, table in MAPS.items()
    for name in table.layouts
    if compatibility.holds(table, family, HEADS.get(head))
]


def test_the_table_of_what_fits_what_is_current() -> None:
    held = (DOCS / "compatibility.md").read_text(encoding="utf-8")
    assert held == compatibility.page(), "run python -m docs.tools.compatibility"


@pytest.mark.parametrize(("family", "head", "layout"), WRITTEN, ids=str)
def test_what_the_table_says_is_written_is_written_and_read_back(
    family: str, head: str, layout: str, tmp_path: Path
) -> None:
    changes = {"layer_norm_eps": 1e-12} if layout == "google-tf1" else {}
    model = tiny_model(family, head, **changes)
    save_model(model, tmp_path / "written", layout=layout)
    again, report = load_model(tmp_path / "written", heads=(head,))
    assert not report.missing
    mine, read = model.state_dict(), again.state_dict()
    assert mine.keys() == read.keys()
    assert all(torch.equal(mine[name], read[name]) for name in mine)


def test_heads_without_names_in_a_layout_are_listed_as_such() -> None:
    google, hugging_face = MAPS.get("google-tf1"), MAPS.get("huggingface")
    crf, words = HEADS.get("crf_token_classification"), HEADS.get("masked_lm")
    assert [compatibility.has_names(one, crf) for one in (google, hugging_face)] == [False, True]
    assert [compatibility.has_names(one, words) for one in (google, hugging_face)] == [True, True]
    assert not compatibility.writes(MAPS.get("nvidia"), "bert")
    assert not compatibility.writes(hugging_face, "openai-gpt")


def public_packages() -> list[str]:
    """Packages that list public names, besides the command line."""
    names = [f"plm.{one.name}" for one in pkgutil.iter_modules(plm.__path__) if one.ispkg and one.name != "cli"]
    return ["plm", *(name for name in names if getattr(importlib.import_module(name), "__all__", ()))]


def described() -> set[str]:
    """What pages of the reference are about."""
    return {
        name
        for page in REFERENCE.glob("*.md")
        for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    }


@pytest.mark.parametrize("package", public_packages())
def test_every_package_with_public_names_is_in_the_reference(package: str) -> None:
    assert package in described() or any(name.startswith(f"{package}.") for name in described())


def test_everything_in_the_reference_exists() -> None:
    for name in described():
        pkgutil.resolve_name(name)


def test_every_page_has_a_place_in_the_navigation() -> None:
    navigation = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert set(re.findall(r"(\S+\.md)$", navigation, flags=re.MULTILINE)) == pages


@pytest.mark.parametrize(
    ("repo_url", "expected"),
    [
        ("", "its card (`plm/errors.py`), [a page](models.md), ![x](images/x.png)"),
        ("https://example.org/plm/", "its [card](https://example.org/plm/blob/HEAD/plm/errors.py#a), [a page]"),
    ],
)
def test_links_out_of_the_site_lead_to_the_repository_or_are_text(repo_url: str, expected: str) -> None:
    text = "its [card](../plm/errors.py#a), [a page](models.md), ![x](images/x.png)"
    assert with_links_outside(text, page=DOCS / "poet.md", docs=DOCS, repo_url=repo_url).startswith(expected)


def test_links_between_pages_of_the_site_stay_as_they_are() -> None:
    text = "[Models](../models.md), [folder](../../configs)"
    made = with_links_outside(text, page=REFERENCE / "plm.md", docs=DOCS, repo_url="https://example.org/plm")
    assert made == "[Models](../models.md), [folder](https://example.org/plm/tree/HEAD/configs)"


def as_markdown(text: str, *names: str) -> str:
    """A docstring as the reference shows it; names: of the arguments."""
    pytest.importorskip("griffe")
    from docs.tools.docstrings import as_markdown as convert

    return convert(text, names=names)


def test_lines_of_a_docstring_about_arguments_become_a_list() -> None:
    text = "What it does.\n\nmask: (batch, length).\n    True = live.\nids, types: of it.\nReturns nothing."
    *_, items, rest = as_markdown(text, "mask", "ids", "types").split("\n\n")
    assert items.strip().split("\n") == ["- `mask`: (batch, length).", "  True = live.", "- `ids, types`: of it."]
    assert rest == "Returns nothing."


def test_lines_of_a_docstring_about_something_else_stay_text() -> None:
    assert as_markdown("Source: a paper.", "mask") == "Source: a paper."


def test_signs_of_markdown_in_a_docstring_mean_nothing_outside_code() -> None:
    assert as_markdown("a *b* <s> `*c*` x_y") == r"a \*b\* &lt;s> `*c*` x\_y"


def test_indented_lines_and_examples_of_a_docstring_are_code() -> None:
    assert as_markdown("A tree:\n    a*b") == "A tree:\n\n    a*b"
    assert "```pycon\n>>> f(1)\n2\n```\n\nEnd." in as_markdown("So:\n\n>>> f(1)\n2\n\nEnd.")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site, built as `make docs` does."""
    if not all(map(find_spec, ("mkdocs", "material", "mkdocstrings"))):  # looked for and not imported: they warn
        pytest.skip('the site needs pip install "plm[docs]"')
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "REPO_URL": ""}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    loading = re.compile(
        r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?(?:https?:)?//|<link[^>]*href=["']?https?://"""
    )
    pages = list(site.rglob("*.html"))
    assert pages
    assert [page.name for page in pages if loading.search(page.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("package", ["plm", "plm.tokenizers", "plm.training", "plm.runs"])
def test_every_public_name_is_described(site: Path, package: str) -> None:
    page = (site / "reference" / package.rpartition(".")[2] / "index.html").read_text(encoding="utf-8")
    names = [name for name in importlib.import_module(package).__all__ if not name.startswith("__")]
    described = set(re.findall(r'id="([\w.]+)"', page))
    # A function in a module of its own name stands under that module.
    ends = {name: (f"{package}.{name}", f".{name}.{name}") for name in names}
    assert [name for name in names if not any(one.endswith(ends[name]) for one in described)] == []
