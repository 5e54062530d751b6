"""The main job from end to end, on a CPU, without network: fine-tune, evaluate, save, reload, predict, convert;
and three poems at the end.

    python examples/demo.py [--output demo-output]

The embedded encoder learns to tell seven kinds of requests to an assistant apart (SNIPS, see data/snips/README.md).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from matplotlib import pyplot

import plm
from plm.checkpoints.conversion import convert
from plm.data import Columns, Example, read_examples
from plm.generation import Poet
from plm.metrics import NaiveBayes, confusion_matrix, majority
from plm.poetry import PoemRequest
from plm.runs import RunConfig, TaskData, train
from plm.tasks import Classification
from plm.training import Record, Run, TrainingReport

DATA = Path(__file__).parent / "data" / "snips"

SENTENCES = [
    "play something by Miles Davis",
    "will it rain in Lisbon on Sunday?",
    "book a table for four near the station tonight",
    "I give this novel four stars out of five",
]

WISHES = [
    PoemRequest(form="七绝", seed=7),
    PoemRequest(mode="acrostic", text="人工智能", form="七绝", seed=7),
    PoemRequest(mode="continue", text="白日依山尽", form="五绝", seed=7),
]


class PrintEvaluations(plm.Callback):
    """A line an evaluation, beside the progress bar, which only a terminal sees."""

    def on_evaluate(self, run: Run, record: Record) -> None:
        """Print it."""
        print(
            f"update {record.update}: dev accuracy {record.values['accuracy']:.4f}, {record.seconds:.0f} s", flush=True
        )


def main() -> None:
    """Run all stations and say how long they took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    output = parser.parse_args().output
    started = time.perf_counter()
    seen, dev = (read_examples(DATA / f"{name}.tsv", Columns(text="text", label="label")) for name in ("train", "dev"))

    say("1. Fine-tune plm/tiny-en on 13,084 requests, evaluate on 700 others")
    torch.set_num_threads(max(torch.get_num_threads(), 2))
    report = train(
        RunConfig(
            model="plm/tiny-en",
            output_dir=str(output / "model"),
            task=TaskData(
                task=Classification(), train=str(DATA / "train.tsv"), dev=str(DATA / "dev.tsv"), max_length=64
            ),
            training=plm.TrainingConfig(learning_rate=2e-4, num_train_epochs=2, eval_strategy="steps", eval_steps=100),
        ),
        overwrite=True,
        callbacks=[PrintEvaluations()],
    )
    print("\n".join(report.lines()))

    evaluations = sum(record.kind == "evaluation" for record in report.training.history)
    say(f"2. Compare with baselines that see the same data (the model is the best of {evaluations} evaluations)")
    for name, accuracy in {**baselines(seen, dev), "plm/tiny-en, fine-tuned": report.metrics["accuracy"]}.items():
        print(f"{name:28} accuracy {accuracy:.4f}")

    say("3. Reload the folder and predict")
    classify = plm.pipeline("text-classification", output / "model")
    for sentence, answer in zip(SENTENCES, classify(SENTENCES), strict=True):
        print(f"{answer['label']:22} {answer['score']:.3f}  {sentence}")

    say("4. Convert to the layout of Google's TensorFlow code and prove the outputs equal")
    print(
        "\n".join(convert(output / "model", output / "tf1", layout="google-tf1", verify=True, overwrite=True).lines())
    )

    say("5. Let plm/poet write: at random, an acrostic, and on from a line of Wang Zhihuan")
    for poem in (poems[0] for poems in Poet.from_pretrained("plm/poet").write_all(WISHES)):
        print(
            f"{poem.text}\n{poem.form}, rhyme {poem.report.rhyme_class}, {'in' if poem.report.ok else 'not in'} form\n"
        )

    truth = [str(example.label) for example in dev]
    predicted = [answer["label"] for answer in classify([example.text for example in dev])]
    picture(output / "demo.png", report.training, truth, predicted, sorted(set(truth)))
    say(f"Done in {time.perf_counter() - started:.0f} s. Model, log and pictures are in {output}/, begin with demo.png")


def baselines(train: list[Example], dev: list[Example]) -> dict[str, float]:
    """Accuracy of always guessing the most frequent class, and of naive Bayes on words."""
    truth = [example.label for example in dev]
    most = majority([str(example.label) for example in train])
    bayes = NaiveBayes.fit([example.text for example in train], [str(example.label) for example in train])
    guesses = bayes.predict([example.text for example in dev])
    return {
        "most frequent class": float(np.mean([label == most for label in truth])),
        "naive Bayes": float(np.mean([label == guess for label, guess in zip(truth, guesses, strict=True)])),
    }


def picture(path: Path, training: TrainingReport, truth: list[str], predicted: list[str], labels: list[str]) -> None:
    """The loss over updates and the confusion matrix of the dev set, side by side."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 5.5))
    records = [record for record in training.history if record.kind == "train"]
    left.plot([record.update for record in records], [record.values["loss"] for record in records])
    left.set(title="training loss", xlabel="update", ylabel="mean cross-entropy, nats", yscale="log")
    numbers = {label: place for place, label in enumerate(labels)}
    ids = ([numbers[label] for label in names] for names in (predicted, truth))
    matrix = confusion_matrix(*ids, num_labels=len(labels))
    right.imshow(np.sqrt(matrix), cmap="Blues")
    for row, column in np.ndindex(matrix.shape):
        if matrix[row, column]:
            light = matrix[row, column] > matrix.max() / 3
            right.text(column, row, matrix[row, column], ha="center", va="center", color="white" if light else "black")
    right.set(title="dev set: rows are true, columns predicted", xticks=range(len(labels)), yticks=range(len(labels)))
    right.set_xticklabels(labels, rotation=40, ha="right")
    right.set_yticklabels(labels)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def say(text: str) -> None:
    """A heading."""
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    main()
