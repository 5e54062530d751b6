"""Fine-tune a reader of English texts on SQuAD 1.1 or 2.0, and ask it questions.

python examples/squad.py squad/train-v1.1.json squad/dev-v1.1.json --model bert-base-uncased
python examples/squad.py squad/train-v2.0.json squad/dev-v2.0.json --model bert-base-uncased
"""

from __future__ import annotations

import argparse

import plm
from plm.runs import RunConfig, TaskData, train
from plm.tasks import QuestionAnswering


def main() -> None:
    """Train, evaluate, ask."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train")
    parser.add_argument("dev")
    parser.add_argument("--model", default="plm/tiny-en", help="a checkpoint of any known layout, or a hub name")
    parser.add_argument("--max-length", type=int, default=384, help="tokens of a window")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--learning-rate", type=float, default=3e-5)
    parser.add_argument("--output", default="reader")
    options = parser.parse_args()

    # Whether questions may have no answer (2.0) is told by the training file.
    task = QuestionAnswering(doc_stride=128)
    report = train(
        RunConfig(
            model=options.model,
            output_dir=options.output,
            task=TaskData(
                task=task, train=options.train, dev=options.dev, max_length=options.max_length, batch_size=16
            ),
            training=plm.TrainingConfig(
                learning_rate=options.learning_rate, num_train_epochs=options.epochs, warmup_ratio=0.1
            ),
        ),
        overwrite=True,
    )
    print("\n".join(report.lines()))

    answer = plm.pipeline("question-answering", options.output)
    questions = task.read(options.dev)[:5]
    found = answer([(question.question, question.context) for question in questions])
    for question, said in zip(questions, found, strict=True):
        print(f"{question.question}\n    {said['answer']!r}, characters {said['start']} to {said['end']}")


if __name__ == "__main__":
    main()
