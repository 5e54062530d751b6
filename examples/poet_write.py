"""Let a poet write: at random, on from a beginning, and with characters that are given, each with a report.

python examples/poet_write.py --model runs/poet
python examples/poet_write.py --model runs/poet --acrostic 春夏秋冬 --judge bert-base-chinese
"""

from __future__ import annotations

import argparse

from plm.generation import MaskedJudge, Poem, Poet
from plm.poetry import PoemRequest


def main() -> None:
    """Write some poems of each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="plm/poet", help="a folder that plm train wrote, or a hub name")
    parser.add_argument("--beginning", default="明月", help="how a poem begins")
    parser.add_argument("--acrostic", default="人工智能", help="characters that begin the lines")
    parser.add_argument("--judge", help="a masked model that helps to choose among candidates")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    judge = MaskedJudge.from_pretrained(options.judge) if options.judge else None
    poet = Poet.from_pretrained(options.model, judge=judge)
    wishes = {
        "at random": PoemRequest(form="七律", seed=options.seed),
        "from a beginning": PoemRequest(mode="continue", text=options.beginning, form="五绝", seed=options.seed),
        "an acrostic": PoemRequest(mode="acrostic", text=options.acrostic, seed=options.seed),
        "the three best of 32": PoemRequest(form="七绝", title="秋夜", n=3, candidates=32, seed=options.seed),
    }
    # All are written together; each is the same as if it were alone.
    for name, poems in zip(wishes, poet.write_all(list(wishes.values())), strict=True):
        print(f"--- {name}\n")
        for poem in poems:
            show(poem)


def show(poem: Poem) -> None:
    """Print a poem, how it keeps its form, and what of it was only remembered."""
    judged = "" if poem.judged is None else f", judged {poem.judged:.2f}"
    print(f"{poem.text}\n\n{poem.report}\nscore {poem.score:.2f}{judged}")
    if poem.copied:
        print(f"lines that stand in the training data: {' '.join(poem.copied)}")
    for note in poem.notes:
        print(note)
    print()


if __name__ == "__main__":
    main()
