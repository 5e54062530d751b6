"""The other models in a real browser: each task is asked as the service wants it, and its answer is shown."""

from __future__ import annotations

from typing import Any

from tests.browser.canned import PIECES, Canned
from tests.browser.conftest import OpenPage

SENTENCE = "😀 Today Angela Merkel came to Berlin."


def asked(page: Any, task: str, **fields: str) -> Any:
    """Choose a task, fill its fields, run it, and return the place of its answer when there is one."""
    page.locator("#tab-models").click()
    page.locator(f"#tasks input[value={task}]").check()
    for name, value in fields.items():
        page.locator(f"#task-{name}").fill(value)
    page.locator("#run").click()
    page.locator("#task-result > :not(.empty)").wait_for()
    return page.locator("#task-result")


def test_classes_have_bars_of_probability(service: str, open_page: OpenPage) -> None:
    result = asked(open_page(service), "classify", text="a good day")
    assert result.locator(".label").all_text_contents() == ["positive"]
    assert result.locator(".value").all_text_contents() == ["91.0 %"]
    track, fill = (result.locator(name).bounding_box()["width"] for name in (".track", ".fill"))
    assert 0.9 < fill / track < 0.92


def test_pairs_are_asked_together(service: str, canned: Canned, open_page: OpenPage) -> None:
    asked(open_page(service), "classify", text="one", pair="two")
    assert canned.asked == [("one", "two")]


def test_entities_are_marked_at_their_places(service: str, open_page: OpenPage) -> None:
    result = asked(open_page(service), "tag", text=SENTENCE)
    assert result.locator(".marked").text_content() == "😀 Today Angela MerkelPER came to BerlinLOC."


def test_an_answer_is_marked_in_its_passage(service: str, open_page: OpenPage) -> None:
    result = asked(open_page(service), "answer", question="Where?", context=SENTENCE)
    assert result.locator("strong").inner_text() == "Berlin"
    assert result.locator("mark").all_text_contents() == ["Berlin"]


def test_gaps_are_filled(service: str, open_page: OpenPage) -> None:
    page = open_page(service)
    page.locator("#tab-models").click()
    page.locator("#tasks input[value=fill-mask]").check()
    page.locator("#task-text").fill("a ")
    page.locator("#task-fields button").click()
    assert page.locator("#task-text").input_value() == "a [MASK]"
    page.keyboard.press("Enter")
    page.locator(".bars").wait_for()
    assert page.locator(".label").all_text_contents() == ["good", "bad"]


def test_a_text_without_gap_is_refused_before_it_is_sent(service: str, canned: Canned, open_page: OpenPage) -> None:
    page = open_page(service)
    page.locator("#tab-models").click()
    page.locator("#tasks input[value=fill-mask]").check()
    page.locator("#task-text").fill("a day")
    page.keyboard.press("Enter")
    assert page.locator("#task-error").inner_text() == "文本里没有 [MASK]。"
    assert canned.asked == []


def test_sentences_are_compared(service: str, canned: Canned, open_page: OpenPage) -> None:
    result = asked(open_page(service), "embed", sentences="sun\n\n  a long rainy day \n")
    assert canned.asked == ["sun", "a long rainy day"]
    assert result.locator("tbody td").all_text_contents() == ["1.00", "0.75", "0.75", "1.00"]


def test_text_grows_as_it_is_written(service: str, canned: Canned, open_page: OpenPage) -> None:
    canned.delay = 0.2
    page = open_page(service)
    result = asked(page, "generate", prompt="Tell: ")
    seen = set()
    while page.locator("#task-status").inner_text() != "完成。":
        seen.add(result.locator(".new").text_content())
    assert len(seen) > 2
    assert result.locator(".new").text_content() == "".join(PIECES)


def test_a_text_is_stopped_on_both_sides(service: str, canned: Canned, open_page: OpenPage) -> None:
    canned.delay = 0.3
    page = open_page(service)
    result = asked(page, "generate", prompt="Tell: ")
    page.locator(".new", has_text="upon").wait_for()
    page.locator("#task-stop").click()
    assert page.locator("#task-status").inner_text() == "已停止。"
    stands = result.locator(".new").text_content()
    page.wait_for_timeout(1200)
    assert result.locator(".new").text_content() == stands
    assert canned.pieces < len(PIECES)


def test_hostile_labels_and_texts_stay_text(service: str, canned: Canned, open_page: OpenPage) -> None:
    canned.label = "<img src=x onerror=alert(1)>"
    page = open_page(service)
    result = asked(page, "classify", text="x")
    assert result.locator(".label").inner_text() == canned.label
    result = asked(page, "tag", text="<b>Angela Merkel</b> in Berlin")
    assert result.locator(".marked").text_content() == "<b>Angela MerkelPER</b> in BerlinLOC"
    assert page.locator("#task-result b, img").count() == 0


def test_what_was_typed_for_a_task_is_kept(service: str, open_page: OpenPage) -> None:
    page = open_page(service)
    asked(page, "tag", text=SENTENCE)
    asked(page, "embed", sentences="one\ntwo")
    page.locator("#tasks input[value=tag]").check()
    assert page.locator("#task-text").input_value() == SENTENCE
