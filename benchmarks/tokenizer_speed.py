"""Speed of the tokenizers beside the bare Rust package and transformers. Prints one JSON line for each way.

    python benchmarks/tokenizer_speed.py --text books.txt --bert bert-base-uncased-vocab.txt --gpt1 folder

Each way encodes the same lines on one thread, in turn, `--rounds` times; the best CPU time counts. "first" is a fresh
process's first pass, with empty caches.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors

from plm.tokenizers import Tokenizer, load_tokenizer

Ways = dict[str, Callable[[list[str]], Any]]


def bare_bert(vocabulary: dict[str, int]) -> tokenizers.Tokenizer:
    """The pipeline that the Rust package's documentation builds for BERT."""
    backend = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    return backend


def bert_ways(path: Path) -> Ways:
    """Ways to get BERT's ids."""
    ours = load_tokenizer(path)
    bare = bare_bert(ours.get_vocab())
    ways: Ways = {
        "tokenizers encode_batch_fast": bare.encode_batch_fast,
        "tokenizers encode_batch_fast, ids": lambda lines: [row.ids for row in bare.encode_batch_fast(lines)],
        "tokenizers encode_batch": bare.encode_batch,
        "plm encode_batch_ids": ours.encode_batch_ids,
        "plm call": ours,
    }
    transformers = installed_transformers()
    if transformers:
        ways["transformers call"] = transformers.BertTokenizer(str(path), do_lower_case=True)
    return ways


def gpt1_ways(folder: Path) -> Ways:
    """Ways to get GPT-1's ids."""
    kinds: dict[str, Tokenizer] = {k: load_tokenizer(folder, pretokenizer=k) for k in ("openai", "bert")}  # type: ignore[arg-type]
    ways: Ways = {f"plm encode_batch_ids, {kind}": tokenizer.encode_batch_ids for kind, tokenizer in kinds.items()}
    ways["plm call with offsets, openai"] = lambda lines: kinds["openai"](lines, return_offsets_mapping=True)
    transformers = installed_transformers()
    if transformers:
        files = (str(folder / "encoder_bpe_40000.json"), str(folder / "vocab_40000.bpe"))
        ways["transformers call"] = transformers.OpenAIGPTTokenizer(*files)
    return ways


def installed_transformers() -> Any:
    """The package transformers, or None."""
    try:
        import transformers
    except ImportError:
        return None
    transformers.logging.set_verbosity_error()
    return transformers


def measure(ways: Ways, lines: list[str], *, rounds: int) -> Iterator[dict[str, Any]]:
    """CPU seconds of every way, taken in turn so that a busy machine is unfair to none."""
    megabytes = sum(len(line.encode()) for line in lines) / 1e6
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, encode in ways.items():
            start = time.process_time()
            encode(lines)
            seconds[name].append(time.process_time() - start)
    for name, spent in seconds.items():
        yield {
            "way": name,
            "MB_per_s": round(megabytes / min(spent), 2),
            "first_MB_per_s": round(megabytes / spent[0], 2),
            "MB": round(megabytes, 2),
            "lines": len(lines),
        }


def ready_seconds(path: Path) -> float:
    """Seconds from the start of Python to the first ids, the best of five processes."""
    code = f"from plm.tokenizers import load_tokenizer; load_tokenizer({str(path)!r})('hello')"

    def once() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    return round(min(once() for _ in range(5)), 3)


def main() -> None:
    """Read the arguments, print JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True, help="UTF-8 text, one passage a line")
    parser.add_argument("--bert", type=Path, required=True, help="vocab.txt of an uncased BERT")
    parser.add_argument("--gpt1", type=Path, required=True, help="folder of encoder_bpe_40000.json and vocab_40000.bpe")
    parser.add_argument("--lines", type=int, default=12000, help="how many lines to read")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    lines = [line for line in arguments.text.read_text(encoding="utf-8").split("\n") if line][: arguments.lines]
    for model, ways in (("bert", bert_ways(arguments.bert)), ("gpt1", gpt1_ways(arguments.gpt1))):
        for result in measure(ways, lines, rounds=arguments.rounds):
            print(json.dumps({"model": model, **result}), flush=True)
    for model, path in (("bert", arguments.bert), ("gpt1", arguments.gpt1)):
        print(json.dumps({"model": model, "way": "python start to first ids", "seconds": ready_seconds(path)}))


if __name__ == "__main__":
    main()
