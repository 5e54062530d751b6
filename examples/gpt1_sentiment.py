"""Fine-tune GPT-1 on film reviews as OpenAI did, with an extract token and half a language model, and test it.

python examples/gpt1_sentiment.py aclImdb --sample 2500        (a folder with train/pos, train/neg, test/pos, test/neg)
python examples/gpt1_sentiment.py                              (24 made-up reviews: examples/data/reviews)
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import plm
from plm.config import write_text
from plm.data import Example
from plm.data.folders import read_folder, stratified
from plm.metrics import NaiveBayes
from plm.runs import RunConfig, TaskData, train
from plm.tasks import Gpt1Classification


def main() -> None:
    """Divide the reviews, train, and compare with naive Bayes on reviews that neither has seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, default=Path(__file__).parent / "data" / "reviews")
    parser.add_argument("--model", default="openai-gpt", help="a GPT-1 of any known layout, or a hub name")
    parser.add_argument("--sample", type=int, help="reviews to train on, as many of each label [all]")
    parser.add_argument("--max-length", type=int, default=512, help="tokens of a review")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--output", type=Path, default=Path("gpt1-imdb"))
    options = parser.parse_args()

    # The corpus is sorted by label, so its first tenth would be of one label: both samples take equally of each.
    seen = read_folder(options.data / "train")  # turns <br /> into line ends, which GPT-1 knows
    dev = stratified(seen, max(2, len(seen) // 10), seed=1)
    kept = {review.id for review in dev}
    seen = [review for review in seen if review.id not in kept]
    seen = seen if options.sample is None else stratified(seen, options.sample, seed=2)
    test = read_folder(options.data / "test")

    parts = {"train": seen, "dev": dev, "test": test}
    files = {name: write(options.output / f"{name}.jsonl", reviews) for name, reviews in parts.items()}
    report = train(
        RunConfig(
            model=options.model,
            output_dir=str(options.output / "model"),
            # Start and extract token are added to vocabulary and embeddings, and no truncation takes them away.
            task=TaskData(
                task=Gpt1Classification(), max_length=options.max_length, batch_size=options.batch_size, **files
            ),
            training=plm.TrainingConfig(
                learning_rate=6.25e-5,
                num_train_epochs=options.epochs,
                optimizer="openai_adam",
                lr_scheduler="openai_linear",
                warmup_ratio=0.002,
            ),
        ),
        overwrite=True,
    )
    print("\n".join(report.lines()))
    print(f"test accuracy of GPT-1:       {report.test_metrics['accuracy']:.4f}")
    print(f"test accuracy of naive Bayes: {bayes_accuracy(seen, test):.4f}")


def write(path: Path, reviews: Sequence[Example]) -> str:
    """A JSON lines file, whose texts may have line ends; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (json.dumps({"label": review.label, "text": review.text}, ensure_ascii=False) for review in reviews)
    write_text(path, "".join(f"{row}\n" for row in rows))
    return str(path)


def bayes_accuracy(seen: Sequence[Example], test: Sequence[Example]) -> float:
    """What counting words gives: a model below is broken."""
    bayes = NaiveBayes.fit([review.text for review in seen], [str(review.label) for review in seen])
    guesses = bayes.predict([review.text for review in test])
    return sum(guess == review.label for guess, review in zip(guesses, test, strict=True)) / len(test)


if __name__ == "__main__":
    main()
