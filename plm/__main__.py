"""`python -m plm` is the command `plm`."""

from __future__ import annotations

from plm.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
