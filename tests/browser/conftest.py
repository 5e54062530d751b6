"""A browser, the service with canned models, and a page that may say nothing on its console.

Skipped with a message where playwright, a browser or what the service needs is missing; `make test-browser` installs
the first two.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.canned import Canned

# A browser of the system comes first; PLM_BROWSER names another one; playwright's own is the last resort.
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OpenPage = Callable[..., Any]


def _needed(module: str) -> Any:
    return pytest.importorskip(module, reason=f"{module} is not installed; see make test-browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    playwright = _needed("playwright.sync_api")
    with playwright.sync_playwright() as running:
        own = Path(running.chromium.executable_path)
        named = os.environ.get("PLM_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
        if named is None and not own.exists():
            pytest.skip("no Chromium of the system, of playwright or named by PLM_BROWSER; see make test-browser")
        launched = running.chromium.launch(executable_path=named)
        yield launched
        launched.close()


@pytest.fixture
def canned() -> Canned:
    """The models behind the page."""
    return Canned()


@pytest.fixture
def service(browser: Any, canned: Canned) -> Iterator[str]:
    """The address of a running service; without a browser there is no need of one."""
    for module in ("fastapi", "uvicorn"):
        _needed(module)
    from tests.browser.service import free_port, served

    with served({"canned": canned.opened}, port=free_port()) as address:
        yield address
        canned.hurry.set()


@pytest.fixture
def open_page(browser: Any) -> Iterator[OpenPage]:
    """Open an address: open_page(address, locale=..., width=...). No page may log an error."""
    contexts, faults = [], []

    def opened(address: str, *, locale: str = "zh-CN", width: int = 1200, scheme: str = "light") -> Any:
        context = browser.new_context(locale=locale, viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(f"{said.type}: {said.text}") if _is_fault(said) else None)
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


def _is_fault(said: Any) -> bool:
    """Errors and warnings, but for requests that fail: the browser logs them by itself, and the page tells them."""
    return said.type in ("error", "warning") and not said.text.startswith("Failed to load resource")
