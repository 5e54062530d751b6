"""Speed of the word cache beside the Rust package that it asks. Prints one JSON line for each text, and one for memory.

    python benchmarks/word_cache.py --data folder

`folder` has vocabs/, text_en/ and text_zh/; what is missing is left out. The same lines are encoded on one thread, in
blocks of a megabyte as preparation has them, all ways in turn, `--rounds` times; the best CPU time counts. "cold" is a
new cache, its making included; "warm" has seen the text. Every round's ids are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np

from plm.corpus.segmenters import DictionarySegmenter, word_starts
from plm.tokenizers import Tokenizer, load_tokenizer
from plm.tokenizers.word_cache import WordCache

Blocks = list[list[str]]

# Vocabulary, what else to tell load_tokenizer, and text.
CASES: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("bert-base-uncased-vocab.txt", {}, "text_en/books.txt"),
    ("bert-base-cased-vocab.txt", {}, "text_en/books.txt"),
    ("bert-base-uncased-vocab.txt", {}, "text_en/wikitext2_valid.txt"),
    ("bert-base-chinese-vocab.txt", {}, "text_zh/essays.txt"),
    ("bert-base-chinese-vocab.txt", {}, "text_zh/wiki_sample.txt"),
    ("gpt1", {"pretokenizer": "bert"}, "text_en/wikitext2_valid.txt"),
    ("gpt1", {"pretokenizer": "openai"}, "text_en/wikitext2_valid.txt"),
)
WORDS = "text_zh/words_jieba_small.txt"


def read_blocks(path: Path, *, size: int = 1_000_000) -> Blocks:
    """The lines of a file in blocks of about `size` bytes."""
    blocks: Blocks = [[]]
    filled = 0
    for line in path.read_text(encoding="utf-8").split("\n"):
        blocks[-1].append(line)
        filled += len(line.encode())
        if filled > size:
            blocks.append([])
            filled = 0
    return blocks


def megabytes(blocks: Blocks) -> float:
    """Size of the text in UTF-8, without line ends."""
    return sum(len(line.encode()) for block in blocks for line in block) / 1e6


def cpu_seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of a call, and its result."""
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


def rust_ids(tokenizer: Tokenizer, blocks: Blocks) -> list[list[list[int]]]:
    """The ids as the Rust package alone gives them; words of OpenAI, which it does not know, as plm does."""
    if tokenizer.openai_words:
        return [tokenizer.encode_batch_ids(block, add_special_tokens=False)[0] for block in blocks]
    encode = tokenizer.backend.encode_batch_fast
    return [[row.ids for row in encode(block, add_special_tokens=False)] for block in blocks]


def compare(tokenizer: Tokenizer, blocks: Blocks, *, rounds: int) -> dict[str, Any]:
    """MB/s of the cache, cold and warm, and of encode_batch_fast; their ratios; whether all ids are equal."""
    seconds: dict[str, list[float]] = {"rust": [], "cold": [], "warm": []}
    equal = True
    for _ in range(rounds):
        spent, expected = cpu_seconds(lambda: rust_ids(tokenizer, blocks))
        seconds["rust"].append(spent)

        def cold() -> tuple[WordCache, list[tuple[Any, Any]]]:
            cache = WordCache(tokenizer)
            return cache, [cache.encode(block) for block in blocks]

        spent, (cache, found) = cpu_seconds(cold)
        seconds["cold"].append(spent)
        spent, again = cpu_seconds(lambda cache=cache: [cache.encode(block) for block in blocks])  # type: ignore[misc]
        seconds["warm"].append(spent)
        for rows, *both in zip(expected, found, again, strict=True):
            ids = np.array([id_ for row in rows for id_ in row])
            lengths = [len(row) for row in rows]
            equal &= all(np.array_equal(i, ids) and np.array_equal(n, lengths) for i, n in both)
    size, best = megabytes(blocks), {way: min(spent) for way, spent in seconds.items()}
    return {
        "MB": round(size, 2),
        **{f"{way}_MB_per_s": round(size / spent, 2) for way, spent in best.items()},
        **{f"{way}_to_rust": round(best["rust"] / best[way], 2) for way in ("cold", "warm")},
        "words": len(cache),
        "equal": equal,
    }


def segmenting(tokenizer: Tokenizer, blocks: Blocks, words: Path) -> dict[str, Any]:
    """MB/s of the segmenter alone, and of the tokens that words begin at, the segmenter included."""
    segmenter, cache = DictionarySegmenter(words), WordCache(tokenizer)
    encoded = [cache.encode(block) for block in blocks]
    alone, _ = cpu_seconds(lambda: [segmenter(line) for block in blocks for line in block])
    whole, _ = cpu_seconds(
        lambda: [
            word_starts(block, *both, segmenter=segmenter, cache=cache)
            for block, both in zip(blocks, encoded, strict=True)
        ]
    )
    size = megabytes(blocks)
    return {"segmenter_MB_per_s": round(size / alone, 2), "word_starts_MB_per_s": round(size / whole, 2)}


def full_cache_megabytes(tokenizer: Tokenizer, *, capacity: int) -> float:
    """Memory of a cache full of words of 4 to 12 letters, drawn at random."""
    generator = np.random.default_rng(0)
    tracemalloc.start()
    cache = WordCache(tokenizer, capacity=capacity)
    while len(cache) < capacity:
        letters = generator.integers(ord("a"), ord("z") + 1, (10_000, 12), dtype=np.uint8)
        lengths = generator.integers(4, 13, 10_000)
        rows = zip(letters, lengths, strict=True)
        cache.encode([" ".join(row[:length].tobytes().decode() for row, length in rows)])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / 1e6


def results(data: Path, *, rounds: int) -> Iterator[dict[str, Any]]:
    """One result for each text that is there, and the memory of a full cache."""
    for vocabulary, options, text in CASES:
        if not ((data / "vocabs" / vocabulary).exists() and (data / text).exists()):
            continue
        tokenizer = load_tokenizer(data / "vocabs" / vocabulary, **options)
        blocks = read_blocks(data / text)
        yield {
            "vocabulary": vocabulary,
            **options,
            "text": text,
            **compare(tokenizer, blocks, rounds=rounds),
            **(segmenting(tokenizer, blocks, data / WORDS) if "chinese" in vocabulary else {}),
        }
    tokenizer = load_tokenizer(data / "vocabs" / CASES[0][0])
    yield {"capacity": 200_000, "full_MB": round(full_cache_megabytes(tokenizer, capacity=200_000), 1)}


def main() -> None:
    """Read the arguments, print JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with vocabs, text_en and text_zh")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    for result in results(arguments.data, rounds=arguments.rounds):
        print(json.dumps({"benchmark": "word_cache", **result}), flush=True)


if __name__ == "__main__":
    main()
