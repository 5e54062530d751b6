"""Pretrain a BERT or a NEZHA on raw text, see how well it guesses hidden words, and let it fill in some.

python examples/pretrain_bert.py books.txt novel.txt --tokenizer bert-base-uncased
python examples/pretrain_bert.py books.txt novel.txt --architecture nezha-small.json --updates 20000

Text files have a sentence or a paragraph a line and a blank line between documents. 2,000 updates of a tiny BERT take
half an hour on one core of a CPU, and teach it little more than which words go together.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import plm
from plm.corpus.layouts import TextLayout
from plm.corpus.prepare import prepare
from plm.runs import PretrainingConfig, pretrain
from plm.runs.example_options import PairOptions
from plm.runs.pretraining_config import CorpusFolders, EvaluationOptions, PretrainingPhase
from plm.training import Phase


def main() -> None:
    """Text to token ids, token ids to a model; then what it knows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", help="a file, folder or pattern to learn from")
    parser.add_argument("dev", help="other text, to judge by")
    parser.add_argument("--tokenizer", default="plm/tiny-en", help="a folder with a vocabulary, or a hub name")
    parser.add_argument("--architecture", default="bert-tiny.json", help="a file, or one of configs/models")
    parser.add_argument("--max-length", type=int, default=128, help="tokens of a pair of texts")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--workers", type=int, default=0, help="processes that make token ids, besides this one")
    parser.add_argument("--ask", default="he opened the [MASK] and went out of the room.")
    parser.add_argument("--output", type=Path, default=Path("my-bert"))
    options = parser.parse_args()

    tokenizer = plm.AutoTokenizer.from_pretrained(options.tokenizer)
    layout = TextLayout(kind="sentences", split="rules")  # paragraphs are cut; what is one sentence stays one
    folders = {"train": options.output / "corpus", "dev": options.output / "corpus-dev"}
    for text, folder in zip((options.text, options.dev), folders.values(), strict=True):
        prepare([text], folder, tokenizer=tokenizer, layout=layout, workers=options.workers, overwrite=True)

    report = pretrain(
        PretrainingConfig(
            model=options.architecture,
            output_dir=str(options.output / "model"),
            corpus=CorpusFolders(**{name: str(folder) for name, folder in folders.items()}),
            examples=PairOptions(),
            phases=(
                PretrainingPhase(
                    schedule=Phase(max_steps=options.updates, learning_rate=options.learning_rate, warmup_ratio=0.05),
                    max_length=options.max_length,
                    batch_size=options.batch_size,
                ),
            ),
            evaluation=EvaluationOptions(batch_size=options.batch_size, max_batches=50),
            training=plm.TrainingConfig(weight_decay=0.01),
        ),
        overwrite=True,
    )
    print("\n".join(report.lines()))
    print(f"hidden words guessed right:         {report.metrics['masked_lm_accuracy']:.4f}")
    print(f"by the most frequent word alone:    {report.metrics['unigram_accuracy']:.4f}")
    fill_in(options.output / "model", options.ask)


def fill_in(folder: Path, text: str, *, count: int = 5) -> None:
    """Print a text with [MASK] in it, and the likeliest words for each."""
    model = plm.AutoModelForMaskedLM.from_pretrained(folder)
    tokenizer = plm.AutoTokenizer.from_pretrained(folder)
    tokenizer.parse_special_tokens = True  # else "[MASK]" is read as plain characters
    batch = tokenizer([text], return_tensors="pt")
    with torch.inference_mode():
        chances = model(**batch).logits.softmax(-1)
    print(text)
    for position in (batch["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten():
        best = chances[0, position].topk(count)
        words = tokenizer.convert_ids_to_tokens(best.indices.tolist())
        print("    " + ", ".join(f"{word} {chance:.3f}" for word, chance in zip(words, best.values, strict=True)))


if __name__ == "__main__":
    main()
