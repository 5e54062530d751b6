"""What `pip install` puts on disk: all modules, the recipes of configs/, the embedded models, the typing marker."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from importlib import metadata, resources
from pathlib import Path

import pytest

import plm
from tests.golden_files import REPOSITORY

SOURCES = ("plm", "configs", "setup.py", "setup.cfg", "pyproject.toml", "LICENSE", "README.md")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in a wheel that was built offline from a copy of the sources (a build leaves files beside them)."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        origin = REPOSITORY / name
        if origin.is_dir():
            shutil.copytree(origin, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif origin.exists():
            shutil.copy(origin, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(next(target.glob("*.whl"))) as archive:
        return set(archive.namelist())


def files_below(folder: Path, *suffixes: str) -> set[str]:
    """Paths relative to `folder`; those with one of the suffixes, or all."""
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix() for path in found if not suffixes or path.suffix in suffixes}


def test_wheel_has_every_module(wheel: set[str]) -> None:
    assert {f"plm/{name}" for name in files_below(REPOSITORY / "plm", ".py")} <= wheel


def test_wheel_has_the_typing_marker_and_the_licence(wheel: set[str]) -> None:
    assert "plm/py.typed" in wheel
    assert any(name.endswith("/licenses/LICENSE") for name in wheel)


def test_wheel_has_configs_as_a_package(wheel: set[str]) -> None:
    configs = {f"plm/configs/{name}" for name in files_below(REPOSITORY / "configs", ".json", ".toml", ".py")}
    assert configs
    assert configs <= wheel


@pytest.mark.parametrize("folder", ["assets", "serving/static"])
def test_wheel_has_the_data_files_of_the_package(wheel: set[str], folder: str) -> None:
    if not (REPOSITORY / "plm" / folder).is_dir():
        pytest.skip(f"no plm/{folder} in this build")
    assert {f"plm/{folder}/{name}" for name in files_below(REPOSITORY / "plm" / folder)} <= wheel


def test_wheel_has_nothing_else(wheel: set[str]) -> None:
    assert {name.split("/")[0] for name in wheel} == {"plm", f"plm-{plm.__version__}.dist-info"}


def test_configs_are_found_by_their_installed_name() -> None:
    """Holds for a wheel and for `pip install -e .`, which maps plm.configs to the folder configs/."""
    found = resources.files("plm.configs")
    assert {entry.name for entry in found.iterdir()} >= {path.name for path in (REPOSITORY / "configs").iterdir()}


def test_installed_version_is_the_version_of_the_source() -> None:
    assert metadata.version("plm") == plm.__version__
