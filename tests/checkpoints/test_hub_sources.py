"""The hub's real client against a hub on this machine: downloads, copies, refusals and broken connections."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from plm.checkpoints.hub import CONFIG_FILES, TOKENIZER_FILES
from tests.checkpoints.fake_hub import FakeHub, Files

FILES: Files = {
    "README.md": b"# a model",
    "config.json": b'{"model_type": "bert"}',
    "vocab.txt": b"[PAD]\n[UNK]\n",
    "tokenizer.json": b"{}",
    "model.safetensors": bytes(range(256)) * 40,
    "pytorch_model.bin": b"the same weights again",
    "tf_model.h5": b"and again",
    "onnx/model.onnx": b"and again",
    "onnx/config.json": b"{}",
}
USED = {"config.json", "vocab.txt", "tokenizer.json", "model.safetensors"}

CLIENT = """
import json, sys, time
from plm.checkpoints.hub import resolve
from plm.errors import PlmError

time.sleep = lambda seconds: None  # the hub's client waits between its tries
for line in sys.stdin:
    try:
        answer = [str(resolve(**json.loads(line))), ""]
    except PlmError as error:
        answer = ["", str(error)]
    print(json.dumps(answer), flush=True)
"""


class Answer(NamedTuple):
    """What one call of `resolve` in another process gave: a folder or the text of an error."""

    folder: Path
    error: str

    def read(self) -> Files:
        assert not self.error
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in files}


class Client:
    """Calls `resolve` in a process of its own: the hub's client reads the environment once, when it is imported."""

    def __init__(self, endpoint: str, home: Path, **settings: str) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGINGFACE_"))}
        quiet = dict.fromkeys(("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS"), "1")
        self.home = home
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by __exit__
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENT],
            env={**inherited, **quiet, "NO_PROXY": "*", "HF_ENDPOINT": endpoint, "HF_HOME": str(home), **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def __call__(self, name: str, **options: Any) -> Answer:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"name_or_path": name, **options}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, self.said()
        folder, error = json.loads(answer)
        return Answer(Path(folder), error)

    def said(self) -> str:
        """What the process wrote to stderr."""
        self.log.seek(0)
        return self.log.read()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.communicate()
        self.log.close()


@pytest.fixture(scope="module")
def server() -> Iterator[FakeHub]:
    with FakeHub() as served:
        yield served


@pytest.fixture
def hub(server: FakeHub) -> FakeHub:
    """A hub that forgot the tests before, with one model: `owner/model`."""
    server.reset()
    server.add("owner/model", FILES)
    return server


@pytest.fixture(scope="module")
def shared_client(server: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Client(server.endpoint, tmp_path_factory.mktemp("home")) as process:
        yield process


@pytest.fixture
def client(hub: FakeHub, shared_client: Client) -> Client:
    """A connected client with an empty cache."""
    shutil.rmtree(shared_client.home / "hub", ignore_errors=True)
    return shared_client


def test_one_weight_format_is_fetched_with_config_and_tokenizer(hub: FakeHub, client: Client) -> None:
    answer = client("owner/model")
    assert answer.read() == {name: FILES[name] for name in USED}
    assert sorted(hub.downloads) == sorted(USED)
    assert answer.folder.is_relative_to(client.home / "hub")  # HF_HOME holds


def test_a_second_load_needs_no_hub_and_a_connected_one_asks_it_once(hub: FakeHub, client: Client) -> None:
    first = client("owner/model")
    hub.requests.clear()
    with Client(hub.endpoint, client.home, HF_HUB_OFFLINE="1") as offline:
        assert offline("owner/model") == first
    assert client("owner/model", local_files_only=True) == first
    assert hub.requests == []
    assert client("owner/model") == first
    assert [method for method, _, _ in hub.requests] == ["GET"]


def test_a_hub_that_is_down_is_replaced_by_the_earlier_copy_with_a_warning(hub: FakeHub, client: Client) -> None:
    first = client("owner/model")
    with Client("http://127.0.0.1:9", client.home) as cut_off:
        assert cut_off("owner/model") == first
        assert "could not be fetched from http://127.0.0.1:9" in cut_off.said()
        assert f"using the copy in {first.folder}" in cut_off.said()
        assert "nothing can be fetched (owner/other: could not be" in cut_off("owner/other").error


def test_a_hub_that_never_answers_is_given_up(hub: FakeHub, client: Client) -> None:
    first = client("owner/model")
    hub.silence = 20
    with Client(hub.endpoint, client.home, HF_HUB_ETAG_TIMEOUT="1") as impatient:
        start = time.monotonic()
        assert impatient("owner/model") == first
        assert time.monotonic() - start < 10


def test_offline_without_a_copy_says_where_it_looked_and_what_to_do(hub: FakeHub, client: Client) -> None:
    with Client(hub.endpoint, client.home, HF_HUB_OFFLINE="1") as offline:
        error = offline("owner/model").error
    assert hub.requests == []
    assert error.startswith("owner/model: neither a folder here nor revision 'main'")
    assert str(client.home / "hub" / "models--owner--model") in error
    assert "HF_HUB_OFFLINE is set" in error
    assert "hf download owner/model" in error


def test_caches_elsewhere_are_honoured(hub: FakeHub, client: Client, tmp_path: Path) -> None:
    by_argument = client("owner/model", cache_dir=str(tmp_path / "argument"))
    assert by_argument.folder.is_relative_to(tmp_path / "argument")
    assert client("owner/model", cache_dir=str(tmp_path / "argument"), local_files_only=True) == by_argument
    with Client(hub.endpoint, client.home, HF_HUB_CACHE=str(tmp_path / "variable")) as other:
        assert other("owner/model").folder.is_relative_to(tmp_path / "variable")


def test_wanted_files_alone_are_fetched(hub: FakeHub, client: Client) -> None:
    tokenizer = client("owner/model", files=TOKENIZER_FILES)
    config = client("owner/model", files=CONFIG_FILES)
    pattern = client("owner/model", files=["*.md"])
    assert tokenizer.folder == config.folder == pattern.folder
    assert set(hub.downloads) == {"vocab.txt", "tokenizer.json", "config.json", "README.md"}
    nothing = client("owner/model", files=["merges.txt"])
    assert nothing.error.startswith("owner/model on the hub, revision 'main': none of merges.txt in the top folder")


def test_a_copy_without_weights_is_no_model(client: Client) -> None:
    client("owner/model", files=CONFIG_FILES)
    error = client("owner/model", local_files_only=True).error
    assert "no weights in a format that plm reads in the top folder (there: config.json)" in error


def test_shards_are_those_that_the_index_names(hub: FakeHub, client: Client) -> None:
    shards = {"model-00001-of-00002.safetensors": b"one", "model-00002-of-00002.safetensors": b"two"}
    files = {"config.json": b"{}", "model.safetensors.index.json": index_of(*shards), **shards}
    hub.add("owner/sharded", {**files, "model-00003-of-00003.safetensors": b"stale", "pytorch_model.bin": b"older"})
    sharded = client("owner/sharded")
    assert sharded.read() == files
    assert client("owner/sharded", local_files_only=True) == sharded


def test_an_index_that_names_files_elsewhere_is_refused(hub: FakeHub, client: Client) -> None:
    hub.add("owner/broken", {"model.safetensors.index.json": index_of("here", "gone"), "here": b"one"})
    hub.add("owner/hostile", {"model.safetensors.index.json": index_of("../../../passwd")})
    hub.add("owner/odd", {"model.safetensors.index.json": b'{"weight_map": []}'})
    assert "the index of the weights names gone, not there" in client("owner/broken").error
    assert "the index of the weights names ../../../passwd, not there" in client("owner/hostile").error
    assert "expected a 'weight_map' from tensor names to files" in client("owner/odd").error


def index_of(*shards: str) -> bytes:
    return json.dumps({"weight_map": {f"tensor{i}": shard for i, shard in enumerate(shards)}}).encode()


def test_a_subfolder_is_a_model_of_its_own(hub: FakeHub, client: Client) -> None:
    hub.add("owner/nested", {"small/config.json": b"{}", "small/model.safetensors": b"s", "model.safetensors": b"top"})
    nested = client("owner/nested", subfolder="small")
    assert nested.folder.name == "small"
    assert nested.read() == {"config.json": b"{}", "model.safetensors": b"s"}
    assert "in large/ (there: nothing)" in client("owner/nested", subfolder="large").error


def test_revisions_are_kept_apart_and_a_cached_commit_asks_nothing(hub: FakeHub, client: Client) -> None:
    commit = hub.add("owner/model", {"config.json": b"{}", "model.safetensors": b"of the branch"}, revision="branch/x")
    branch = client("owner/model", revision="branch/x")
    assert branch.read()["model.safetensors"] == b"of the branch"
    assert client("owner/model").read()["model.safetensors"] == FILES["model.safetensors"]
    assert "the model has no revision 'v9'" in client("owner/model", revision="v9").error
    hub.requests.clear()
    assert client("owner/model", revision=commit) == branch
    assert hub.requests == []


def test_a_moved_branch_is_fetched_again(hub: FakeHub, client: Client) -> None:
    old = client("owner/model")
    hub.add("owner/model", FILES | {"model.safetensors": b"trained further"})
    new = client("owner/model")
    assert new.folder != old.folder
    assert new.read()["model.safetensors"] == b"trained further"


def test_refusals_say_the_way_out(hub: FakeHub, client: Client) -> None:
    missing = client("owner/missing").error
    assert missing.startswith(f"owner/missing: neither a folder here nor a model that {hub.endpoint} shows you")
    assert "check the spelling" in missing
    assert "not a name that a hub allows" in client("owner/--").error
    hub.gated.add("owner/model")
    assert "access has to be granted to you on the model's page first" in client("owner/model").error
    hub.gated.clear()
    hub.vanished.add("vocab.txt")
    assert "lists a file that it does not have" in client("owner/model").error


def test_tokens_are_sent_as_asked(hub: FakeHub, client: Client) -> None:
    hub.token = "hf_right"
    assert client("owner/model", token="hf_right", files=["config.json"]).error == ""
    with Client(hub.endpoint, client.home, HF_TOKEN="hf_right") as logged_in:
        assert logged_in("owner/model", files=["vocab.txt"]).error == ""
        assert {token for _, _, token in hub.requests} == {"Bearer hf_right"}
        assert "pass token= or set HF_TOKEN" in logged_in("owner/model", token=False).error
        refused = logged_in("owner/model", token="hf_wrong").error
        assert "refused the token" in refused
        assert "hf_wrong" not in refused + logged_in.said()


def test_a_download_that_breaks_off_once_is_made_good(hub: FakeHub, client: Client) -> None:
    hub.cuts["model.safetensors"] = 1
    answer = client("owner/model")
    if answer.error:  # clients before 2.0 try again only when asked again
        answer = client("owner/model")
    assert answer.read()["model.safetensors"] == FILES["model.safetensors"]
    assert hub.downloads.count("model.safetensors") == 2


def test_half_a_file_is_never_accepted(hub: FakeHub, client: Client) -> None:
    hub.cuts["model.safetensors"] = 100
    assert client("owner/model").error.startswith("owner/model: could not be fetched")
    assert "no weights in a format that plm reads" in client("owner/model", local_files_only=True).error
    half = len(FILES["model.safetensors"]) // 2
    assert all(path.stat().st_size < half for path in client.home.rglob("*") if path.is_file())
    hub.cuts.clear()
    assert client("owner/model").read()["model.safetensors"] == FILES["model.safetensors"]
