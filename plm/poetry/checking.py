"""Checks a poem against a form and a rhyme book."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from plm.errors import UnknownNameError, did_you_mean
from plm.poetry.characters import parse_poem
from plm.poetry.fitting import Judged, Misfit, Note, Tones, best_fit, faults
from plm.poetry.form_tables import FORMS, find_form, form_of
from plm.poetry.forms import Form, Licence, Order
from plm.poetry.report import Report, RhymeError, ToneError
from plm.poetry.rhyme_books import RhymeBook
from plm.poetry.rhyming import Rhyme, common_classes, find_rhyme
from plm.poetry.tones import EITHER, signs

NEIGHBOUR_RHYME, UNRHYMED_OPENING = "首句邻韵", "首句不入韵"
"""The licence and the fault that concern no tones: they are about the first line, which rhymes in some orders only."""

MEANINGS = {
    NEIGHBOUR_RHYME: "the first line borrows a neighbouring rhyme",
    UNRHYMED_OPENING: "the first line ends level without rhyming",
}


def check(
    poem: str | Sequence[str],
    form: Form | str | None = None,
    *,
    book: RhymeBook | str = "pingshui",
    order: str | None = None,
    strict: bool = True,
    judged: Judged = "all",
    licences: Collection[str] = (),
) -> Report:
    """Judge form, tones and rhyme of a poem.

    poem: text with or without punctuation, or its lines; simplified or traditional.
    form: a form or its name; None finds the one with lines of these lengths.
    book: a rhyme book or its name.
    order: hold the poem against this order of the form; None takes the one that fits best.
    strict: True makes unknown characters at judged places errors, and faults make the poem wrong. False takes unknown
        characters for whatever is wanted and only tells of faults.
    judged: "all" places of a line, or only its "pivots" as easier rules have it.
    licences: departures to allow, by name: those of the form (三四互换, 大拗相救, ...) and 首句邻韵.

    A character that is said in several ways may take any of them. A poem is never an error: where no form fits, the
    report says why and judges the rhyme of the even lines. Raises UnknownNameError and PoemError for unknown names.
    """
    book = RhymeBook.named(book) if isinstance(book, str) else book
    lines = parse_poem(poem) if isinstance(poem, str) else tuple(line for part in poem for line in parse_poem(part))
    wanted = find_form(form) if isinstance(form, str) else form or form_of(lines)
    allowed = _licences(wanted, licences)
    tones = tuple(tuple(map(book.tones, line)) for line in lines)
    report = Report(lines=lines, book=book.name, strict=strict, tones=tuple(map(signs, tones)))
    if wanted is None or wanted.lengths != tuple(map(len, lines)):
        report = replace(report, form=wanted.name if wanted else None, problem=_misshape(lines, wanted))
        return _with_rhyme(report, _free_rhyme(lines, book))
    orders = [wanted.order(order)] if order is not None else _rhyming_first(wanted, lines, book)
    supposed = tones if strict else tuple(tuple(one or EITHER for one in line) for line in tones)
    fit = best_fit(supposed, orders, judged=judged, licences=allowed)
    rhyme, opening = _rhyme(lines, wanted, fit.order, book, may_borrow=NEIGHBOUR_RHYME in licences)
    return replace(
        _with_rhyme(report, rhyme),
        form=wanted.name,
        order=fit.order.name,
        template=fit.order.patterns,
        tone_errors=tuple(_tone_error(misfit, lines, tones) for misfit in fit.misfits),
        faults=(
            *(note for note in opening if note.name == UNRHYMED_OPENING),
            *faults(tones, wanted, fit.order),
        ),
        licences=(*(note for note in opening if note.name == NEIGHBOUR_RHYME), *fit.licences),
    )


def _licences(form: Form | None, names: Collection[str]) -> list[Licence]:
    """The form's licences with these names, in the order of the form. Raises UnknownNameError."""
    everywhere = [licence for _, one in FORMS.items() for licence in one.licences]
    of_form = list(form.licences) if form else []
    known = list(dict.fromkeys([*(licence.name for licence in (*of_form, *everywhere)), NEIGHBOUR_RHYME]))
    for name in names:
        if name not in known:
            raise UnknownNameError(f"unknown licence {name!r}{did_you_mean(name, known)} (known: {', '.join(known)})")
    return [licence for licence in of_form if licence.name in names]


def _misshape(lines: Sequence[str], form: Form | None) -> str:
    """Why these lines have not the shape of the form, or of any."""
    lengths = ", ".join(str(len(line)) for line in lines) or "none"
    if form is not None:
        return f"{form.name} has lines of {', '.join(map(str, form.lengths))} characters; these have {lengths}"
    return f"no known form ({', '.join(FORMS)}) has lines of these lengths: {lengths}"


def _rhyming_first(form: Form, lines: Sequence[str], book: RhymeBook) -> list[Order]:
    """The orders of a form: those first whose rhymes the lines have, the commonest first."""

    def rhyming(order: Order) -> int:
        words = [lines[line - 1][-1] for line in order.rhymes]
        return len(words) if common_classes(words, book, order.rhyme_tone) else 0

    return sorted(form.orders, key=lambda order: (-rhyming(order), -order.share))


def _rhyme(
    lines: Sequence[str], form: Form, order: Order, book: RhymeBook, *, may_borrow: bool
) -> tuple[Rhyme, list[Note]]:
    """The rhyme of all lines that should have it or, failing that, of those that must, and a note on the rest."""
    tone = order.rhyme_tone
    whole = find_rhyme(lines, order.rhymes, book, tone)
    if whole.rhyme_class is not None or order.rhymes == form.rhymes:
        return whole, []
    core = find_rhyme(lines, form.rhymes, book, tone)
    if core.rhyme_class is None:
        return core, []
    opening = [line for line in order.rhymes if line not in form.rhymes]
    near = all(
        any(book.are_neighbours(core.rhyme_class, other) for other in book.rhymes(lines[line - 1][-1], tone))
        for line in opening
    )
    name = NEIGHBOUR_RHYME if may_borrow and near else UNRHYMED_OPENING
    return core, [Note(opening[0], name, MEANINGS[name])]


def _free_rhyme(lines: Sequence[str], book: RhymeBook) -> Rhyme:
    """The rhyme of the even lines, whichever tone they share."""
    even = range(2, len(lines) + 1, 2)
    level, oblique = find_rhyme(lines, even, book, "level"), find_rhyme(lines, even, book, "oblique")
    return oblique if level.rhyme_class is None and oblique.rhyme_class is not None else level


def _with_rhyme(report: Report, rhyme: Rhyme) -> Report:
    return replace(
        report,
        rhyme_class=rhyme.rhyme_class,
        rhyme_lines=tuple(rhyme.words),
        rhyme_words=tuple(rhyme.words.values()),
        rhyme_errors=tuple(RhymeError(line, rhyme.words[line], classes) for line, classes in rhyme.outside.items()),
    )


def _tone_error(misfit: Misfit, lines: Sequence[str], tones: Sequence[Tones]) -> ToneError:
    line, place = misfit.line - 1, misfit.position - 1
    return ToneError(
        line=misfit.line,
        position=misfit.position,
        character=lines[line][place],
        expected=misfit.want,
        found=next(iter(tones[line][place]), "unknown"),
    )
