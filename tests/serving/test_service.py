"""Limits, time-outs, reload and shutdown of a running service, seen by clients."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from plm.errors import CheckpointError, ConfigError
from plm.serving import Client, ServiceError
from plm.serving.limits import Limits
from plm.serving.opening import Opened
from tests.serving.running import Echo, Letters, Running, serving, until


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as threads:
        yield threads


def figures(service: Running, name: str) -> dict[str, float]:
    """Lines of /metrics that begin with a name."""
    connection = HTTPConnection(service.url.removeprefix("http://"), timeout=30)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().split("\n")
    connection.close()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)}


def waiting(service: Running, count: int) -> Callable[[], bool]:
    """True when so many texts wait in the queue."""
    return lambda: figures(service, "plm_waiting_texts").get('plm_waiting_texts{model="echo"}') == count


def test_requests_of_many_clients_share_batches(pool: ThreadPoolExecutor) -> None:
    echo = Echo()
    with serving({"echo": echo.open}, limits=Limits(batch_tokens=100)) as service:
        echo.gate.clear()
        first = pool.submit(service.client.classify, "first")
        until(lambda: bool(echo.batches))
        others = [pool.submit(service.client.classify, f"text {number}") for number in range(10, 30)]
        until(waiting(service, 20))
        echo.gate.set()
        assert first.result()[0]["label"] == "first"
        assert [one.result()[0]["label"] for one in others] == [f"text {number}" for number in range(10, 30)]
        assert [len(batch) for batch in echo.batches] == [1, 14, 6]  # 100 tokens are 14 texts of 7
        assert figures(service, "plm_batch_texts_count") == {'plm_batch_texts_count{model="echo"}': 3}
        assert figures(service, "plm_tokens_total") == {'plm_tokens_total{model="echo"}': 5 + 20 * 7}
        counted = figures(service, "plm_requests_total")
        assert counted['plm_requests_total{path="/v1/classify",status="200"}'] == 21


def test_a_bad_text_does_not_spoil_the_batch_of_others(pool: ThreadPoolExecutor) -> None:
    echo = Echo()
    with serving({"echo": echo.open}) as service:
        echo.gate.clear()
        first = pool.submit(service.client.classify, "first")
        until(lambda: bool(echo.batches))
        bad, broken, good = (pool.submit(service.client.classify, text) for text in ("bad", "broken", "good"))
        until(waiting(service, 3))
        echo.gate.set()
        assert first.result()
        assert good.result()[0]["label"] == "good"
        with pytest.raises(ServiceError, match="is bad") as caught:
            bad.result()
        assert caught.value.status == 422
        with pytest.raises(ServiceError, match="the service failed") as caught:
            broken.result()
        assert caught.value.status == 500
        assert "secrets" not in str(caught.value)


def test_a_full_queue_says_when_to_come_again_and_the_client_does(pool: ThreadPoolExecutor) -> None:
    echo = Echo()
    with serving({"echo": echo.open}, limits=Limits(inputs=1, queue=1)) as service:
        echo.gate.clear()
        first = pool.submit(service.client.classify, "first")
        until(lambda: bool(echo.batches))
        second = pool.submit(service.client.classify, "second")
        until(waiting(service, 1))
        with pytest.raises(ServiceError, match="1 texts are waiting") as caught:
            service.client.classify("third")
        assert (caught.value.status, caught.value.retry_after) == (429, 1.0)
        patient = pool.submit(Client(service.url, retries=3).classify, "fourth")
        time.sleep(0.1)
        echo.gate.set()
        assert [one.result()[0]["label"] for one in (first, second, patient)] == ["first", "second", "fourth"]


def test_time_is_limited_and_what_is_given_up_is_not_computed(pool: ThreadPoolExecutor) -> None:
    echo = Echo()
    with serving({"echo": echo.open}, limits=Limits(timeout=0.3)) as service:
        echo.gate.clear()
        both = [pool.submit(service.client.classify, text) for text in ("first", "second")]
        for one in both:
            with pytest.raises(ServiceError, match=r"no answer within 0\.3 seconds") as caught:
                one.result()
            assert (caught.value.status, caught.value.kind) == (504, "timeout")
        assert waiting(service, 0)()
        echo.gate.set()
        assert service.client.classify("third")[0]["label"] == "third"
        assert sum(len(batch) for batch in echo.batches) <= 3


def test_who_hangs_up_leaves_the_queue(pool: ThreadPoolExecutor) -> None:
    echo = Echo()
    with serving({"echo": echo.open}) as service:
        echo.gate.clear()
        first = pool.submit(service.client.classify, "first")
        until(lambda: bool(echo.batches))
        gone = HTTPConnection(service.url.removeprefix("http://"))
        gone.request("POST", "/v1/classify", b'{"inputs": "gone"}', {"Content-Type": "application/json"})
        until(waiting(service, 1))
        gone.close()
        until(waiting(service, 0))
        echo.gate.set()
        first.result()
        assert echo.batches == [["first"]]


def test_who_stops_reading_a_stream_stops_the_writer() -> None:
    letters = Letters(free=1)
    with serving({"a": lambda: Opened(doors={}, writer=letters)}) as service:
        pieces = service.client.stream("x", options={"max_new_tokens": 2000})
        assert next(pieces) == "a"
        pieces.close()  # type: ignore[attr-defined]
        until(lambda: bool(figures(service, 'plm_requests_total{path="/v1/generate"')))  # the hang-up was noticed
        letters.gate.set()
        until(lambda: letters.ended == 1)
        assert letters.pieces <= 2
        assert service.client.generate("x", options={"max_new_tokens": 3})[0][0]["text"] == "abc"


def test_pieces_come_as_they_are_made() -> None:
    letters = Letters(free=1)
    with serving({"a": lambda: Opened(doors={}, writer=letters)}) as service:
        pieces = service.client.stream("x", options={"max_new_tokens": 3})
        assert next(pieces) == "a"
        rest: list[str] = []
        thread = threading.Thread(target=lambda: rest.extend(pieces))
        thread.start()
        time.sleep(0.05)
        assert not rest
        letters.gate.set()
        thread.join(10)
        assert rest == ["b", "c"]


def test_a_stream_ends_when_its_time_is_over() -> None:
    letters = Letters(free=1)
    with serving({"a": lambda: Opened(doors={}, writer=letters)}, limits=Limits(timeout=0.3)) as service:
        pieces = service.client.stream("x")
        assert next(pieces) == "a"
        with pytest.raises(ServiceError, match="the time is over"):
            list(pieces)
        letters.gate.set()


def test_a_text_that_is_given_up_is_not_written_to_its_end(folders: dict[str, Path]) -> None:
    limits = Limits(timeout=0.3, new_tokens=100_000)
    with serving({"a": folders["stories"]}, limits=limits) as service:
        with pytest.raises(ServiceError, match=r"no answer within 0\.3 seconds"):
            service.client.generate("good", options={"max_new_tokens": 100_000, "overflow": "slide"})
        until(lambda: sum(figures(service, "plm_busy_seconds_total").values()) > 0)  # the thread is free again


def test_prompts_with_the_same_options_share_a_batch(pool: ThreadPoolExecutor) -> None:
    letters = Letters()
    with serving({"a": lambda: Opened(doors={}, writer=letters)}) as service:
        letters.gate.clear()
        first = pool.submit(service.client.generate, "first")
        until(lambda: bool(letters.batches))
        ask = service.client.generate
        others = [pool.submit(ask, text, options={"max_new_tokens": 2}) for text in ("b", "c")]
        others.append(pool.submit(ask, "d", options={"max_new_tokens": 3}))
        until(lambda: figures(service, "plm_waiting_texts") == {'plm_waiting_texts{model="a"}': 3})
        letters.gate.set()
        assert [one.result()[0][0]["text"] for one in others] == ["ab", "ab", "abc"]
        first.result()
        assert sorted(map(sorted, letters.batches)) == [["b", "c"], ["d"], ["first"]]


def test_reloading_drops_nothing_and_later_requests_see_the_new_model(pool: ThreadPoolExecutor) -> None:
    echo = Echo()
    with serving({"echo": echo.open}, token="a-secret-token") as service:
        echo.gate.clear()
        before = [pool.submit(service.client.classify, str(number)) for number in range(5)]
        until(lambda: sum(map(len, echo.batches)) > 0)
        assert service.client.reload() == ["echo"]
        after = pool.submit(service.client.classify, "after")
        until(lambda: len(echo.batches) > 1)
        echo.gate.set()
        assert {one.result()[0]["version"] for one in before} <= {1, 2}
        assert before[0].result()[0]["label"] == "0"
        assert after.result()[0]["version"] == 2
        assert echo.opened == 2


def test_a_reload_that_fails_leaves_the_old_models_at_work() -> None:
    echo = Echo()

    def once() -> Opened:
        if echo.opened:
            raise CheckpointError("model.safetensors: is damaged")
        return echo.open()

    with serving({"echo": once}, token="a-secret-token") as service:
        with pytest.raises(ServiceError) as caught:
            service.client.reload()
        assert caught.value.status == 500
        assert service.client.classify("x")[0]["version"] == 1


def test_models_that_cannot_be_loaded_are_told_by_ready() -> None:
    def broken() -> Opened:
        raise CheckpointError("model.safetensors: is damaged")

    with serving({"echo": broken}) as service:
        assert not service.client.is_ready()
        with pytest.raises(ServiceError, match="being loaded") as caught:
            service.client.classify("x")
        assert caught.value.status == 503


def test_at_the_end_everything_that_was_accepted_is_answered(pool: ThreadPoolExecutor) -> None:
    echo, letters = Echo(), Letters()
    models: dict[str, Any] = {"echo": echo.open, "letters": lambda: Opened(doors={}, writer=letters)}
    with serving(models) as service:
        echo.gate.clear()
        asked = [pool.submit(service.client.classify, str(number)) for number in range(20)]
        until(lambda: bool(echo.batches))
        until(lambda: figures(service, 'plm_waiting_texts{model="echo"}').popitem()[1] + len(echo.batches[0]) == 20)
        stream = service.client.stream("x", options={"max_new_tokens": 200})
        next(stream)
        ending = pool.submit(service.stop)
        time.sleep(0.1)
        echo.gate.set()
        assert [one.result()[0]["label"] for one in asked] == [str(number) for number in range(20)]
        assert len(list(stream)) == 199
        ending.result()
        with pytest.raises(ServiceError, match="no answer from the service at 127") as caught:
            service.client.classify("late")
        assert caught.value.kind == "unreachable"


TOKEN = "a-secret-token"


def test_only_who_has_the_token_is_answered() -> None:
    with serving({"echo": Echo().open}, token=TOKEN) as service:
        assert service.client.classify("x")
        for wrong in (None, "another-token", TOKEN + "x", "t\u00f6ken"):
            stranger = Client(service.url, token=wrong)
            with pytest.raises(ServiceError, match="Authorization: Bearer") as caught:
                stranger.classify("x")
            assert caught.value.status == 401
            with pytest.raises(ServiceError):
                stranger.reload()
            assert stranger.is_ready()
        connection = HTTPConnection(service.url.removeprefix("http://"))
        for path, status in {
            "/metrics": 401,
            "/v1/models": 401,
            "/": 200,
            "/health": 200,
            "/v1/../health": 401,
        }.items():
            connection.request("GET", path)
            response = connection.getresponse()
            assert (path, response.status) == (path, status)
            response.read()
        connection.close()


def test_a_service_of_this_machine_is_not_reached_by_other_names() -> None:
    with serving({"echo": Echo().open}, hosts=("localhost", "127.0.0.1", "::1")) as service:
        connection = HTTPConnection(service.url.removeprefix("http://"))
        names = {"localhost:80": 200, "LOCALHOST": 200, "[::1]:9": 200, "evil.example": 421, "": 421, "[::1": 200}
        for host, status in names.items():
            connection.request("GET", "/health", headers={"Host": host})
            response = connection.getresponse()
            assert (host, response.status) == (host, status)
            response.read()
        connection.close()


def test_bodies_that_come_in_chunks_are_limited_too() -> None:
    with serving({"echo": Echo().open}, limits=Limits(body_bytes=1000)) as service:
        connection = HTTPConnection(service.url.removeprefix("http://"))
        connection.request("POST", "/v1/classify", iter([b"x" * 600] * 2), {"Content-Type": "application/json"})
        assert connection.getresponse().status == 413
        connection.close()


def test_bodies_that_do_not_come_are_given_up() -> None:
    with serving({"echo": Echo().open}, limits=Limits(timeout=0.2)) as service:
        host, port = service.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
            assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_the_page_loads_nothing_from_elsewhere() -> None:
    with serving({"echo": Echo().open}) as service:
        connection = HTTPConnection(service.url.removeprefix("http://"))
        for path in ("/", "/static/index.html"):
            connection.request("GET", path)
            response = connection.getresponse()
            policy = response.getheader("Content-Security-Policy", "")
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            response.read()
        connection.close()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"timeout": 0.0}, "timeout"),
        ({"batch_wait": 100.0}, "batch_wait: expected seconds from 0 to below timeout"),
        ({"inputs": 2000}, "a request of 2000 texts would never fit a queue of 1024"),
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Limits(**wrong)
