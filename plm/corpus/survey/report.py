"""An account of a corpus for people, and a picture of its lengths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plm.corpus.survey.counts import Histogram
from plm.corpus.survey.facts import CorpusFacts, Spread
from plm.errors import optional_import

_BAR = 40


def markdown(facts: CorpusFacts, *, title: str, warnings: Sequence[str], settings: Mapping[str, object]) -> str:
    """The account as Markdown. settings: what the corpus was made with, by name."""
    sections = {
        "Warnings": "\n".join(f"- {warning}" for warning in warnings) or "None.",
        "Contents": _table(("", ""), _contents(facts)),
        "Lengths": _table(("", "mean", "median", "95 % have at most", "longest"), _lengths(facts)),
        "Tokens of a sentence": _bars(facts.sentence_tokens, "sentences"),
        "Tokens of a document": _bars(facts.document_tokens, "documents"),
        "Repeated sentences": _table(("times, at least", "sentence"), ((f"{n:,}", text) for text, n in facts.frequent)),
        "Longest sentences": _table(
            ("tokens", "sentence", "begins"),
            ((f"{long.tokens:,}", f"{long.number:,}", long.text) for long in facts.longest),
        ),
        "Settings": _table(("setting", "value"), settings.items()),
    }
    return f"# {title}\n" + "".join(f"\n## {name}\n\n{text}\n" for name, text in sections.items())


def draw(path: Path, *, sentences: Histogram, documents: Histogram) -> None:
    """Sentences by tokens, up to the 1 % of longest ones, and documents by tokens, by eighths of a doubling."""
    figures = optional_import("matplotlib.figure", extra="plot", purpose="drawing the lengths of a corpus")
    # A Figure of its own, not pyplot: nothing global is touched, no window can open.
    figure = figures.Figure(figsize=(7, 6), layout="constrained")
    above, below = figure.subplots(2, 1)
    _stairs(above, sentences, np.arange(sentences.quantile(0.99) + 2), "sentence")
    doublings = np.arange(8 * max(documents.largest.bit_length(), 1) + 1) / 8
    _stairs(below, documents, np.unique(np.floor(2**doublings)).astype(np.int64), "document")
    below.set_xscale("log")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_stem(f".{path.stem}.new")
    figure.savefig(aside)
    aside.replace(path)


def _stairs(axes: Any, sizes: Histogram, edges: np.ndarray[Any, Any], name: str) -> None:
    counts = -np.diff([sizes.above(int(edge) - 1) for edge in edges])
    axes.stairs(counts, edges, fill=True)
    axes.set_xlabel(f"tokens of a {name} (mean {sizes.mean:,.1f}, median {sizes.quantile(0.5):,})")
    axes.set_ylabel(f"{name}s")
    axes.grid(alpha=0.3)


def _contents(facts: CorpusFacts) -> Iterable[tuple[str, str]]:
    yield "documents", f"{facts.documents:,}"
    yield "sentences", f"{facts.sentences:,}"
    yield "tokens", f"{facts.tokens:,}"
    yield "text", f"{facts.bytes:,} bytes, {facts.characters:,} characters"
    if facts.tokens:
        yield "characters of a token", f"{facts.characters / facts.tokens:.2f}"
    yield "unknown tokens", f"{facts.unknown_tokens:,} ({facts.unknown_rate:.3%})"
    if facts.unknown_words:
        yield "unknown, in a sample", ", ".join(f"{word.text} ({word.times})" for word in facts.unknown_words)
    error = f", give or take {facts.duplicate_error:.1%}" if facts.duplicate_error else ""
    yield "repeated sentences", f"{facts.duplicate_rate:.1%}{error}"
    letters = sum(facts.letters.values())
    yield "letters", ", ".join(f"{name} {number / letters:.1%}" for name, number in facts.letters.items())
    if facts.capitals + facts.small_letters:
        yield "capitals", f"{facts.capitals / (facts.capitals + facts.small_letters):.1%} of the letters A to Z"
    for name, times in facts.marks.items():
        yield name, f"{times:,}"


def _lengths(facts: CorpusFacts) -> Iterable[tuple[str, ...]]:
    spreads = {
        "tokens of a sentence": facts.sentence_tokens,
        "tokens of a document": facts.document_tokens,
        "sentences of a document": facts.document_sentences,
    }
    for name, spread in spreads.items():
        numbers = (spread.median, spread.percentile_95, spread.maximum)
        yield name, f"{spread.mean:,.1f}", *(f"{number:,}" for number in numbers)


def _bars(spread: Spread, unit: str) -> str:
    highest = max((number for _, _, number in spread.ranges), default=0)
    rows = [
        (f"{first:,} to {last:,}", f"{number:,}", "#" * -(-number * _BAR // highest))
        for first, last, number in spread.ranges
    ]
    wide, broad = (max((len(row[place]) for row in rows), default=0) for place in (0, 1))
    lines = [f"{sizes:>{wide}}  {number:>{broad}}  {bar}".rstrip() for sizes, number, bar in rows]
    return "\n".join(["```text", *lines, "```"]) if rows else f"No {unit}."


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    if not cells:
        return "None."
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *cells])
