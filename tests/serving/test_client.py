"""The client says what is wrong in one kind of error, whoever answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from plm.errors import ConfigError, PlmError
from plm.serving import Client, ServiceError


@contextmanager
def answering(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[tuple[str, list[str]]]:
    """A server that gives these answers, the last one for good, and lists the paths it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.path)
            status, headers, body = answers[min(len(asked), len(answers)) - 1]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


BUSY = (429, {"Retry-After": "0"}, b'{"error": {"type": "overloaded", "message": "later"}}')
GOOD = (200, {}, b'{"answers": [{"label": "x", "score": 1.0}]}')


def test_an_overloaded_service_is_asked_again_as_often_as_allowed() -> None:
    with answering(BUSY, BUSY, GOOD) as (url, asked):
        assert Client(url, retries=2).classify("x")[0]["label"] == "x"
        assert len(asked) == 3
    with answering(BUSY) as (url, asked):
        with pytest.raises(ServiceError, match="later") as caught:
            Client(url, retries=1).classify("x")
        assert (len(asked), caught.value.kind, caught.value.retry_after) == (2, "overloaded", 0.0)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((502, {}, b"<html>Bad Gateway</html>"), "HTTP status 502"),
        ((500, {}, b"[]"), "HTTP status 500"),
        ((500, {}, b'{"error": 3}'), "HTTP status 500"),
        ((200, {}, b"<html>hello</html>"), "no answer from the service"),
        ((200, {"Content-Length": "100"}, b"{"), "no answer from the service"),
    ],
)
def test_answers_of_others_are_errors_too(answer: tuple[int, dict[str, str], bytes], message: str) -> None:
    with answering(answer) as (url, _), pytest.raises(ServiceError, match=message):
        Client(url).classify("x")


def test_a_stream_that_breaks_off_is_an_error_and_not_a_short_text() -> None:
    body = b'data: {"text": "a"}\n\ndata: {"text": "b"}\n\n'
    with answering((200, {}, body)) as (url, _):
        pieces: list[str] = []
        with pytest.raises(ServiceError, match="closed the connection in the middle"):
            pieces.extend(Client(url).stream("x"))
    with answering((200, {}, body + b"data: [DONE]\n\n")) as (url, _):
        assert list(Client(url).stream("x")) == ["a", "b"]


def test_a_path_before_the_endpoints_is_kept() -> None:
    with answering(GOOD) as (url, asked):
        Client(f"{url}/behind/a/proxy/").classify("x")
        assert asked == ["/behind/a/proxy/v1/classify"]


def test_nobody_there_is_an_error_of_plm() -> None:
    with pytest.raises(PlmError, match=r"no answer from the service at 127\.0\.0\.1:1"):
        Client("http://127.0.0.1:1").classify("x")


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://", ""])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"expected one as http://127\.0\.0\.1:8000"):
        Client(url)
