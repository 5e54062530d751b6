"""Teach a model to write Tang poems, and see how well it foresees poems that it has not read, with and without wishes.

python examples/poet_train.py poetry.txt                       (`title:poem` a line; about an hour on two cores)
python examples/poet_train.py poetry.txt --model bert-base-chinese --set training.learning_rate=5e-5      (with a GPU)
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path

import plm
from plm.cli.sources import parse_settings
from plm.data import Batching
from plm.runs import read_run, train
from plm.runs.encoding import Encoder
from plm.runs.evaluation import TaskEvaluation
from plm.runs.preparation import Prepared, Split
from plm.tasks import Poems
from plm.tasks.saving import load_tasks

RECIPE = Path(__file__).resolve().parents[1] / "configs" / "runs" / "poet.toml"

# What a poem is shown with, as options of the task.
SHOWN: Mapping[str, Mapping[str, object]] = {
    "form alone": {"title_dropout": 1.0, "wishes": "none"},
    "form and title": {"title_dropout": 0.0, "wishes": "none"},
    "form and all wishes": {"title_dropout": 1.0, "wishes": "all"},
    "form, title and all wishes": {"title_dropout": 0.0, "wishes": "all"},
}


def main() -> None:
    """Train, then compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("poems", type=Path, help="a file with `title:poem` a line")
    parser.add_argument("--model", default="poet.json", help="an architecture of random weights, or a BERT or NEZHA")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change the recipe")
    parser.add_argument("--output", type=Path, default=Path("poet"))
    options = parser.parse_args()

    settings = {"task.train": str(options.poems), "model": options.model, "output_dir": str(options.output)}
    config = read_run(RECIPE, settings | parse_settings(options.set))
    print("\n".join(train(config, overwrite=True).lines()))
    assert config.task is not None, "the recipe has one"
    compare(options.output, Prepared.read(config.task).splits["dev"])


def compare(folder: Path, poems: Split) -> None:
    """Print the perplexity of a character, by what the model is told."""
    model, tokenizer = plm.AutoModelForCausalLM.from_pretrained(folder), plm.AutoTokenizer.from_pretrained(folder)
    saved = load_tasks(folder)["task"]
    assert isinstance(saved.task, Poems)
    print(
        f"perplexity of a character, of {len(tokenizer):,} tokens, in {len(poems.examples):,} poems; marks not counted"
    )
    for name, shown in SHOWN.items():
        task = dataclasses.replace(saved.task, **shown)  # type: ignore[arg-type]
        encoder = Encoder(task, tokenizer, saved.max_length, Batching(tokens_per_batch=4096))
        scores = TaskEvaluation.of(task, encoder(poems, seed=None))(model)
        print(f"{name:30} {scores['perplexity']:8.1f}")


if __name__ == "__main__":
    main()
