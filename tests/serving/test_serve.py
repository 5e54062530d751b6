"""`plm serve`: a process that is started, reloaded and ended as operators do, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import IO

import pytest
from click.testing import CliRunner

from plm.cli import main
from plm.cli.serve import TOKEN_VARIABLE, named_models
from plm.errors import ConfigError
from plm.serving import Client
from plm.serving.server import listen
from tests.serving.running import until
from tests.tiny_folders import tiny_folder


def url_of(stderr: IO[str]) -> str:
    """What the process says when it listens."""
    line = stderr.readline()
    found = re.search(r"reviews at (http://\S+)", line)
    assert found, line
    return found[1]


def asking(url: str, texts: list[str]) -> HTTPConnection:
    """A connection on which a request was sent and not answered yet."""
    connection = HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.request("POST", "/v1/classify", json.dumps({"inputs": texts}), {"Content-Type": "application/json"})
    return connection


def answers_on(connection: HTTPConnection) -> list[dict[str, str]]:
    """What comes back on such a connection."""
    with closing(connection):
        answers: list[dict[str, str]] = json.loads(connection.getresponse().read())["answers"]
        return answers


def test_hup_reads_the_model_again_and_term_ends_when_all_is_answered(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "reviews", "bert", "sequence_classification")
    command = [sys.executable, "-m", "plm", "serve", str(folder), "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        try:
            url = url_of(process.stderr)
            client = Client(url)
            until(client.is_ready)
            before = client.classify("good")
            assert client.classify("good") == before
            (tmp_path / "new").mkdir()
            tiny_folder(tmp_path / "new" / "reviews", "bert", "sequence_classification", seed=7)
            for file in (tmp_path / "new" / "reviews").iterdir():
                file.replace(folder / file.name)
            process.send_signal(signal.SIGHUP)
            until(lambda: client.classify("good") != before)
            asked = [asking(url, ["good film"] * 100) for _ in range(8)]
            assert client.is_ready()  # so those before have been accepted
            process.send_signal(signal.SIGTERM)
            assert [len(answers_on(one)) for one in asked] == [100] * 8
            assert process.wait(30) == 0
        finally:
            process.kill()


def refused(*arguments: str, variables: dict[str, str] | None = None) -> str:
    """What the command says when it does not start."""
    result = CliRunner(env={TOKEN_VARIABLE: None, **(variables or {})}).invoke(main, ["serve", *arguments])
    assert result.exit_code != 0
    return result.output


def test_what_would_be_open_to_everybody_is_not_started_by_mistake(tmp_path: Path) -> None:
    assert "can be reached from elsewhere" in refused("model", "--host", "0.0.0.0")
    assert "8 or more letters" in refused("model", variables={TOKEN_VARIABLE: "short"})
    assert "8 or more letters" in refused("model", variables={TOKEN_VARIABLE: ""})
    (tmp_path / "token").write_text("zwei Wörter\n", encoding="utf-8")
    assert "8 or more letters" in refused("model", "--token-file", str(tmp_path / "token"))


def test_models_that_cannot_be_loaded_end_the_process_with_the_reason(tmp_path: Path) -> None:
    assert f"{tmp_path}" in refused(str(tmp_path), "--port", "0")
    assert "timeout: expected seconds above 0" in refused(str(tmp_path), "--timeout", "0")


def test_options_of_ray_serve_want_ray_serve() -> None:
    assert "say --engine ray" in refused("model", "--replicas", "2")


def test_connections_send_at_once() -> None:
    with (
        listen("127.0.0.1", 0) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_models_are_named_by_their_folders_or_as_said(tmp_path: Path) -> None:
    (tmp_path / "reviews").mkdir()
    assert named_models((f"{tmp_path}/reviews/", "ner=runs/x=y", "someone/bert")) == {
        "reviews": f"{tmp_path}/reviews/",
        "ner": "runs/x=y",
        "someone/bert": "someone/bert",
    }
    with pytest.raises(ConfigError, match="two models are called 'a'"):
        named_models(("a=x", "a=y"))
    with pytest.raises(ConfigError, match="expected FOLDER or NAME=FOLDER"):
        named_models(("=x",))


def test_without_its_packages_the_command_says_which_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("plm.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert 'pip install "plm[serve]"' in refused("model")
