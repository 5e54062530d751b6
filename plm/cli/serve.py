"""`plm serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from plm.auto.choosing import DTYPES, TORCH
from plm.backends import BACKENDS
from plm.cli.output import examples
from plm.errors import ConfigError
from plm.serving.limits import Limits

TOKEN_VARIABLE = "PLM_SERVE_TOKEN"
_USUAL = Limits()


@click.command(
    epilog=examples(
        "plm serve runs/reviews",
        "plm serve reviews=runs/reviews ner=runs/conll2003 --port 9000",
        f"{TOKEN_VARIABLE}=secret plm serve runs/reviews --host 0.0.0.0",
        "plm serve runs/poet --timeout 120 --new-tokens 4096",
        "plm serve runs/reviews --backend int8",
        "plm serve runs/reviews --engine ray --replicas 1:4",
    )
)
@click.argument("models", nargs=-1, required=True, metavar="[NAME=]FOLDER...")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 = one that is free.")
@click.option("--token-file", type=click.Path(path_type=Path, dir_okay=False), help=f"Its token. [{TOKEN_VARIABLE}]")
@click.option("--without-token", is_flag=True, help="Let everybody ask who reaches an address beyond this machine.")
@click.option("--backend", type=click.Choice(BACKENDS.names()), default=TORCH, show_default=True, help="Who computes.")
@click.option("--dtype", type=click.Choice(DTYPES), default=DTYPES[0], show_default=True, help="Of the weights.")
@click.option("--timeout", type=float, default=_USUAL.timeout, show_default=True, help="Seconds for a request.")
@click.option("--queue", type=int, default=_USUAL.queue, show_default=True, help="Texts that may wait, by model.")
@click.option("--inputs", type=int, default=_USUAL.inputs, show_default=True, help="Texts of a request.")
@click.option("--body-bytes", type=int, default=_USUAL.body_bytes, show_default=True, help="Bytes of a request.")
@click.option("--text-tokens", type=int, default=_USUAL.text_tokens, show_default=True, help="Tokens of a text.")
@click.option("--new-tokens", type=int, default=_USUAL.new_tokens, show_default=True, help="Tokens a request may make.")
@click.option("--batch-tokens", type=int, default=_USUAL.batch_tokens, show_default=True, help="Tokens of a batch.")
@click.option("--batch-wait", type=float, default=_USUAL.batch_wait, show_default=True, help="Seconds to wait for one.")
@click.option(
    "--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="ray: Ray Serve."
)
@click.option("--replicas", metavar="N|MIN:MAX", help="Processes of Ray Serve; MIN:MAX follows the load. [1]")
@click.option("--replica-cpus", type=float, help="Of each of them. [1]")
def command(
    models: tuple[str, ...],
    host: str,
    port: int,
    token_file: Path | None,
    without_token: bool,
    backend: str,
    dtype: str,
    engine: str,
    replicas: str | None,
    replica_cpus: float | None,
    **bounds: Any,
) -> None:
    """Answer requests over HTTP with one or several models.

    A model is a folder or a name on the Hugging Face hub; it is asked by NAME, or else by the folder's own name.
    Requests must carry the token, if there is one, in the header `Authorization: Bearer`.
    SIGTERM ends the service when all is answered; SIGHUP reads the models again.
    With --engine ray the service runs on a Ray cluster: that of RAY_ADDRESS, or a new one on this machine.
    """
    # The optional packages are asked for here, before a model is loaded.
    from plm.blocks.kernel_cache import bound_kernels
    from plm.serving.app import create_app
    from plm.serving.server import LOOPBACK_HOSTS, is_loopback, run

    if engine != "ray" and (replicas is not None or replica_cpus is not None):
        raise ConfigError("--replicas and --replica-cpus are of Ray Serve: say --engine ray, too")
    limits = Limits(**bounds)
    token = _token(token_file)
    if not is_loopback(host) and token is None and not without_token:
        raise ConfigError(
            f"--host {host} can be reached from elsewhere: set {TOKEN_VARIABLE} or --token-file, or say --without-token"
        )
    hosts = (*LOOPBACK_HOSTS, host) if is_loopback(host) else None
    named = named_models(models)

    def on_start(url: str) -> None:
        click.echo(f"{', '.join(named)} at {url}", err=True)

    if engine == "ray":
        from plm.serving import ray_engine

        ray_engine.run(
            named,
            replicas=ray_engine.Replicas.parse(replicas or "1", cpus=1.0 if replica_cpus is None else replica_cpus),
            host=host,
            port=port,
            limits=limits,
            token=token,
            hosts=hosts,
            backend=backend,
            dtype=dtype,
            on_start=on_start,
        )
        return
    bound_kernels()
    app = create_app(named, limits=limits, token=token, hosts=hosts, backend=backend, dtype=dtype)
    run(app, host=host, port=port, grace=limits.timeout, on_start=on_start)


def named_models(models: tuple[str, ...]) -> dict[str, str]:
    """NAME=FOLDER, or FOLDER alone, which has its own name. Raises ConfigError for two of one name."""
    named: dict[str, str] = {}
    for model in models:
        name, equals, folder = model.partition("=")
        if not equals:
            name, folder = Path(model).resolve().name if Path(model).exists() else model, model
        if not name or not folder:
            raise ConfigError(f"{model!r}: expected FOLDER or NAME=FOLDER")
        if name in named:
            raise ConfigError(f"two models are called {name!r}; name one otherwise, as NAME=FOLDER")
        named[name] = folder
    return named


def _token(file: Path | None) -> str | None:
    """The token of the file, else of the environment; None = neither is there."""
    token = os.environ.get(TOKEN_VARIABLE) if file is None else file.read_text(encoding="utf-8").strip()
    if token is not None and (len(token) < 8 or not token.isascii() or not token.isprintable() or " " in token):
        where = TOKEN_VARIABLE if file is None else str(file)
        raise ConfigError(f"{where}: a token has 8 or more letters, digits and signs of ASCII, without spaces")
    return token
