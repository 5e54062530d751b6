"""The command line starts fast, explains itself, and tells errors in one line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import plm as package
from plm.cli import COMMANDS, main
from tests.cli.conftest import Plm
from tests.golden_files import REPOSITORY


def test_help_lists_all_commands_and_imports_no_torch() -> None:
    program = """
import sys
from click.testing import CliRunner
from plm.cli import main
result = CliRunner().invoke(main, ["--help"])
assert result.exit_code == 0
print(result.output)
print(sorted({"torch", "numpy", "tokenizers"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    *text, loaded = done.stdout.strip().splitlines()
    assert loaded == "[]"
    assert all(f"  {name} " in "\n".join(text) for name in COMMANDS)


def test_every_command_has_a_module_and_every_module_with_a_command_is_listed() -> None:
    modules = {
        path.stem.replace("_", "-")
        for path in (REPOSITORY / "plm" / "cli").glob("*.py")
        if "def command(" in path.read_text()
    }
    assert modules == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_explains_arguments_and_options(name: str, plm: Plm) -> None:
    result = plm(name, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")
    command = main.get_command(click.Context(main), name)
    assert command is not None
    options = [p for p in command.params if isinstance(p, click.Option)]
    assert [p.name for p in options if not p.help and p.name not in ("task", "backend", "dtype", "form")] == []


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "env"])
def test_help_shows_examples_that_the_command_can_parse(name: str, plm: Plm) -> None:
    examples = re.findall(rf"plm {name}(?: .*)?$", plm(name, "--help").stdout, re.MULTILINE)
    assert examples
    command = main.get_command(click.Context(main), name)
    assert command is not None
    for example in examples:
        words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', example.split(" > ")[0])]
        command.make_context(name, words[2:])  # raises a UsageError for an option that is not there


def test_python_dash_m_is_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "plm", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"plm, version {package.__version__}\n"


def test_an_error_is_one_line_on_standard_error_and_status_1(plm: Plm, tmp_path: Path) -> None:
    result = plm("inspect", tmp_path / "nothing")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert re.fullmatch(r"Error: .*no such file or folder.*\n", result.stderr)


def test_debugging_shows_the_traceback(plm: Plm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLM_DEBUG", "1")
    result = plm("inspect", tmp_path / "nothing")
    assert isinstance(result.exception, package.CheckpointError)


def test_a_misspelt_command_gets_the_nearest_one(plm: Plm) -> None:
    result = plm("inspekt", "x")
    assert result.exit_code == 2
    assert "did you mean 'inspect'?" in result.stderr


def test_ctrl_c_ends_with_130_and_without_traceback(plm: Plm, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("plm.cli.inspect.inspect", interrupt)
    result = plm("inspect", "x")
    assert result.exit_code == 130
    assert result.stderr == "interrupted\n"


def test_a_full_disk_is_an_error_without_traceback(plm: Plm, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(28, os.strerror(28), "model.safetensors")

    monkeypatch.setattr("plm.cli.inspect.inspect", fail)
    result = plm("inspect", "x")
    assert result.exit_code == 1
    assert "model.safetensors" in result.stderr


def test_env_shows_versions_without_secrets(plm: Plm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    result = plm("env", "--json")
    values = json.loads(result.stdout)
    assert values["plm"] == package.__version__
    assert values["python"] == sys.version.split()[0]
    assert values["torch"]
    assert values["HF_ENDPOINT"] == "https://mirror.example"
    assert "hf_secret" not in result.stdout
    assert f"plm: {package.__version__}\n" in plm("env").stdout
