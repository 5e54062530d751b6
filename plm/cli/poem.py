"""`plm poem`."""

from __future__ import annotations

import json
from typing import Any

import click

from plm.auto.choosing import DTYPES, TORCH
from plm.backends import BACKENDS
from plm.cli.output import examples
from plm.config import from_dict
from plm.generation.poem import Poem
from plm.generation.poem_judge import MaskedJudge
from plm.generation.poet import EMBEDDED
from plm.pipelines.generation import open_poet
from plm.poetry.request import PoemRequest

SCRIPTS = ("simplified", "traditional")


@click.command(
    epilog=examples(
        "plm poem",
        "plm poem --form 七绝 --acrostic 人工智能 --seed 7",
        "plm poem --continue 明月照三峡 --form 五律 -n 3",
        "plm poem --tails 花家 --form free",
        "plm poem --form 五绝 --title 秋思 --book xinyun --script traditional --json",
    )
)
@click.option("--model", default=EMBEDDED, show_default=True, help="A folder that plm train wrote, or a hub name.")
@click.option("--form", help="五绝, 七绝, 五律, 七律 (wujue, qijue, wulv, qilv), free. [told by the text]")
@click.option("--title", default="", help="A title or theme.")
@click.option("--acrostic", default="", help="Characters that begin the lines, one each (藏头).")
@click.option("--tails", default="", help="Characters that end the lines, one each (藏尾).")
@click.option("--continue", "beginning", default="", help="How the poem begins, from one character to all but one.")
@click.option("--order", help="Of the tones: A, B, C or D; of free poems level or oblique. [drawn as people choose]")
@click.option("--rhyme", help="A rhyme class such as 七阳. [drawn as people choose]")
@click.option(
    "--book", default="pingshui", show_default=True, help="Rhyme book: pingshui (平水韵) or xinyun (中华新韵)."
)
@click.option(
    "--licence", "licences", multiple=True, help="A departure to make use of, such as 三四互换; several times."
)
@click.option(
    "--strict/--relaxed", default=True, show_default=True, help="Tones of all places, or of 2, 4, 6 and last."
)
@click.option("--line-length", type=int, help="Characters of a line, of free poems.")
@click.option("--lines", type=int, help="Lines, of free poems.")
@click.option("-n", "n", type=int, default=1, show_default=True, help="Poems.")
@click.option("--candidates", type=int, default=8, show_default=True, help="Poems made, of which the best are shown.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of all draws.")
@click.option("--temperature", type=float, default=1.0, show_default=True, help="Below 1 safer, above 1 bolder.")
@click.option("--top-k", type=int, help="Draw among the k likeliest characters.")
@click.option(
    "--top-p", type=float, default=0.9, show_default=True, help="Draw among the likeliest, of this probability."
)
@click.option("--repetition", type=float, default=1.5, show_default=True, help="Nats that repeated characters lose.")
@click.option("--may-copy", is_flag=True, help="Do not put poems last that have a line of the training data.")
@click.option("--judge", help="A masked model that helps to choose among the candidates: bert-base-chinese.")
@click.option("--judge-weight", type=float, default=1.0, show_default=True, help="How much its word counts.")
@click.option("--backend", type=click.Choice(BACKENDS.names()), default=TORCH, show_default=True, help="Who computes.")
@click.option("--dtype", type=click.Choice(DTYPES), default=DTYPES[0], show_default=True, help="Of the weights.")
@click.option("--script", type=click.Choice(SCRIPTS), default=SCRIPTS[0], show_default=True, help="Of the poems.")
@click.option("--report", is_flag=True, help="Show tones, rhyme and faults beneath each poem.")
@click.option("--json", "as_json", is_flag=True, help="One object for each poem.")
def command(
    model: str,
    acrostic: str,
    tails: str,
    beginning: str,
    judge: str | None,
    judge_weight: float,
    backend: str,
    dtype: str,
    report: bool,
    as_json: bool,
    **wishes: Any,
) -> None:
    """Write Chinese poems in correct form: tones, rhyme, and the characters that are given."""
    if beginning and (acrostic or tails):
        raise click.UsageError("--continue gives whole lines, --acrostic and --tails their ends: take one of them")
    given = {"mode": "continue", "text": beginning} if beginning else {"mode": "random"}
    if acrostic or tails:
        given = {"mode": "acrostic", "text": acrostic, "tails": tails}
    request = from_dict(PoemRequest, {**given, **{name: value for name, value in wishes.items() if value is not None}})
    judging = None if judge is None else MaskedJudge.from_pretrained(judge)
    poet = open_poet(model, backend=backend, dtype=dtype, judge=judging, judge_weight=judge_weight)
    poems = poet.write(request)
    for note in poems[0].notes:
        click.echo(note, err=True)
    for place, poem in enumerate(poems):
        if as_json:
            click.echo(json.dumps(poem.to_dict(), ensure_ascii=False))
        else:
            click.echo("\n" * bool(place) + _shown(poem, with_report=report))


def _shown(poem: Poem, *, with_report: bool) -> str:
    text = (f"{poem.title}\n" if poem.title else "") + poem.text
    if not with_report:
        return text
    judged = "" if poem.judged is None else f", judged {poem.judged:.2f}"
    copied = f"\nlines that stand in the training data: {' '.join(poem.copied)}" if poem.copied else ""
    return f"{text}\n\n{poem.report}{copied}\nscore {poem.score:.2f}{judged}"
