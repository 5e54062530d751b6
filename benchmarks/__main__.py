"""`python -m benchmarks NAME [options]`: run one measurement; without a name, list them."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks

# What measurements share.
_HELPERS = ("__main__", "load", "measure", "recipes", "sides")

NAMES = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name not in _HELPERS)


def main() -> None:
    """Run the module named by the first argument with the others."""
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        print("usage: python -m benchmarks NAME [options]; names:", ", ".join(NAMES))
        sys.exit(0 if len(sys.argv) < 2 else 2)
    name = sys.argv.pop(1)
    importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
