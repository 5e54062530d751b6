"""Pretrain a GPT-1 on raw text, see how surprised it is by other text, and ask what comes next.

python examples/pretrain_gpt1.py books.txt novel.txt --tokenizer openai-gpt
python examples/pretrain_gpt1.py 'books/*.txt.gz' novel.txt --tokenizer openai-gpt --architecture gpt1.json

Text files have a sentence or a paragraph a line and a blank line between documents. The small GPT-1 is best trained on
a GPU; on a CPU, --batch-size 4 --updates 20 shows that everything runs.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch

import plm
from plm.corpus.layouts import TextLayout
from plm.corpus.prepare import prepare
from plm.runs import PretrainingConfig, pretrain
from plm.runs.example_options import StretchOptions
from plm.runs.pretraining_config import CorpusFolders, EvaluationOptions, PretrainingPhase
from plm.training import Phase


def main() -> None:
    """Text to token ids, token ids to a model; then what it knows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", help="a file, folder or pattern to learn from")
    parser.add_argument("dev", help="other text, to judge by")
    parser.add_argument("--tokenizer", default="openai-gpt", help="a folder with GPT-1's vocabulary, or a hub name")
    parser.add_argument("--architecture", default="gpt1-small.json", help="a file, or one of configs/models")
    parser.add_argument("--max-length", type=int, default=128, help="tokens of a block")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--updates", type=int, default=5000)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--workers", type=int, default=0, help="processes that make token ids, besides this one")
    parser.add_argument("--ask", default="he opened the")
    parser.add_argument("--output", type=Path, default=Path("my-gpt1"))
    options = parser.parse_args()

    tokenizer = plm.AutoTokenizer.from_pretrained(options.tokenizer)
    layout = TextLayout(kind="sentences")  # lines stay whole: blocks are cut out of the stream of tokens anyway
    folders = {"train": options.output / "corpus", "dev": options.output / "corpus-dev"}
    for text, folder in zip((options.text, options.dev), folders.values(), strict=True):
        prepare([text], folder, tokenizer=tokenizer, layout=layout, workers=options.workers, overwrite=True)

    report = pretrain(
        PretrainingConfig(
            model=options.architecture,
            output_dir=str(options.output / "model"),
            corpus=CorpusFolders(**{name: str(folder) for name, folder in folders.items()}),
            examples=StretchOptions(),
            phases=(
                PretrainingPhase(
                    schedule=Phase(
                        max_steps=options.updates,
                        learning_rate=options.learning_rate,
                        warmup_ratio=0.05,
                        lr_scheduler="cosine",
                    ),
                    max_length=options.max_length,
                    batch_size=options.batch_size,
                ),
            ),
            evaluation=EvaluationOptions(batch_size=options.batch_size, max_batches=50),
            training=plm.TrainingConfig(optimizer="openai_adam", weight_decay=0.01),
        ),
        overwrite=True,
    )
    print("\n".join(report.lines()))
    print(f"perplexity of the other text:           {report.metrics['perplexity']:.1f}")
    print(f"for who knows how frequent words are:   {math.exp(report.metrics['unigram_loss']):.1f}")
    what_comes_next(options.output / "model", options.ask)


def what_comes_next(folder: Path, text: str, *, count: int = 5) -> None:
    """Print a text and the likeliest tokens after it."""
    model = plm.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = plm.AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        logits = model(**tokenizer([text], return_tensors="pt")).logits
    best = logits[0, -1].softmax(-1).topk(count)
    print(f"{text} ...")
    for token, chance in zip(best.indices.tolist(), best.values.tolist(), strict=True):
        print(f"    {chance:.3f}  {tokenizer.decode([token])}")


if __name__ == "__main__":
    main()
