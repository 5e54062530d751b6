"""TinyBERT's data augmentation: asking a masked language model for all words of many texts, against one pass a word.

    python -m benchmarks augment --model bert-base-uncased --table SST-2/train.tsv [--task sst-2] [--dtype float32]

"one_by_one" is how the upstream code asks: a batch of one row for each word, gradients recorded, the whole row through
the head. "word" and "text" are the two settings of Augmentation.passes; what "word" fills in is compared with
"one_by_one" before anything is timed. A model without a head for masked words gets a random one: good for timing alone.
"""

from __future__ import annotations

import argparse
import copy
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.measure import emit, interleave, ratios
from plm.auto.models import AutoModelForMaskedLM
from plm.distillation.augmentation import Augmentation
from plm.distillation.masked_words import MaskedWords
from plm.distillation.replaceable import LANGUAGES, Span, other_words, replaceable
from plm.heads.model import Model
from plm.tasks.glue import glue_task
from plm.tokenizers import Tokenizer, load_tokenizer

ENGLISH = LANGUAGES.get("en")

Filled = list[list[list[str] | None]]
"""For each text and word what may stand there, None = nobody knows."""


def one_by_one(
    model: Model, tokenizer: Tokenizer, texts: Sequence[str], words: Sequence[Sequence[Span]], count: int
) -> Filled:
    """What may stand in place of each word that is one token, by a pass for each word; others get nothing."""
    filled: Filled = []
    for text, spans in zip(texts, words, strict=True):
        batch = tokenizer(text, text, return_tensors="pt", return_offsets_mapping=True, max_length=512)
        places = {span: place for place, span in reversed(list(enumerate(batch.offsets())))}
        ids, types = batch["input_ids"], batch["token_type_ids"]
        options: list[list[str] | None] = []
        for span in spans:
            options.append(None)
            if span not in places or tokenizer.convert_ids_to_tokens(int(ids[0, places[span]])).startswith("##"):
                continue
            masked = ids.clone()
            masked[0, places[span]] = tokenizer.mask_token_id
            best = model(masked, token_type_ids=types).logits[0, places[span]].topk(8 * count).indices.tolist()
            tokens = [token for token in tokenizer.convert_ids_to_tokens(best) if is_word(token)]
            options[-1] = other_words(tokens, text[slice(*span)])[:count]
        filled.append(options)
    return filled


def agreement(some: Filled, others: Filled) -> float:
    """The share of candidates that both have, over words for which both have any."""
    pairs = [
        (set(a), set(b))
        for ones, twos in zip(some, others, strict=True)
        for a, b in zip(ones, twos, strict=True)
        if a and b
    ]
    return round(sum(len(a & b) / max(len(a), len(b)) for a, b in pairs) / len(pairs), 4)


def is_word(token: str) -> bool:
    """True for what may replace an English word."""
    return ENGLISH.word.fullmatch(token) is not None


def main() -> None:
    """Read the arguments, print JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of a BERT")
    parser.add_argument("--table", type=Path, required=True, help="a file of a GLUE task")
    parser.add_argument("--task", default="sst-2", help="which GLUE task")
    parser.add_argument("--texts", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="float32", help="of the model in our two ways")
    parser.add_argument("--tokens", type=int, default=2048, help="of a batch")
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    examples = glue_task(options.task).read(options.table)
    texts = [example.text for example in random.Random(0).sample(examples, options.texts)]
    compare(texts, options)


def compare(texts: Sequence[str], options: argparse.Namespace) -> None:
    """Compare what the ways fill in, then time them in turn."""
    tokenizer, count = load_tokenizer(options.model), Augmentation().candidates
    plain = AutoModelForMaskedLM.from_pretrained(options.model)
    plain.loaded = None  # forgets that the head may be random
    ours = copy.deepcopy(plain).to(getattr(torch, options.dtype))
    words = [replaceable(text, ENGLISH) for text in texts]

    fillers = {
        passes: MaskedWords(ours, tokenizer, is_candidate=is_word, passes=passes, tokens_per_batch=options.tokens)
        for passes in ("word", "text")
    }
    ways: dict[str, Callable[[], Filled]] = {
        "one_by_one": lambda: one_by_one(plain, tokenizer, texts, words, count),
        "word": lambda: fillers["word"].fill(texts, words, count=count),
        "text": lambda: fillers["text"].fill(texts, words, count=count),
    }
    expected = ways["one_by_one"]()
    agreed = {way: agreement(expected, ways[way]()) for way in ("word", "text")}
    assert options.dtype != "float32" or agreed["word"] > 0.999, f"candidates differ: {agreed}"
    seconds = interleave(ways, repetitions=options.repetitions)
    emit(
        "augment",
        task=options.task,
        texts=len(texts),
        words=sum(bool(found) for one in expected for found in one),
        dtype=options.dtype,
        agreement=agreed,
        texts_per_second={way: round(len(texts) / min(spent), 2) for way, spent in seconds.items()},
        word_to_one_by_one=ratios(seconds, of="word", to="one_by_one"),
        text_to_one_by_one=ratios(seconds, of="text", to="one_by_one"),
    )


if __name__ == "__main__":
    main()
