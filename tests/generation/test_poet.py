"""A poet keeps form, rhyme and tones whatever its model thinks, and writes what was given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from plm.blocks.int8 import int8_supported
from plm.errors import CheckpointError, ConfigError, PoemError, UnknownNameError
from plm.generation.poem import Poem
from plm.generation.poet import Poet
from plm.poetry import FORMS, RhymeBook, form_from_dict
from plm.poetry.known_lines import FILE_NAME, KnownLines
from plm.poetry.plan import Planner
from plm.poetry.prompt import SHAPES, TYPES
from plm.poetry.request import PoemRequest
from plm.poetry.rhyming import common_classes
from tests.tiny_models import tiny_model
from tests.tiny_poets import BOOKS, tiny_poet, tiny_poet_folder, tiny_tokenizer

SONG = {
    "name": "小令",
    "orders": {"正体": {"lines": ["中中仄", "中仄仄平平仄", "中平中仄平平仄"], "rhymes": [1, 2, 3]}},
}


@pytest.fixture(scope="module")
def poet() -> Poet:
    return tiny_poet()


@pytest.fixture
def song() -> Iterator[str]:
    FORMS.add("小令", form_from_dict(SONG))
    yield "小令"
    FORMS.remove("小令")


def alike(one: Poem, other: Poem) -> bool:
    """Equal, but for the last digits of a score."""
    return one.lines == other.lines and one.score == pytest.approx(other.score, abs=1e-4)


@pytest.mark.parametrize("strict", [True, False])
def test_every_form_is_kept_by_every_book(poet: Poet, song: str, strict: bool) -> None:
    shapes = [{"form": form} for form in (*SHAPES, song)]
    shapes += [{"form": "free", "lines": lines, "line_length": 5} for lines in (2, 3, 5)]
    wishes = [
        PoemRequest(book=book, strict=strict, n=2, candidates=2, **shape)  # type: ignore[arg-type]
        for book in BOOKS
        for shape in shapes
    ]
    for wish, poems in zip(wishes, poet.write_all(wishes), strict=True):
        assert len(poems) == 2
        for poem in poems:
            assert poem.report.ok, f"{wish}\n{poem.report}"
            assert poem.report.strict == strict
            assert poem.report.book == wish.book


def test_orders_rhymes_and_licences_are_as_they_are_wished(poet: Poet) -> None:
    wishes = [
        PoemRequest(form=form, order=order, rhyme="七阳", strict=strict, licences=names, seed=7, candidates=2, n=2)
        for form in SHAPES
        for names in [tuple(licence.name for licence in FORMS.get(form).licences)]
        for order in "ABCD"
        for strict in (True, False)
    ]
    used = set()
    for wish, poems in zip(wishes, poet.write_all(wishes), strict=True):
        for poem in poems:
            assert poem.report.ok, f"{wish}\n{poem.report}"
            assert poem.report.order == wish.order
            assert "七阳" in common_classes(poem.report.rhyme_words, RhymeBook.named("pingshui"))
            used |= {note.name for note in poem.report.licences}
    assert used == {licence.name for form in SHAPES for licence in FORMS.get(form).licences}


def test_the_longest_free_poem_is_written(poet: Poet) -> None:
    (poem,) = poet.write(PoemRequest(form="free", lines=24, line_length=9, candidates=1))
    assert [len(line) for line in poem.lines] == [9] * 24
    assert poem.report.ok
    assert len(set(poem.report.rhyme_words)) == 12


def test_heads_and_tails_stand_where_they_should(poet: Poet) -> None:
    wish = PoemRequest(mode="acrostic", form="七绝", text="人人智能", tails="山花月家", n=4, candidates=4)
    for poem in poet.write(wish):
        assert [line[0] for line in poem.lines] == list("人人智能")
        assert [line[-1] for line in poem.lines] == list("山花月家")
        assert poem.given == tuple((line, place) for line in (1, 2, 3, 4) for place in (1, 7))
        assert poem.report.rhyme_class == "六麻"


def test_a_poem_goes_on_from_its_text(poet: Poet) -> None:
    (poem,) = poet.write(PoemRequest(mode="continue", text="春夏秋冬花，山水", candidates=2))
    assert poem.form == "五绝"
    assert poem.text.replace("\n", "").startswith("春夏秋冬花，山水")


def test_what_is_given_stays_and_the_report_tells_what_it_breaks(poet: Poet) -> None:
    # Seven level characters: no order of lines begins so.
    (poem,) = poet.write(PoemRequest(mode="continue", text="人工春秋花家山", candidates=4))
    assert poem.lines[0] == "人工春秋花家山"
    assert poem.report.tone_errors
    assert {error.line for error in poem.report.tone_errors} == {1}


def test_traditional_poems_have_what_was_given_as_it_was_typed(poet: Poet) -> None:
    wish = PoemRequest(mode="acrostic", text="頭髮乾东", script="traditional", candidates=1)
    (poem,) = poet.write(wish)
    assert [line[0] for line in poem.lines] == list("頭髮乾東")
    assert [line[0] for line in poem.report.lines] == list("头发乾东")


def test_a_poem_is_the_same_alone_and_among_others(poet: Poet) -> None:
    wishes = [
        PoemRequest(form="七绝", seed=1),
        PoemRequest(form="五律", title="春夜", seed=1),
        PoemRequest(mode="acrostic", text="人工智能", seed=1),
        PoemRequest(form="七绝", seed=1, temperature=0.7, n=3),
        PoemRequest(form="五绝", seed=1, book="xinyun", n=2),
    ]
    together = poet.write_all(wishes)
    for wish, poems in zip(wishes, together, strict=True):
        alone = poet.write(wish)
        assert len(alone) == len(poems) == wish.n
        assert all(map(alike, alone, poems))
    small = Poet(poet.model, poet.tokenizer, rows=5).write_all(wishes)
    assert all(
        alike(*pair) for one, other in zip(small, together, strict=True) for pair in zip(one, other, strict=True)
    )


def test_seeds_make_poems_different_and_candidates_differ(poet: Poet) -> None:
    poems = poet.write(PoemRequest(form="七绝", n=8, candidates=3))
    assert len({poem.lines for poem in poems}) == 8
    assert poet.write(PoemRequest(form="七绝", seed=1))[0].lines not in {poem.lines for poem in poems}


def test_the_best_come_first(poet: Poet) -> None:
    every = poet.write(PoemRequest(form="五绝", n=8))
    scores = [poem.score for poem in every]
    assert scores == sorted(scores, reverse=True)
    assert alike(poet.write(PoemRequest(form="五绝", n=1, candidates=8))[0], every[0])


def test_alike_candidates_are_told_once(poet: Poet) -> None:
    text = "春夏秋冬夜，山水月明光。人工智能花，李白乾坤"
    poems = poet.write(PoemRequest(mode="continue", form="五绝", text=text, n=40, rhyme="七阳"))
    assert 1 < len(poems) == len({poem.lines for poem in poems}) < 40


def test_a_score_is_the_mean_log_probability_of_what_was_chosen(poet: Poet) -> None:
    wish = PoemRequest(mode="continue", form="五绝", text="春夏秋冬花，山", title="夜", candidates=1, order="A")
    (poem,) = poet.write(wish)
    planner = Planner(wish, poet.characters)
    plan = planner.plan(0)
    body = poem.text.replace("\n", "")
    ids = poet.tokenizer.convert_tokens_to_ids([*planner.prompt, *body, "[SEP]"])
    numbers = [slot.wish.number for slot in plan.slots]
    types = [0] * (len(planner.prompt) - 1) + numbers + [0]
    with torch.inference_mode():
        logits = poet.model(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([types])).logits[0]
    steps = [step for step, slot in enumerate(plan.slots) if slot.given is None]
    first = len(planner.prompt)
    told = [logits[first + step - 1].log_softmax(-1)[ids[first + step]] for step in steps]
    assert poem.score == pytest.approx(float(torch.stack(told).mean()), abs=1e-5)


def test_poems_with_lines_of_the_training_data_come_last() -> None:
    wish = PoemRequest(form="五绝", n=8)
    best, *others = tiny_poet().write(wish)
    knowing = tiny_poet(known=KnownLines.of([best.lines[2]]))
    ranked = knowing.write(wish)
    assert ranked[-1].lines == best.lines
    assert ranked[-1].copied == (best.lines[2],)
    assert all(map(alike, ranked, others))
    assert knowing.write(PoemRequest(form="五绝", n=8, may_copy=True))[0].lines == best.lines


def test_lines_that_are_given_are_not_copied() -> None:
    known = KnownLines.of(["春夏秋冬花"])
    (poem,) = tiny_poet(known=known).write(PoemRequest(mode="continue", text="春夏秋冬花，", candidates=1))
    assert poem.copied == ()


class Contrary:
    """Likes what the model does not."""

    def __call__(self, texts: Sequence[str]) -> list[float]:
        return [float(sum(map(ord, text)) % 97) for text in texts]


def test_a_judge_has_a_say() -> None:
    wish = PoemRequest(form="五绝", n=8)
    judged = tiny_poet(judge=Contrary()).write(wish)
    verdicts = [poem.judged for poem in judged]
    assert verdicts == [Contrary()(["".join(poem.text.split())])[0] for poem in judged]
    worth = [poem.score + verdict for poem, verdict in zip(judged, verdicts, strict=True) if verdict is not None]
    assert worth == sorted(worth, reverse=True)
    assert len(worth) == 8


def test_what_is_left_out_of_a_title_is_told(poet: Poet) -> None:
    (poem,) = poet.write(PoemRequest(form="五绝", title="春龘", candidates=1))
    assert poem.title == "春龘"
    assert poem.notes == ("title: the poet does not know 龘, and leaves it out",)
    assert poem.to_dict()["notes"] == list(poem.notes)


def test_a_model_with_few_positions_writes_what_fits() -> None:
    poet = tiny_poet("bert", max_position_embeddings=32)
    wishes = [PoemRequest(form="五绝", title=title, candidates=2) for title in ("", "春夜", "春夜花")]
    assert [len(one.lines) for (one,) in poet.write_all(wishes)] == [4] * 3
    with pytest.raises(PoemError, match="takes 33 tokens with its title, and the model has positions for 32: wish for"):
        poet.write(PoemRequest(form="五绝", title="春夜花月光"))


def test_wishes_that_cannot_be_met_are_told_before_anything_is_written(poet: Poet) -> None:
    with pytest.raises(PoemError, match="does not know 龘"):
        poet.write(PoemRequest(mode="acrostic", text="龘工智能"))
    with pytest.raises(UnknownNameError, match="licences: 七绝 has none '首句'"):
        poet.write(PoemRequest(form="七绝", licences=("首句",)))
    assert poet.write_all([]) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type_vocab_size": 2}, f"knows 2 of {TYPES} wishes"),
        ({"attention_pattern": "full"}, "sees the words after a word"),
    ],
)
def test_models_that_learned_no_poems_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((CheckpointError, ConfigError), match=message):
        tiny_poet(**changes)


def test_a_vocabulary_without_forms_is_refused() -> None:
    words = tiny_tokenizer()
    words.get_vocab = lambda: {"[CLS]": 0}  # type: ignore[method-assign]
    with pytest.raises(CheckpointError, match=r"its vocabulary lacks \[五绝\]"):
        Poet(tiny_model("nezha", "causal_lm"), words)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", *(["int8"] if int8_supported() else [])])
def test_a_folder_gives_the_poet(poet: Poet, tmp_path: Path, dtype: str) -> None:
    folder = tiny_poet_folder(tmp_path)
    (folder / FILE_NAME).write_bytes(KnownLines.of(["春夏秋冬花"]).to_bytes())
    loaded = Poet.from_pretrained(folder, dtype=dtype)
    wish = PoemRequest(form="五绝", candidates=1)
    (poem,) = loaded.write(wish)
    assert poem.report.ok
    assert dtype != "float32" or alike(poem, poet.write(wish)[0])
    assert loaded.known is not None
    assert len(loaded.known) == 1
