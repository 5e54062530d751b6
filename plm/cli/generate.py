"""`plm generate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from plm.auto.choosing import DTYPES, TORCH
from plm.backends import BACKENDS
from plm.cli.output import examples
from plm.config import from_dict, write_text
from plm.data.tables import read_lines
from plm.errors import DataError
from plm.generation import GenerationConfig
from plm.pipelines.generation import open_generator


@click.command(
    epilog=examples(
        'plm generate openai-gpt "once upon a time"',
        'plm generate openai-gpt "once upon a time" --temperature 0.8 --top-k 40 -n 3 --seed 7',
        'plm generate runs/stories "the door opened" --num-beams 4 --max-new-tokens 30',
        'plm generate openai-gpt "once upon a time" --dtype int8',
        "plm generate openai-gpt --file prompts.txt --temperature 1 --json --output texts.jsonl",
    )
)
@click.argument("model")
@click.argument("prompts", nargs=-1)
@click.option("--file", type=click.Path(path_type=Path), help="With a prompt a line.")
@click.option("--max-new-tokens", type=int, default=64, show_default=True, help="Tokens at most.")
@click.option("--temperature", type=float, help="Draw tokens: below 1 the likely ones more, above 1 less.")
@click.option("--top-k", type=int, help="Draw among the k likeliest tokens.")
@click.option("--top-p", type=float, help="Draw among the likeliest tokens that have this probability together.")
@click.option("--min-p", type=float, help="Draw among tokens with this share of the likeliest one's probability.")
@click.option("--typical-p", type=float, help="Draw among the tokens of typical information with this probability.")
@click.option("--num-beams", type=int, default=1, show_default=True, help="Follow so many texts, return the likeliest.")
@click.option("--length-penalty", type=float, default=1.0, show_default=True, help="Of beams: above 0 for long ones.")
@click.option("--repetition-penalty", type=float, default=1.0, show_default=True, help="Above 1 avoids tokens seen.")
@click.option("--no-repeat-ngram-size", type=int, default=0, show_default=True, help="So many in a row only once.")
@click.option("--stop", "stop_strings", multiple=True, help="A text that ends the text; may be given several times.")
@click.option("-n", "num_return_sequences", type=int, default=1, show_default=True, help="Texts for each prompt.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draws.")
@click.option(
    "--overflow",
    type=click.Choice(["error", "slide"]),
    default="error",
    show_default=True,
    help="Too few positions: refuse, or forget the oldest.",
)
@click.option("--backend", type=click.Choice(BACKENDS.names()), default=TORCH, show_default=True, help="Who computes.")
@click.option("--dtype", type=click.Choice(DTYPES), default=DTYPES[0], show_default=True, help="Of the weights.")
@click.option("--json", "as_json", is_flag=True, help="One object for each text.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write. [standard output]")
def command(
    model: str,
    prompts: tuple[str, ...],
    file: Path | None,
    backend: str,
    dtype: str,
    as_json: bool,
    output: Path | None,
    **settings: object,
) -> None:
    """Go on with PROMPTS by a causal language model.

    MODEL is a folder or a hub name. Without --temperature and the like, the likeliest token is taken each time. A
    single text is shown while it is written.
    """
    config = from_dict(GenerationConfig, {name: value for name, value in settings.items() if value is not None})
    listed = _prompts(prompts, file)
    generator = open_generator(model, backend=backend, dtype=dtype)
    if len(listed) == config.num_return_sequences == config.num_beams == 1 and not as_json and output is None:
        click.echo(listed[0], nl=False)
        for piece in generator.stream(listed[0], config):
            click.echo(piece, nl=False)
        click.echo()
        return
    lines = []
    for prompt, texts in zip(listed, generator(listed, config), strict=True):
        for text in texts:
            told = {"prompt": prompt, "text": text.text, "score": text.score, "ending": text.ending}
            lines.append(json.dumps(told, ensure_ascii=False) if as_json else prompt + text.text)
    written = "".join(f"{line}\n" for line in lines)
    if output is None:
        click.echo(written, nl=False)
    else:
        write_text(output, written)


def _prompts(given: tuple[str, ...], file: Path | None) -> list[str]:
    if file is not None and given:
        raise DataError("prompts come from the command line or from --file, not from both")
    if file is not None:
        given = tuple(line for _, line in read_lines(file))
    elif not given and not sys.stdin.isatty():
        given = tuple(line.rstrip("\n") for line in sys.stdin)
    if not given:
        raise DataError("no prompt: give one, or a file with --file")
    return list(given)
