"""The page at /, which asks the endpoints: static files that load nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from plm.errors import optional_import
from plm.serving.gate import Message, Receive, Send

if TYPE_CHECKING:
    import fastapi
    import fastapi.responses
    import fastapi.staticfiles
else:
    fastapi = optional_import("fastapi", extra="serve", purpose="plm serve")
    optional_import("fastapi.responses", extra="serve", purpose="plm serve")
    optional_import("fastapi.staticfiles", extra="serve", purpose="plm serve")

FOLDER = Path(__file__).parent / "static"

# The page may load scripts, styles and pictures from this service alone, and run nothing that stands in a text.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class _Static(fastapi.staticfiles.StaticFiles):
    """Files with the headers of the page."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *((name.lower().encode(), value.encode()) for name, value in HEADERS.items()),
                ]
            await send(message)

        await super().__call__(scope, receive, adding)


def add_page(app: fastapi.FastAPI) -> None:
    """Serve the page at / and its files below /static."""

    async def page() -> Any:
        """The page."""
        return fastapi.responses.FileResponse(FOLDER / "index.html", headers=HEADERS)

    app.get("/", include_in_schema=False)(page)
    app.mount("/static", _Static(directory=FOLDER))
