"""How poems do by the rules, form by form: the human row beside which machines are judged."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from plm.poetry.checking import check
from plm.poetry.report import Report
from plm.poetry.rhyme_books import RhymeBook

COLUMNS = ("rhyme", "opening", "pivots", "exact", "near", "both", "repeats", "unknown")


@dataclass(frozen=True, kw_only=True)
class Row:
    """Figures over the poems of one form; all but `poems` are shares from 0 to 1.

    poems: how many.
    rhyme: the lines that must rhyme do (by one level class, in regulated verse).
    opening: the first line rhymes with them.
    pivots: no character breaks the best fitting order at the second, fourth, sixth and last place of a line.
    exact: no character breaks it anywhere; near: at most two do; both: `rhyme` and `exact`.
    repeats: some character comes more than once.
    unknown: the rhyme book does not know some character, which then passed for any tone.
    orders: share of each order among the poems of `both`, by name.
    """

    poems: int
    rhyme: float
    opening: float
    pivots: float
    exact: float
    near: float
    both: float
    repeats: float
    unknown: float
    orders: dict[str, float]


@dataclass(frozen=True)
class Survey:
    """Figures by form, the number of poems of no known form, and the share of each class among poems that rhyme."""

    rows: dict[str, Row]
    others: int
    rhymes: dict[str, float]

    def to_dict(self) -> dict[str, object]:
        """As JSON knows it."""
        return asdict(self)

    def __str__(self) -> str:
        """A table for people."""
        lines = ["form   poems " + " ".join(f"{column:>8}" for column in COLUMNS)]
        for form, row in self.rows.items():
            lines.append(f"{form:<4}{row.poems:>6} " + " ".join(f"{getattr(row, column):8.3f}" for column in COLUMNS))
        return "\n".join([*lines, f"poems of other shapes: {self.others}"])


def survey(poems: Iterable[str | Sequence[str]], *, book: RhymeBook | str = "pingshui") -> Survey:
    """Figures over many poems, each a text or its lines; some thousand poems a second.

    Tones are judged without licences. A character that the book does not know passes for whatever is wanted.
    """
    book = RhymeBook.named(book) if isinstance(book, str) else book
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    orders: defaultdict[str, Counter[str]] = defaultdict(Counter)
    rhymes: Counter[str] = Counter()
    others = 0
    for poem in poems:
        report = check(poem, book=book, strict=False)
        if report.form is None or report.order is None:
            others += 1
            continue
        pivots = check(report.lines, report.form, book=book, strict=False, judged="pivots")
        counts[report.form].update(_marks(report, pivots))
        if report.rhyme_class is not None:
            rhymes[report.rhyme_class] += 1
            if not report.tone_errors:
                orders[report.form][report.order] += 1
    rows = {form: _row(tally, orders[form]) for form, tally in counts.items()}
    return Survey(rows, others, _shares(rhymes))


def _marks(report: Report, pivots: Report) -> list[str]:
    """The columns to which a poem counts."""
    exact = not report.tone_errors
    marks = {
        "poems": True,
        "rhyme": report.rhyme_ok,
        "opening": report.rhyme_ok and report.rhyme_lines[0] == 1,
        "pivots": not pivots.tone_errors,
        "exact": exact,
        "near": len(report.tone_errors) <= 2,
        "both": exact and report.rhyme_ok,
        "repeats": bool(report.repeated),
        "unknown": bool(report.unknown),
    }
    return [column for column, holds in marks.items() if holds]


def _row(counts: Counter[str], orders: Counter[str]) -> Row:
    poems = counts["poems"]
    shares = {column: counts[column] / poems for column in COLUMNS}
    return Row(poems=poems, orders=_shares(orders), **shares)


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {name: counts[name] / total for name in sorted(counts, key=lambda name: -counts[name]) if total}
