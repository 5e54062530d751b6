"""`plm serve` on a Ray cluster: the same answers, from several processes, and a clean end."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

import plm
from plm.errors import ConfigError
from tests.serving.test_serve import answers_on, asking
from tests.tiny_folders import tiny_folder

pytest.importorskip("ray.serve", reason='needs "plm[ray]"')

from plm.serving import Client, ServiceError
from plm.serving.limits import Limits
from plm.serving.ray_engine import Replicas, ray_serving

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

TOKEN = "a-secret-token"
TEXTS = ["the good film", "bad", "the old book"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ModuleType]:
    """Ray on this machine, with a connection to it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = pytest.importorskip("ray")
    # 127.0.0.1: else Ray asks for a route to the network, to find its own address
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("ray") / "reviews", "bert", "sequence_classification")


# The next two come before the service that the others share: there is one application of plm in a cluster.
def test_models_that_cannot_be_loaded_are_told(cluster: ModuleType, tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"the replicas do not start: [\s\S]*CheckpointError: "),
        ray_serving({"a": str(tmp_path)}, port=0),
    ):
        pass


def test_term_ends_when_all_is_answered(cluster: ModuleType, folder: Path) -> None:
    options = ("--engine", "ray", "--replicas", "1:2", "--replica-cpus", "0.5", "--port", "0")
    command = [sys.executable, "-m", "plm", "serve", str(folder), *options]
    environment = os.environ | {"RAY_ADDRESS": cluster.get_runtime_context().gcs_address}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        try:
            url = next(found[1] for line in process.stderr if (found := re.search(r"reviews at (http://\S+)", line)))
            asked = [asking(url, ["good film"] * 100) for _ in range(8)]
            assert Client(url).is_ready()  # so those before have been accepted
            process.send_signal(signal.SIGTERM)
            assert [len(answers_on(one)) for one in asked] == [100] * 8
            process.stderr.read()
            assert process.wait(60) == 0
            with pytest.raises(ServiceError):
                Client(url).classify("late")
        finally:
            process.kill()


@pytest.fixture(scope="module")
def service(cluster: ModuleType, folder: Path) -> Iterator[str]:
    """Two replicas."""
    replicas = Replicas(2, 2, cpus=0.5)
    with ray_serving({"reviews": str(folder)}, replicas=replicas, port=0, token=TOKEN, limits=Limits(inputs=50)) as url:
        yield url


def asked(url: str, path: str) -> bytes:
    """The body of the answer to a GET."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
    body = connection.getresponse().read()
    connection.close()
    return body


def test_replicas_answer_as_the_pipeline_does(service: str, folder: Path) -> None:
    client = Client(service, token=TOKEN)
    expected = plm.pipeline("text-classification", folder)(TEXTS)
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: client.classify(TEXTS), range(24)))
    for answers in told:
        assert [one["label"] for one in answers] == [one["label"] for one in expected]
        assert [one["score"] for one in answers] == pytest.approx([one["score"] for one in expected], abs=1e-5)
    assert client.models()[0]["name"] == "reviews"


def test_every_replica_has_its_own_figures_and_limits(service: str) -> None:
    client = Client(service, token=TOKEN)
    for _ in range(20):
        client.classify("good")
    assert any(b"plm_requests_total" in asked(service, "/metrics") for _ in range(4))
    with pytest.raises(ServiceError, match="51 are more than 50 at once"):
        client.classify(["good"] * 51)


def test_the_gate_the_page_and_the_errors_are_those_of_one_process(service: str) -> None:
    assert b"<html" in asked(service, "/")
    assert json.loads(asked(service, "/health")) == {"status": "ok"}
    with pytest.raises(ServiceError, match="Authorization: Bearer"):
        Client(service).classify("good")
    with pytest.raises(ServiceError) as caught:
        Client(service, token=TOKEN).reload()  # would reach one replica alone
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("text", "expected"), [("3", (3, 3)), ("1:4", (1, 4)), ("4:1", None), ("0", None), ("a", None), ("1:2:3", None)]
)
def test_replicas_are_a_number_or_a_range(text: str, expected: tuple[int, int] | None) -> None:
    if expected is None:
        with pytest.raises(ConfigError, match="replicas: expected N or MIN:MAX"):
            Replicas.parse(text)
    else:
        assert (Replicas.parse(text).least, Replicas.parse(text).most) == expected
