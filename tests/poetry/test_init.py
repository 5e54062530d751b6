"""`plm.poetry` is light: it needs nothing but the standard library."""

from __future__ import annotations

import subprocess
import sys


def test_importing_it_loads_no_torch_nor_numpy() -> None:
    code = "import sys, plm.poetry, plm.poetry.plan; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
