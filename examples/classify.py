"""Fine-tune a text classifier on your own tsv, csv or jsonl files, and ask it.

python examples/classify.py train.tsv dev.tsv --text review --label stars
python examples/classify.py                      (requests to an assistant: examples/data/snips)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import plm
from plm.runs import RunConfig, TaskData, train
from plm.tasks import Classification

DATA = Path(__file__).parent / "data" / "snips"


def main() -> None:
    """Train, evaluate, ask."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", nargs="?", default=str(DATA / "train.tsv"))
    parser.add_argument("dev", nargs="?", default=str(DATA / "dev.tsv"))
    parser.add_argument("--model", default="plm/tiny-en", help="a checkpoint of any known layout, or a hub name")
    parser.add_argument("--text", default="text", help="column of texts")
    parser.add_argument("--label", default="label", help="column of labels")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--output", default="classifier")
    options = parser.parse_args()

    task = Classification(text=options.text, label=options.label)
    report = train(
        RunConfig(
            model=options.model,
            output_dir=options.output,
            task=TaskData(task=task, train=options.train, dev=options.dev),
            training=plm.TrainingConfig(learning_rate=options.learning_rate, num_train_epochs=options.epochs),
        ),
        overwrite=True,
    )
    print("\n".join(report.lines()))

    classify = plm.pipeline("text-classification", options.output)
    texts = [example.text for example in task.read(options.dev)[:5]]
    for text, answer in zip(texts, classify(texts), strict=True):
        print(f"{answer['label']:>20} {answer['score']:.3f}  {text}")


if __name__ == "__main__":
    main()
