"""`python -m benchmarks NAME [options] [--save FILE]`: run one measurement; without a name, list them.

--save adds the lines that it prints to a file, benchmarks/results/NAME.jsonl by convention, for `plm bench`.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import shlex
import sys
from pathlib import Path

import benchmarks

# What measurements share.
_HELPERS = ("__main__", "gpu_bench", "load", "measure", "recipes", "saving", "sides")

NAMES = sorted(
    module.name
    for module in pkgutil.iter_modules(benchmarks.__path__)
    if module.name not in _HELPERS and not module.ispkg
)


def main() -> None:
    """Run the module named by the first argument with the others."""
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        print("usage: python -m benchmarks NAME [options] [--save FILE]; names:", ", ".join(NAMES))
        sys.exit(0 if len(sys.argv) < 2 else 2)
    name = sys.argv.pop(1)
    file = take_save(sys.argv)
    command = shlex.join(["python", "-m", "benchmarks", name, *sys.argv[1:]])
    module = importlib.import_module(f"benchmarks.{name}")
    with contextlib.ExitStack() as stack:
        if file is not None:
            from benchmarks.saving import saved_lines  # it needs torch, and a list of names does not

            stack.enter_context(saved_lines(file, command=command, about=(module.__doc__ or "").partition("\n")[0]))
        module.main()


def take_save(arguments: list[str]) -> Path | None:
    """The file of `--save FILE` or `--save=FILE`, which leave the arguments; None where they are not there."""
    for place, word in enumerate(arguments):
        option, is_joined, value = word.partition("=")
        if option != "--save":
            continue
        if not is_joined and place + 1 == len(arguments):
            raise SystemExit("--save needs a file")
        file = Path(value if is_joined else arguments[place + 1])
        del arguments[place : place + (1 if is_joined else 2)]
        return file
    return None


if __name__ == "__main__":
    main()
