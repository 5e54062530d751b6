"""What may stand where: masks over a vocabulary, a plan for each row, and less of what came before."""

from __future__ import annotations

from dataclasses import replace

import torch

from plm.generation.poem_constraint import FewRepetitions, Lexicon, PlanConstraint
from plm.poetry import RhymeBook
from plm.poetry.plan import Plan, Planner
from plm.poetry.request import PoemRequest
from tests.tiny_poets import characters, tiny_tokenizer

BOOK = RhymeBook.named("pingshui")
IDS = tiny_tokenizer().get_vocab()


def lexicon() -> Lexicon:
    return Lexicon(IDS, len(IDS), torch.device("cpu"))


def tokens(mask: torch.Tensor) -> set[str]:
    return {token for token, id_ in IDS.items() if mask[id_]}


def plan(**wish: str) -> Plan:
    return Planner(PoemRequest(**wish), characters()).plan(0)  # type: ignore[arg-type]


def test_masks_hold_the_characters_of_a_tone_and_a_rhyme() -> None:
    assert tokens(lexicon().mask(BOOK, "any", None)) == set(characters())
    assert tokens(lexicon().mask(BOOK, "level", None)) == {one for one in characters() if "level" in BOOK.tones(one)}
    rhyming = {one for one in characters() if "六麻" in BOOK.rhymes(one, "level")}
    assert tokens(lexicon().mask(BOOK, "level", "六麻")) == rhyming
    assert {"花", "家"} <= rhyming


def test_each_row_follows_its_own_plan_and_is_free_behind_its_end() -> None:
    short, long = plan(form="五绝"), plan(form="七绝")
    constraint = PlanConstraint([(short, BOOK), (long, BOOK)], lexicon())
    for step in range(len(long.slots)):
        allowed = constraint(step, torch.full((2, step), IDS["人"]))
        for row, one in enumerate((short, long)):
            if step >= len(one.slots):
                assert bool(allowed[row].all())
            elif one.slots[step].given:
                assert tokens(allowed[row]) == {one.slots[step].given}
            else:
                assert bool((~allowed[row] | lexicon().mask(BOOK, one.slots[step].wish.tone, None)).all())


def test_a_rhyme_word_comes_once_also_when_it_is_given_for_later() -> None:
    drawn = plan(form="七绝", order="B", rhyme="六麻")
    first, second, last = (step for step, slot in enumerate(drawn.slots) if slot.wish.rhymes)
    slots = list(drawn.slots)
    slots[last] = replace(slots[last], given="家")
    ids = torch.full((1, second), IDS["人"])
    ids[0, first] = IDS["花"]
    allowed = PlanConstraint([(replace(drawn, slots=tuple(slots)), BOOK)], lexicon())(second, ids)
    assert tokens(allowed[0]) == tokens(lexicon().mask(BOOK, "level", "六麻")) - {"花", "家"}


def test_characters_that_came_lose_with_each_time_but_may_be_doubled() -> None:
    ids = torch.tensor([[IDS[one] for one in "人，山人，山"], [IDS[one] for one in "人人工智，能"]])
    found = FewRepetitions(1.5, lexicon())(6, ids, torch.zeros(2, len(IDS)))
    assert {token: float(found[0, IDS[token]]) for token in "人山月，"} == {"人": -3.0, "山": 0.0, "月": 0.0, "，": 0.0}
    assert {token: float(found[1, IDS[token]]) for token in "人工能"} == {"人": -3.0, "工": -1.5, "能": 0.0}
