"""Fine-tune a tagger of entities on files with a word and its tag a line, and find entities in sentences.

python examples/ner.py conll2003/eng.train conll2003/eng.testa --model bert-base-cased
python examples/ner.py msra/train.txt msra/dev.txt --model bert-base-chinese --decoder crf
"""

from __future__ import annotations

import argparse

import plm
from plm.runs import RunConfig, TaskData, train
from plm.tasks import Tagging


def main() -> None:
    """Train, evaluate, ask."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train")
    parser.add_argument("dev")
    parser.add_argument("--model", default="plm/tiny-en", help="a checkpoint of any known layout, or a hub name")
    parser.add_argument("--decoder", choices=["softmax", "crf"], default="softmax")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--output", default="tagger")
    options = parser.parse_args()

    # The scheme (IOB1, BIO, BIOES, ...) is told by the training file; so are the types of entities.
    task = Tagging(decoder=options.decoder)
    report = train(
        RunConfig(
            model=options.model,
            output_dir=options.output,
            task=TaskData(task=task, train=options.train, dev=options.dev),
            training=plm.TrainingConfig(
                learning_rate=options.learning_rate, num_train_epochs=options.epochs, warmup_ratio=0.1
            ),
        ),
        overwrite=True,
    )
    print("\n".join(report.lines()))

    find = plm.pipeline("token-classification", options.output)
    texts = [sentence.text for sentence in task.read(options.dev)[:5]]
    for text, entities in zip(texts, find(texts), strict=True):
        print(text)
        for entity in entities:
            print(f"    {entity['type']}: {entity['text']!r}, characters {entity['start']} to {entity['end']}")


if __name__ == "__main__":
    main()
