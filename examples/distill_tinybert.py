"""Distil a text classifier into a smaller one, stage by stage as TinyBERT was, and compare the two.

python examples/distill_tinybert.py train.tsv dev.tsv --teacher runs/sst-2 --text sentence --epochs 10
python examples/distill_tinybert.py train.tsv dev.tsv --masked-lm bert-base-uncased --vectors glove.42B.300d.txt
python examples/distill_tinybert.py              (requests to an assistant: examples/data/snips)

Without --teacher, plm/tiny-en is fine-tuned first. Without --masked-lm and --vectors, the words of augmented texts are
those that are near in the teacher's own table of words.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import plm
from plm.config import write_json, write_text
from plm.distillation import PREDICTION, Augmentation, Objective
from plm.runs import RunConfig, TaskData, train
from plm.runs.distilling import DistillationConfig, Stage, Variation, distill
from plm.tasks import Classification

DATA = Path(__file__).parent / "data" / "snips"


def main() -> None:
    """A teacher, a student, what it costs and what it keeps; then a few answers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", nargs="?", default=str(DATA / "train.tsv"))
    parser.add_argument("dev", nargs="?", default=str(DATA / "dev.tsv"))
    parser.add_argument("--text", default="text", help="column of texts")
    parser.add_argument("--label", default="label", help="column of labels")
    parser.add_argument("--max-length", type=int, default=64, help="tokens of a text")
    parser.add_argument("--teacher", help="a fine-tuned folder [plm/tiny-en, fine-tuned now]")
    parser.add_argument("--student", help="an architecture or checkpoint [of the sizes below, the teacher's heads]")
    parser.add_argument("--hidden-size", type=int, default=192)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--variants", type=int, default=1, help="of each training text, at most; 0 = no augmentation")
    parser.add_argument("--masked-lm", help="a checkpoint that fills in words, for words of one piece")
    parser.add_argument("--vectors", help="a file of word vectors, for all other words")
    parser.add_argument("--epochs", type=float, default=2, help="of each training")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="of the student")
    parser.add_argument("--output", type=Path, default=Path("my-tinybert"))
    options = parser.parse_args()

    options.output.mkdir(parents=True, exist_ok=True)
    task = Classification(text=options.text, label=options.label)
    data = TaskData(task=task, train=options.train, dev=options.dev, max_length=options.max_length)
    teacher = options.teacher or fine_tuned(data, options.output / "teacher", epochs=options.epochs)
    words = None
    if options.variants:
        found = options.vectors or options.masked_lm
        vectors = options.vectors if found else own_vectors(teacher, options.output / "vectors.txt")
        words = Variation(vectors=vectors, model=options.masked_lm, settings=Augmentation(variants=options.variants))
    training = plm.TrainingConfig(learning_rate=options.learning_rate, num_train_epochs=options.epochs)
    report = distill(
        DistillationConfig(
            teacher=teacher,
            student=options.student or architecture(teacher, options.output, options.hidden_size, options.layers),
            output_dir=str(options.output / "student"),
            task=data,
            augmentation=words,
            intermediate=Stage(objective=Objective(layers="nearest"), training=training),
            prediction=Stage(objective=PREDICTION, training=training),
        ),
        overwrite=True,
    )
    print("\n".join(report.lines()))
    texts = [example.text for example in task.read(options.dev)[:5]]
    for text, answer in zip(texts, plm.pipeline("text-classification", report.output_dir)(texts), strict=True):
        print(f"{answer['label']:>20} {answer['score']:.3f}  {text}")


def fine_tuned(data: TaskData, folder: Path, *, epochs: float) -> str:
    """A teacher, for those who have none."""
    training = plm.TrainingConfig(learning_rate=2e-4, num_train_epochs=epochs)
    train(RunConfig(model="plm/tiny-en", output_dir=str(folder), task=data, training=training), overwrite=True)
    return str(folder)


def architecture(teacher: str, folder: Path, hidden_size: int, layers: int) -> str:
    """The file of a TinyBERT with as many attention heads as the teacher, so that their scores can be compared."""
    heads = plm.AutoConfig.from_pretrained(teacher).num_attention_heads
    sizes = {"hidden_size": hidden_size, "intermediate_size": 4 * hidden_size, "num_hidden_layers": layers}
    write_json(folder / "tinybert.json", {"model_type": "tinybert", "num_attention_heads": heads, **sizes})
    return str(folder / "tinybert.json")


def own_vectors(teacher: str, path: Path) -> str:
    """The teacher's embeddings of whole words, as a file of word vectors."""
    tokenizer = plm.AutoTokenizer.from_pretrained(teacher)
    table = plm.AutoModel.from_pretrained(teacher).backbone.embeddings.word.weight.tolist()
    words = {word: table[number] for word, number in tokenizer.get_vocab().items() if word.isalpha()}
    write_text(path, "".join(f"{word} {' '.join(f'{x:.4f}' for x in row)}\n" for word, row in words.items()))
    return str(path)


if __name__ == "__main__":
    main()
