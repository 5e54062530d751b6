"""Poems in a real browser, by the real service, from canned models."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.canned import POEM, Canned
from tests.browser.conftest import OpenPage

HOSTILE = "<img src=x onerror=\"document.title='taken'\"><b>b</b>"


def write(page: Any, *, mode: str = "random", **fields: str) -> None:
    """Fill the form and send it with Enter from its last field, or with the button."""
    page.locator(f"input[value={mode}]").check()
    for name, value in fields.items():
        page.locator(f"#{name}").fill(value)
    if fields:
        page.keyboard.press("Enter")
    else:
        page.locator("#write").click()


def lines_of(page: Any) -> list[str]:
    """The lines of the first poem as they are seen, without stops."""
    poem = page.locator(".poem").first
    poem.wait_for()
    return ["".join(line.locator("b").all_text_contents()) for line in poem.locator(".line").all()]


def test_a_random_poem_stands_with_its_report(service: str, canned: Canned, open_page: OpenPage) -> None:
    page = open_page(service)
    write(page)
    assert lines_of(page) == list(POEM)
    assert "十五删" in page.locator(".report").inner_text()
    assert "平起、首句入韵" in page.locator(".report").inner_text()
    assert page.locator("#poem-status").inner_text() == f"作成 1 首：{POEM[0]}"
    wish = canned.asked[0]
    assert wish["mode"] == "random"
    assert wish["form"] == "七绝"
    assert wish["text"] == ""


def test_rhyme_words_are_marked(service: str, open_page: OpenPage) -> None:
    page = open_page(service)
    write(page)
    lines_of(page)
    assert page.locator(".poem .rhyme b").all_text_contents() == ["间", "还", "山"]


def test_rhyme_words_are_marked_in_traditional_characters(service: str, open_page: OpenPage) -> None:
    page = open_page(service)
    page.locator("summary").click()
    page.locator("#script").select_option("traditional")
    write(page)
    lines_of(page)
    assert page.locator(".poem .rhyme b").all_text_contents() == ["間", "還", "山"]


def test_lines_of_known_poems_are_told(service: str, canned: Canned, open_page: OpenPage) -> None:
    canned.copied = (POEM[3],)
    page = open_page(service)
    write(page)
    lines_of(page)
    assert f"与旧诗同\n{POEM[3]}" in page.locator(".report").inner_text()


def test_a_free_poem_has_as_many_lines_as_heads(service: str, canned: Canned, open_page: OpenPage) -> None:
    canned.lines = (*POEM, "山")
    page = open_page(service)
    page.locator("input[value=free]").check()
    write(page, mode="acrostic", text="春江花月夜")
    assert [line[0] for line in lines_of(page)] == list("春江花月夜")
    assert canned.asked[0]["form"] == "free"


def test_a_poem_goes_on_with_an_opening(service: str, canned: Canned, open_page: OpenPage) -> None:
    page = open_page(service)
    write(page, mode="continue", text="明月")
    assert lines_of(page)[0].startswith("明月")
    assert canned.asked[0]["mode"] == "continue"
    assert canned.asked[0]["text"] == "明月"


def test_an_acrostic_has_the_heads_and_its_faults_are_told(service: str, open_page: OpenPage) -> None:
    page = open_page(service)
    write(page, mode="acrostic", title="江行", text="春江不月")
    assert [line[0] for line in lines_of(page)] == list("春江不月")
    assert page.locator(".poem h3").inner_text() == "江行"


def test_wrong_tones_are_marked_and_explained(service: str, canned: Canned, open_page: OpenPage) -> None:
    canned.lines = (POEM[0], "千里江陵千日还", *POEM[2:])
    page = open_page(service)
    write(page)
    lines_of(page)
    assert page.locator(".poem .error b").all_text_contents() == ["千"]
    assert "第 2 句第 5 字「千」应仄声，却是平声" in page.locator(".report").inner_text()


def test_all_choices_are_sent(service: str, canned: Canned, open_page: OpenPage) -> None:
    page = open_page(service)
    page.locator("summary").click()
    page.locator("input[value=五律]").check()
    page.locator("#book").select_option("xinyun")
    page.locator("#script").select_option("traditional")
    page.locator("input[name=strict]").uncheck()
    write(page, n="2", candidates="3", temperature="0.7", seed="11", title="秋夜")
    page.locator(".poem").nth(1).wait_for()
    expected = {"form": "五律", "book": "xinyun", "script": "traditional", "strict": False, "n": 2, "candidates": 3}
    expected |= {"temperature": 0.7, "seed": 11, "title": "秋夜", "tails": "", "mode": "random"}
    assert canned.asked[0] | expected == canned.asked[0]
    assert "11" in page.locator(".report").first.inner_text()


def test_numbers_out_of_range_become_the_nearest_that_is_possible(
    service: str, canned: Canned, open_page: OpenPage
) -> None:
    page = open_page(service)
    page.locator("summary").click()
    write(page, seed="-3", temperature="9", candidates="0")
    lines_of(page)
    assert [canned.asked[0][name] for name in ("seed", "temperature", "candidates")] == [0, 2, 1]
    assert page.locator("#candidates").input_value() == "1"


def test_too_many_heads_for_a_form_are_refused_at_the_field(service: str, canned: Canned, open_page: OpenPage) -> None:
    page = open_page(service)
    write(page, mode="acrostic", text="春江花月夜")
    assert page.locator("#text-error").inner_text() == "七绝每句一个首字，共 4 个，现有 5 个；或改选自由体。"
    assert page.evaluate("document.activeElement.id") == "text"
    assert canned.asked == []
    page.locator("input[value=free]").check()
    assert page.locator("#text-error").inner_text() == ""
    assert page.locator("#text-help").inner_text() == "已写 5 字，一字一句。"


def test_a_title_that_no_poem_has_is_refused(service: str, canned: Canned, open_page: OpenPage) -> None:
    page = open_page(service)
    write(page, title="Moon")
    assert page.locator("#title-error").inner_text() == "这里只能写汉字，「M」不行。"
    assert canned.asked == []


@pytest.mark.parametrize(("text", "told"), [("", "请先写几个字。"), ("明月a", "这里只能写汉字，「a」不行。")])
def test_openings_that_no_poem_has_are_refused(text: str, told: str, service: str, open_page: OpenPage) -> None:
    page = open_page(service)
    write(page, mode="continue", text=text)
    assert page.locator("#text-error").inner_text() == told


def test_a_wish_that_the_service_refuses_is_told_with_its_reason(service: str, open_page: OpenPage) -> None:
    page = open_page(service, locale="en-US")
    write(page, mode="acrostic", text="春江花夜")
    page.locator("#trouble").wait_for()
    assert page.locator("#trouble-text").inner_text() == (
        "This wish cannot be met: the poet wants a moon, and got 春江花夜"
    )
    assert not page.locator("#retry").is_visible()
    page.locator("#text").fill("春江花月")
    page.keyboard.press("Enter")
    lines_of(page)
    assert not page.locator("#trouble").is_visible()


def test_writing_can_be_stopped(service: str, canned: Canned, open_page: OpenPage) -> None:
    canned.delay = 30.0
    page = open_page(service)
    write(page)
    page.locator("#poem-stop").click()
    assert page.locator("#poem-status").inner_text() == "已停止。"
    assert page.locator("#write").is_enabled()
    assert page.evaluate("document.activeElement.id") == "write"


def test_hostile_text_stays_text(service: str, canned: Canned, open_page: OpenPage) -> None:
    canned.lines = ("<b>春</b>江", HOSTILE, *POEM[2:])
    canned.title = HOSTILE
    page = open_page(service)
    write(page)
    assert lines_of(page)[1] == HOSTILE
    assert page.locator(".poem h3").inner_text() == HOSTILE
    assert page.locator("img").count() == 0
    assert page.title() != "taken"


def test_the_layout_is_vertical_or_horizontal(service: str, open_page: OpenPage) -> None:
    page = open_page(service)
    write(page)
    lines_of(page)
    first, second = (page.locator(".line").nth(place) for place in (0, 1))
    assert first.bounding_box()["x"] > second.bounding_box()["x"]
    page.locator("input[value=horizontal]").check()
    assert first.bounding_box()["y"] < second.bounding_box()["y"]
    assert first.bounding_box()["width"] > first.bounding_box()["height"]


def test_marks_can_be_put_away(service: str, open_page: OpenPage) -> None:
    page = open_page(service)
    write(page)
    lines_of(page)
    assert page.locator(".poem .tone").first.is_visible()
    page.locator("input[name=marks]").uncheck()
    assert not page.locator(".poem .tone").first.is_visible()


@pytest.mark.parametrize("layout", ["vertical", "horizontal"])
def test_a_long_poem_fits_a_phone(layout: str, service: str, canned: Canned, open_page: OpenPage) -> None:
    canned.lines = POEM * 2
    page = open_page(service, width=360)
    page.locator("input[value=七律]").check()
    write(page, title="早发白帝城")
    lines_of(page)
    page.locator(f"input[value={layout}]").check()
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_a_poem_is_copied_with_its_stops(service: str, open_page: OpenPage) -> None:
    page = open_page(service)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    write(page, title="早发白帝城")
    page.locator(".copy").click()
    page.get_by_text("已复制").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == (
        f"早发白帝城\n{POEM[0]}，{POEM[1]}。\n{POEM[2]}，{POEM[3]}。"
    )
