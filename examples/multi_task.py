"""Learn the intents and the slots of questions about flights on one encoder, and ask both heads in one pass.

python examples/multi_task.py atis_snips/atis --model bert-base-uncased

The folder has train and dev, each with the files seq.in, seq.out and label, a question a line.
"""

from __future__ import annotations

import argparse

import plm
from plm.data import Mixing
from plm.runs import RunConfig, TaskData, train
from plm.tasks import Classification, Tagging


def main() -> None:
    """Train, evaluate, ask."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--model", default="plm/tiny-en", help="a checkpoint of any known layout, or a hub name")
    parser.add_argument("--epochs", type=float, default=10)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--output", default="flights")
    options = parser.parse_args()

    files = {"train": f"{options.data}/train", "dev": f"{options.data}/dev"}
    tasks = {
        "intent": TaskData(task=Classification(unknown_labels="miss"), max_length=64, **files),
        "slots": TaskData(task=Tagging(unknown_tags="miss"), max_length=64, learning_rate=1e-3, **files),
    }
    training = plm.TrainingConfig(learning_rate=options.learning_rate, num_train_epochs=options.epochs)
    mixing = Mixing(order="shuffled")
    config = RunConfig(model=options.model, output_dir=options.output, tasks=tasks, mixture=mixing, training=training)
    print("\n".join(train(config, overwrite=True).lines()))

    model, tokenizer = (kind.from_pretrained(options.output) for kind in (plm.AutoModelForTasks, plm.AutoTokenizer))
    batch = tokenizer("show me flights from boston to denver on monday", return_tensors="pt")
    best = {name: said.logits[0].argmax(-1) for name, said in model.predict_heads(**batch).items()}
    print(model.head_config("intent").labels[best["intent"]])
    for token, slot in zip(tokenizer.convert_ids_to_tokens(batch["input_ids"][0].tolist()), best["slots"], strict=True):
        print(f"{token:>12} {model.head_config('slots').labels[slot]}")


if __name__ == "__main__":
    main()
