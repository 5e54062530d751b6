"""Examples of pretraining, from prepared token ids to tensors: rows planned and instances masked in a second.

    python -m benchmarks instances [--text books.txt --tokenizer vocab.txt] [--length 128] [--batch 256]

Without a text: made-up sentences of about the lengths of novels. The text: one document after a blank line. CPU seconds
of one thread. Beside it transformers' DataCollatorForLanguageModeling on the same texts, where transformers is there;
it hides each token with its probability, and starts from lists of ids that somebody made before.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import plm
from benchmarks.measure import emit, own_peak_mib
from plm.corpus.batches import CorpusBatches
from plm.corpus.examples import ExampleEpoch, PairExamples, StretchExamples, TextExamples
from plm.corpus.sentences import split_sentences
from plm.corpus.store import Corpus
from plm.data.masking import Masking
from plm.data.plan import Batching
from plm.tokenizers import Tokenizer, load_tokenizer

Ints = NDArray[np.int64]

# How words are masked: name -> options.
MASKINGS: dict[str, dict[str, Any]] = {
    "none": {"probability": 0.0},
    "google": {"count": "google"},
    "independent": {"count": "independent"},
    "whole words": {"count": "google", "whole_words": True},
    "spans": {"count": "google", "max_span": 10},
}


def read_corpus(path: Path, tokenizer: Tokenizer) -> Corpus:
    """The sentences of a text."""
    documents = []
    for document in path.read_text(encoding="utf-8").split("\n\n"):
        sentences = [sentence for line in document.splitlines() for sentence in split_sentences(line)]
        ids = tokenizer.encode_batch_ids(sentences, add_special_tokens=False)[0]
        documents.append([sentence for sentence in ids if sentence])
    return Corpus.of([document for document in documents if document], tokenizer)


def made_up_corpus(tokenizer: Tokenizer, *, documents: int = 1000) -> Corpus:
    """Documents of about 130 sentences of about 22 tokens."""
    draw = np.random.default_rng(0)
    ordinary = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)
    made = []
    for count in draw.poisson(130, documents):
        lengths = np.maximum(1, draw.lognormal(2.9, 0.65, count + 1)).astype(int)
        ids = draw.choice(ordinary, lengths.sum()).tolist()
        ends = [0, *np.cumsum(lengths).tolist()]
        made.append([ids[first:last] for first, last in itertools.pairwise(ends)])
    return Corpus.of(made, tokenizer)


def best_seconds(run: Callable[[], object], *, repetitions: int) -> float:
    """CPU seconds of the fastest run: what others on the machine do makes it slower, never faster."""
    taken = []
    for _ in range(repetitions):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return min(taken)


def batches_of(epoch: ExampleEpoch, *, batch: int, most: int) -> list[Ints]:
    """Numbers of examples in random order, at most so many batches."""
    order = np.random.default_rng(1).permutation(len(epoch))
    return [order[start : start + batch] for start in range(0, min(len(order), most * batch), batch)]


def rate(make: Callable[[Ints], object], batches: list[Ints], *, repetitions: int) -> int:
    """Examples in a CPU second."""

    def make_all() -> None:
        for rows in batches:
            make(rows)

    return round(sum(map(len, batches)) / best_seconds(make_all, repetitions=repetitions))


def plan_rates(corpus: Corpus, options: argparse.Namespace) -> None:
    """Rows planned in a CPU second, and the whole plan of an epoch of batches."""
    length, repetitions = options.length, options.repetitions
    examples = {
        "random": PairExamples(corpus, max_length=length, masking=None),
        "order": PairExamples(corpus, max_length=length, masking=None, next_sentence="order"),
        "texts": TextExamples(corpus, max_length=length, masking=None),
        "stretches": StretchExamples(corpus, max_length=length),
    }
    for name, one in examples.items():
        rows = len(one.epoch(0))
        seconds = best_seconds(lambda one=one: one.epoch(0), repetitions=repetitions)
        emit("instances_plan", examples=name, length=length, rows=rows, rows_per_second=round(rows / seconds))
    batching = Batching(batch_size=options.batch)
    whole = best_seconds(
        lambda: CorpusBatches(examples["random"], batching=batching, seed=1).epoch(0), repetitions=repetitions
    )
    emit("instances_epoch", length=length, rows=len(examples["random"].epoch(0)), seconds=round(whole, 4))


def instance_rates(corpus: Corpus, options: argparse.Namespace) -> None:
    """Masked instances in a CPU second, flat and as padded tensors."""
    most = None if options.length < 20 else round(options.length * 0.15) + 1
    for name, masking in MASKINGS.items():
        cap = {} if masking.get("count") != "google" else {"max_predictions": most}
        examples = PairExamples(corpus, max_length=options.length, masking=Masking(**masking, **cap))
        epoch = examples.epoch(0)
        batches = batches_of(epoch, batch=options.batch, most=64)
        flat = rate(epoch.flat, batches, repetitions=options.repetitions)
        padded = rate(epoch.batch, batches, repetitions=options.repetitions)
        emit(
            "instances", masking=name, length=options.length, batch=options.batch, flat=flat, padded=padded,
            tokens=round(flat * float(epoch.lengths.mean())), peak_mib=own_peak_mib(),
        )  # fmt: skip


def peer_rate(corpus: Corpus, options: argparse.Namespace) -> None:
    """The collator of transformers on the texts of the same pairs."""
    import transformers

    peer = transformers.BertTokenizerFast(vocab=corpus.tokenizer.get_vocab())
    collator = transformers.DataCollatorForLanguageModeling(peer, mlm_probability=0.15)
    epoch = PairExamples(corpus, max_length=options.length, masking=None).epoch(0)
    batches = batches_of(epoch, batch=options.batch, most=4)
    features = []
    for rows in batches:
        flat = epoch.flat(rows)
        ends = np.cumsum(flat.lengths)[:-1]
        features.append([{"input_ids": ids.tolist()} for ids in np.split(flat.ids, ends)])
    seconds = best_seconds(lambda: [collator(part) for part in features], repetitions=options.repetitions)
    emit(
        "instances_transformers", length=options.length, batch=options.batch,
        padded=round(sum(map(len, batches)) / seconds), version=transformers.__version__,
    )  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = (
        load_tokenizer(options.tokenizer) if options.tokenizer else plm.AutoTokenizer.from_pretrained("plm/tiny-en")
    )
    corpus = read_corpus(options.text, tokenizer) if options.text else made_up_corpus(tokenizer)
    plan_rates(corpus, options)
    instance_rates(corpus, options)
    if importlib.util.find_spec("transformers"):
        peer_rate(corpus, options)


if __name__ == "__main__":
    main()
