"""Fine-tune a model to choose among answers to questions about a text, and ask it.

python examples/multiple_choice.py dream/train.json dream/dev.json --model bert-base-uncased
python examples/multiple_choice.py piqa/train.jsonl piqa/valid.jsonl --format piqa --model bert-base-uncased
python examples/multiple_choice.py               (eight made-up dialogues: examples/data/dialogues)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import plm
from plm.data.choices import CHOICE_FORMATS
from plm.runs import RunConfig, TaskData, train
from plm.tasks import MultipleChoice

DATA = Path(__file__).parent / "data" / "dialogues"


def main() -> None:
    """Train, evaluate, ask."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", nargs="?", default=str(DATA / "train.json"))
    parser.add_argument("dev", nargs="?", default=str(DATA / "dev.json"))
    parser.add_argument("--format", choices=CHOICE_FORMATS.names(), default="dream")
    parser.add_argument("--model", default="plm/tiny-en", help="a checkpoint of any known layout, or a hub name")
    parser.add_argument("--max-length", type=int, default=256, help="tokens of context, question and an option")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--output", default="chooser")
    options = parser.parse_args()

    task = MultipleChoice(format=options.format)
    report = train(
        RunConfig(
            model=options.model,
            output_dir=options.output,
            task=TaskData(task=task, train=options.train, dev=options.dev, max_length=options.max_length, batch_size=8),
            training=plm.TrainingConfig(learning_rate=options.learning_rate, num_train_epochs=options.epochs),
        ),
        overwrite=True,
    )
    print("\n".join(report.lines()))

    # The folder that was written answers questions without known answers just as well.
    model = plm.AutoModelForMultipleChoice.from_pretrained(options.output)
    tokenizer = plm.AutoTokenizer.from_pretrained(options.output)
    questions = task.read(options.dev)[:3]
    features = task.encode(questions, tokenizer, max_length=options.max_length, has_labels=False)
    batch = task.collate(features, pad_token_id=tokenizer.pad_token_id)
    with torch.inference_mode():
        output = model(**{name: tensor for name, tensor in batch.items() if name != "index"})
    for question, pick in zip(questions, task.answers(questions, features, task.results(batch, output)), strict=True):
        print(f"\n{question.context}\n  {question.question}")
        for option, chance in zip(question.options, pick.probabilities, strict=True):
            print(f"  {'->' if option == pick.text else '  '} {chance:.3f}  {option}")


if __name__ == "__main__":
    main()
