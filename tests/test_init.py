"""`import plm` is cheap and leaves no traces, and its public names are where the table says."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import plm


def in_fresh_process(program: str) -> Any:
    """What a program prints as JSON, run by a Python that has imported nothing yet."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_import_loads_no_heavy_package() -> None:
    loaded = in_fresh_process("import plm, sys, json; print(json.dumps(sorted(sys.modules)))")
    heavy = {"torch", "numpy", "tokenizers", "safetensors", "huggingface_hub", "transformers", "tqdm", "click"}
    assert not heavy & set(loaded)
    assert {name for name in loaded if name.startswith("plm")} == {"plm", "plm.errors"}


def test_import_changes_nothing_outside_the_package() -> None:
    before, after = in_fresh_process("""
import json, locale, logging, os, random, signal, sys, warnings

def state():
    root = logging.getLogger()
    return [
        dict(os.environ), warnings.filters[:], root.handlers[:], root.level, sorted(root.manager.loggerDict),
        sys.path[:], sys.excepthook, signal.getsignal(signal.SIGINT), random.getstate(),
        locale.setlocale(locale.LC_ALL),
    ]

before = repr(state())
import plm
print(json.dumps([before, repr(state())]))
""")
    assert before == after


def test_tokenizers_need_no_torch() -> None:
    if not Path(plm.__file__).with_name("tokenizers").is_dir():
        pytest.skip("no tokenizers in this build")
    loaded = in_fresh_process("import plm.tokenizers, sys, json; print(json.dumps(sorted(sys.modules)))")
    assert "torch" not in loaded


def test_type_checkers_and_users_find_the_same_names() -> None:
    tree = ast.parse(Path(plm.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert {alias.name: node.module for node in imports for alias in node.names} == plm._HOMES


def test_every_public_name_is_listed_once_and_shown() -> None:
    assert len(set(plm.__all__)) == len(plm.__all__)
    assert set(plm._HOMES) < set(plm.__all__)
    assert set(plm.__all__) <= set(dir(plm))


@pytest.mark.parametrize("name", plm.__all__)
def test_public_name_can_be_imported(name: str) -> None:
    assert getattr(plm, name) is not None


def test_a_lazy_name_is_the_object_of_its_home() -> None:
    from plm.blocks.tap import Tap

    assert plm.Tap is Tap


def test_a_misspelt_name_gets_the_nearest_one() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'AutoModle'; did you mean 'AutoModel'\?"):
        getattr(plm, "AutoModle")  # noqa: B009 - a type checker would refuse plm.AutoModle
    with pytest.raises(ImportError, match="cannot import name 'Transformer'"):
        exec("from plm import Transformer")
