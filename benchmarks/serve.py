"""A classifier behind HTTP for many clients: `plm serve` against itself without batches, and against transformers.

    python -m benchmarks serve [--clients 64] [--seconds 6] [--rounds 3] [--texts dev.tsv] [--model FOLDER]
    python -m benchmarks serve --overload 20          ten times the clients that the queue has room for
    python -m benchmarks serve --terminate            SIGTERM under load
    python -m benchmarks serve --poet FOLDER          a 七绝 of 8 candidates, with 1 and 2 threads

Real uvicorn servers, each in a process of its own, on the loopback device. The peer is FastAPI with a pipeline of
transformers in a pool of threads, one request at a time. Every client has one connection, sends one text a request and
waits for the answer. Answers are compared before anything is timed; servers are asked in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.load import Outcome, ask, drive, driven, get, post
from benchmarks.measure import emit, ratios
from plm.auto.models import AutoModelForSequenceClassification
from plm.auto.tokenizer import AutoTokenizer
from plm.models.bert import BertConfig

PATH = "/v1/classify"

# Texts that are compared before the clock starts, and requests that warm a server up.
WARM_UP = 16

# Room in the queue of the overloaded server, and clients for each place.
ROOM, CROWD = 64, 10


def main() -> None:
    """Start servers, ask, print."""
    options = _options()
    if options.peer:
        serve_peer(options.peer, options.threads)
        return
    with tempfile.TemporaryDirectory() as place:
        if options.poet:
            for threads in (1, 2):
                poems(options.poet, threads, count=options.poems)
            return
        model = options.model or random_classifier(Path(place, "classifier"), options)
        requests = [post(PATH, {"inputs": text}) for text in texts(options.texts)]
        if options.overload:
            overload(model, requests, options)
        elif options.terminate:
            terminate(model, requests, options)
        else:
            compare(model, requests, options)


def compare(model: Path, requests: Sequence[bytes], options: argparse.Namespace) -> None:
    """All servers in turn."""
    commands = {
        "one_at_a_time": plm_command(model, "--batch-tokens", "1", "--batch-wait", "0"),
        "plm": plm_command(model),
        "transformers": [sys.executable, "-m", "benchmarks.serve", "--peer", str(model)],
    }
    outcomes: dict[str, list[Outcome]] = {name: [] for name in commands}
    with contextlib.ExitStack() as stack:
        urls = {
            name: stack.enter_context(running(command, threads=options.threads))[1]
            for name, command in commands.items()
        }
        check_same(list(urls.values()), requests[:WARM_UP])
        lone = {name: drive(url, requests, clients=1, seconds=options.seconds / 2) for name, url in urls.items()}
        for _ in range(options.rounds):
            for name, url in urls.items():
                outcomes[name].append(drive(url, requests, clients=options.clients, seconds=options.seconds))
    for name, runs in outcomes.items():
        assert all(run.statuses.keys() == {200} and not run.lost for run in runs), (name, runs)
        best = max(runs, key=lambda run: run.rate)
        emit("serve", server=name, clients=options.clients, best_of=options.rounds, **best.figures(),
             lone_p50_ms=lone[name].figures()["p50_ms"])  # fmt: skip
    times = {name: [1.0 / run.rate for run in runs] for name, runs in outcomes.items()}
    tails = {name: [run.figures()["p99_ms"] for run in runs] for name, runs in outcomes.items()}
    for peer in ("one_at_a_time", "transformers"):
        emit(
            "serve_ratio",
            to=peer,
            throughput=ratios(times, of="plm", to=peer),
            p99=ratios(tails, of="plm", to=peer),
            clients=options.clients,
        )


def overload(model: Path, requests: Sequence[bytes], options: argparse.Namespace) -> None:
    """Far more clients than places in the queue: what is taken is answered, what is not is told so."""
    command = plm_command(model, "--queue", str(ROOM), "--inputs", "1")
    with running(command, threads=options.threads) as (process, url):
        drive(url, requests, clients=ROOM, seconds=3)  # its largest batches have been computed
        before = resident_mib(process.pid)
        outcome = drive(url, requests, clients=CROWD * ROOM, seconds=options.overload)
        time.sleep(1)
        after = resident_mib(process.pid)
        calm = drive(url, requests, clients=1, seconds=2)
        alive = process.poll() is None
    emit(
        "serve_overload",
        clients=CROWD * ROOM,
        queue=ROOM,
        seconds=options.overload,
        answered=outcome.statuses[200],
        refused=outcome.statuses[429],
        other={status: count for status, count in outcome.statuses.items() if status not in (200, 429)},
        lost=outcome.lost,
        alive=alive,
        mib_before=before,
        mib_after=after,
        p50_ms_afterwards=calm.figures()["p50_ms"],
    )


def terminate(model: Path, requests: Sequence[bytes], options: argparse.Namespace) -> None:
    """SIGTERM while all clients wait for an answer."""

    async def under_load(process: subprocess.Popen[str], url: str) -> Outcome:
        goes_on = True
        load = asyncio.ensure_future(driven(url, requests, clients=options.clients, goes_on=lambda: goes_on))
        await asyncio.sleep(options.seconds / 2)
        goes_on = False
        await ask(url, get("/health"))  # answered after everything that was sent before has been read
        process.send_signal(signal.SIGTERM)
        return await load

    with running(plm_command(model), threads=options.threads) as (process, url):
        outcome = asyncio.run(under_load(process, url))
        code = process.wait(60)
    emit(
        "serve_terminate",
        clients=options.clients,
        answered=outcome.statuses[200],
        other={status: count for status, count in outcome.statuses.items() if status != 200},
        lost=outcome.lost,
        exit_code=code,
    )


def poems(folder: Path, threads: int, *, count: int) -> None:
    """One client that asks for one poem after the other, and another and another."""
    with running(plm_command(folder), threads=threads) as (_, url):
        wishes = [post("/v1/poem", {"form": "七绝", "candidates": 8, "seed": seed}) for seed in range(count + 2)]
        times = []
        for wish in wishes:
            started = time.perf_counter()
            status, body = asyncio.run(ask(url, wish))
            assert status == 200, body
            times.append(time.perf_counter() - started)
    figures = Outcome(times=times[2:], seconds=sum(times[2:])).figures()
    emit("serve_poem", threads_of_server=threads, poems=count, p50_ms=figures["p50_ms"], p95_ms=figures["p95_ms"])


def plm_command(folder: Path, *options: str) -> list[str]:
    """`plm serve` for one model."""
    return [sys.executable, "-m", "plm", "serve", f"model={folder}", "--port", "0", *options]


@contextlib.contextmanager
def running(command: Sequence[str], *, threads: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server and its URL, once it is ready; it is ended at the end."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    try:
        told = []
        for line in process.stderr:
            told.append(line)
            if found := re.search(r"at (http://\S+)", line):
                break
        else:
            raise SystemExit(f"{' '.join(command)} does not start:\n{''.join(told)}")
        threading.Thread(target=process.stderr.read, daemon=True).start()  # else a server that warns stands still
        while asyncio.run(ask(found[1], get("/ready")))[0] != 200:
            time.sleep(0.1)
        yield process, found[1]
    finally:
        process.terminate()
        process.wait(60)


def serve_peer(folder: Path, threads: int) -> None:
    """FastAPI and a pipeline of transformers, as people write it."""
    import fastapi
    import transformers
    import uvicorn

    torch.set_num_threads(threads)
    transformers.utils.logging.disable_progress_bar()
    classify, turn = transformers.pipeline("text-classification", str(folder), device="cpu"), threading.Lock()
    app = fastapi.FastAPI()

    def ready() -> dict[str, str]:
        return {"status": "ready"}

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        with turn:
            return {"answers": classify(body["inputs"])}

    app.get("/ready")(ready)
    app.post(PATH)(answer)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False))

    async def serve() -> None:
        serving = asyncio.ensure_future(server.serve())
        while not server.started:
            await asyncio.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        print(f"peer at http://127.0.0.1:{port}", file=sys.stderr, flush=True)
        await serving

    asyncio.run(serve())


def check_same(urls: Sequence[str], requests: Sequence[bytes]) -> None:
    """Raise where servers do not agree about a text."""
    for request in requests:
        told = [json.loads(asyncio.run(ask(url, request))[1])["answers"][0] for url in urls]
        assert len({answer["label"] for answer in told}) == 1, told
        assert max(abs(answer["score"] - told[0]["score"]) for answer in told) < 1e-4, told


def random_classifier(folder: Path, options: argparse.Namespace) -> Path:
    """A BERT of the given shape with random weights, as a folder that both sides read."""
    tokenizer = AutoTokenizer.from_pretrained("plm/tiny-en")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=options.hidden,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        intermediate_size=4 * options.hidden if options.intermediate is None else options.intermediate,
    )
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def texts(file: Path | None) -> list[str]:
    """The first column of a file; without one, the sentences of this project's documentation."""
    if file is not None:
        lines = file.read_text(encoding="utf-8").splitlines()
        return [line.partition("\t")[0] for line in lines[file.suffix == ".tsv" :] if line.strip()]
    pages = sorted(Path(__file__).parent.parent.glob("docs/*.md"))
    sentences = re.findall(r"[A-Z][^.|`#]{20,300}\.", " ".join(page.read_text(encoding="utf-8") for page in pages))
    return [" ".join(sentence.split()) for sentence in sentences]


def resident_mib(pid: int) -> int:
    """Memory of a process, MiB (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each turn of each server")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of each server")
    parser.add_argument("--texts", type=Path, help="a text a line, or the first column of a tsv file")
    parser.add_argument("--model", type=Path, help="a classifier; by default one with random weights, of this shape:")
    for name, default in (("hidden", 312), ("layers", 4), ("heads", 12)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--intermediate", type=int, help="4 times hidden by default")
    parser.add_argument("--overload", type=float, metavar="SECONDS")
    parser.add_argument("--terminate", action="store_true")
    parser.add_argument("--poet", type=Path, metavar="FOLDER")
    parser.add_argument("--poems", type=int, default=20)
    parser.add_argument("--peer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    return options


if __name__ == "__main__":
    main()
