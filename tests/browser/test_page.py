"""The frame of the page in a real browser: languages, keyboard, width, and a server that is gone."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.browser.canned import Canned
from tests.browser.conftest import OpenPage

TABBED = "() => { const at = document.activeElement; return at.id || at.value || at.textContent; }"


@pytest.mark.parametrize(("locale", "word"), [("zh-CN", "写诗"), ("en-GB", "Poems"), ("de", "Poems")])
def test_the_language_is_the_browsers_at_first(locale: str, word: str, service: str, open_page: OpenPage) -> None:
    assert open_page(service, locale=locale).locator("#tab-poems").inner_text() == word


def test_the_language_is_switched_and_remembered(service: str, open_page: OpenPage) -> None:
    page = open_page(service, locale="en-US")
    page.locator("#write").click()
    page.locator(".poem").wait_for()
    assert "Rhyme" in page.locator(".report").inner_text()
    page.locator("#language").click()
    assert "押韵" in page.locator(".report").inner_text()
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    page.reload()
    assert page.locator("#tab-poems").inner_text() == "写诗"


@pytest.mark.parametrize("locale", ["zh-CN", "en-US"])
@pytest.mark.parametrize("area", ["poems", "models"])
def test_nothing_is_wider_than_a_phone(area: str, locale: str, service: str, open_page: OpenPage) -> None:
    page = open_page(f"{service}#{area}", locale=locale, width=360)
    page.locator(f"#{area}").wait_for()
    for name in ("summary", "input[value=acrostic]", "input[value=generate]"):
        if page.locator(name).is_visible():
            page.locator(name).click()
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_the_page_is_worked_by_keys_alone(service: str, canned: Canned, open_page: OpenPage) -> None:
    page = open_page(service, locale="en-US")
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(TABBED))
    assert reached == ["Skip to the content", "tab-poems", "language", "random", "七绝", "title"]
    page.locator("#tab-poems").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#models").is_visible()
    assert page.evaluate(TABBED) == "tab-models"
    page.keyboard.press("ArrowLeft")
    page.locator("input[value=random]").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    page.keyboard.type("春江花月")
    page.keyboard.press("Enter")
    page.locator(".poem").wait_for()
    assert canned.asked[0]["text"] == "春江花月"


def test_enter_that_ends_a_composition_does_not_send(service: str, canned: Canned, open_page: OpenPage) -> None:
    page = open_page(f"{service}#models")
    page.locator("#task-text").fill("明月")
    page.locator("#task-text").dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    page.locator("#task-text").dispatch_event("keydown", {"key": "Enter", "shiftKey": True})
    assert canned.asked == []
    assert page.locator("#task-status").inner_text() == ""


def test_a_server_that_is_gone_is_told_and_asked_again(canned: Canned, open_page: OpenPage) -> None:
    from tests.browser.service import free_port, served

    port = free_port()
    with served({"canned": canned.opened}, port=port) as address:
        page = open_page(address, locale="en-US")
        page.locator("input[value=七绝]").wait_for()
    page.locator("#write").click()
    page.locator("#retry").wait_for()
    assert page.locator("#trouble-text").inner_text().startswith("The server cannot be reached.")
    assert page.locator("#trouble").get_attribute("role") == "alert"
    with served({"canned": canned.opened}, port=port):
        page.locator("#retry").click()
        page.locator(".poem").wait_for()
        assert not page.locator("#trouble").is_visible()


def test_a_server_that_loads_is_waited_for(canned: Canned, open_page: OpenPage) -> None:
    from tests.browser.service import free_port, served

    loaded = threading.Event()

    def slow() -> Any:
        assert loaded.wait(20)
        return canned.opened()

    with served({"canned": slow}, port=free_port()) as address:
        page = open_page(address, locale="en-US")
        page.locator("#trouble").wait_for()
        told = page.locator("#trouble-text").inner_text()
        loaded.set()
        assert told == "The server is loading its models …"
        page.locator("#trouble").wait_for(state="hidden")
        assert page.locator("#write").is_enabled()


def test_a_token_is_asked_for_and_used(canned: Canned, open_page: OpenPage) -> None:
    from tests.browser.service import free_port, served

    with served({"canned": canned.opened}, port=free_port(), token="secret") as address:
        page = open_page(address, locale="en-US")
        page.locator("#token").fill("secret")
        page.keyboard.press("Enter")
        page.locator("#trouble").wait_for(state="hidden")
        page.locator("#write").click()
        page.locator(".poem").wait_for()


def test_what_no_model_can_do_is_not_offered(canned: Canned, open_page: OpenPage) -> None:
    from tests.browser.service import free_port, served

    whole = canned.opened()

    def one_door() -> Any:
        return type(whole)(doors={"tag": whole.doors["tag"]})

    with served({"tagger": one_door}, port=free_port()) as address:
        page = open_page(address)
        page.locator("#poem-none").wait_for()
        assert page.locator("#write").is_disabled()
        page.locator("#tab-models").click()
        assert page.locator("#tasks input").evaluate_all("all => all.map(one => one.value)") == ["tag"]
