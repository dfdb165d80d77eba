"""The page in a real browser, over a real socket: talk, ask why, turn down, filter, switch language."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tastemaker import Recommender
from tastemaker.agent.chat.chat import Asker
from tastemaker.agent.conversations import Conversations
from tastemaker.agent.service.app import create_app
from tastemaker.agent.service.config import ApiKey, ServiceConfig
from tastemaker.agent.service.engine import Engine
from tastemaker.agent.store import Store
from tastemaker.testing.serving import serving

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FAN = "comedy-fan-3"
TURNS = ("a comedy", "older than the second one", "seen the first one", "why the last one", "undo")
KEY = "a key that nobody can guess"
PHONE = {"width": 390, "height": 844}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@pytest.fixture(scope="module")
def url(film_rec: Recommender, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    store = Store.at(tmp_path_factory.mktemp("store") / "state.db")
    with serving(create_app(Engine(film_rec, store, ServiceConfig()))) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Page:
    """The page, and what it loaded from elsewhere or complained about."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(locale="en-GB", **options)
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(10_000)
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        self.tab.on(
            "console", lambda told: self.complaints.append(told.text) if told.type == "error" else None
        )
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on(
            "request", lambda asked: None if asked.url.startswith(url) else self.elsewhere.append(asked.url)
        )
        self.tab.goto(url)
        self.tab.locator(".welcome").wait_for()

    def become(self, user: str) -> None:
        self.tab.fill("#user", user)
        self.tab.press("#user", "Enter")
        self.tab.locator(".welcome").wait_for()

    def say(self, text: str) -> str:
        """Say something and wait until it is answered; what was answered."""
        from playwright.sync_api import expect

        turns = self.tab.locator(".turn[data-role=assistant]")
        before = turns.count()
        self.tab.fill("#message", text)
        self.tab.press("#message", "Enter")
        expect(turns).to_have_count(before + 1)
        self.settled()
        return str(turns.last.inner_text())

    def settled(self) -> None:
        from playwright.sync_api import expect

        expect(self.tab.locator("[aria-busy=true]")).to_have_count(0)
        expect(self.tab.locator(".card.leaving")).to_have_count(0)

    def shown(self) -> list[str]:
        """Ids of the list that stands."""
        cards = self.tab.locator("[data-current] .card")
        return [str(cards.nth(at).get_attribute("data-id")) for at in range(cards.count())]


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Page]:
    page = Page(browser, url, viewport={"width": 1280, "height": 860})
    yield page
    page.context.close()
    assert page.complaints == []
    assert page.elsewhere == [], "nothing is loaded from anywhere else"


def test_the_browser_holds_the_conversation_of_python(
    page: Page, film_rec: Recommender, tmp_path_factory: pytest.TempPathFactory
) -> None:
    talk = Conversations(film_rec, Store.at(tmp_path_factory.mktemp("python") / "state.db"))
    page.become(FAN)
    for text in TURNS:
        answered = page.say(text)
        wanted = talk.turn("s", text, Asker(user_id=FAN, language="en"))
        assert page.shown() == list(wanted.state.shown)
        if wanted.recommendation is None:
            assert answered == wanted.text


def test_ask_why_turn_down_filter_and_switch_language(page: Page) -> None:
    from playwright.sync_api import expect

    page.become(FAN)
    page.say("something nice")
    first = page.shown()
    assert len(first) == 5
    card = page.tab.locator(f".card[data-id={first[0]}]").last
    words = card.locator(".words").inner_text()
    assert words

    # Why: the evidence with its bars, as it was measured.
    card.locator("[data-act=why]").click()
    rows = card.locator(".evidence .pieces li")
    assert rows.count() >= 1
    assert card.locator("[data-act=why]").get_attribute("aria-expanded") == "true"

    # Not that one: it leaves at once and does not come back.
    card.locator("[data-act=not_now]").click()
    expect(page.tab.locator(f"[data-current] .card[data-id={first[0]}]")).to_have_count(0)
    page.settled()
    assert first[0] not in page.shown()
    assert page.tab.locator("#events .chip").count() == 1

    # A filter that cannot be is said so; one that can changes the list, and so does taking it away.
    page.tab.fill("#add-filter", "colour == red")
    page.tab.press("#add-filter", "Enter")
    expect(page.tab.locator("#panel-error")).to_contain_text("colour")
    page.tab.fill("#add-filter", "year < 1990")
    page.tab.press("#add-filter", "Enter")
    expect(page.tab.locator("#filters .chip")).to_have_text(["year < 1990"])
    old = page.tab.locator(
        "[data-current] .card .title .year, [data-current] .card .attributes [data-name=year]"
    )
    expect(old.first).to_be_visible()
    page.settled()
    assert page.shown()
    assert all(int(year.strip(" ()")) < 1990 for year in old.all_inner_texts())
    page.tab.locator("#filters .chip button").click()
    expect(page.tab.locator("#filters .chip")).to_have_count(0)

    # The other language: the page at once, the answers from the next turn on.
    page.tab.select_option("#language", "zh")
    expect(page.tab.locator("html")).to_have_attribute("lang", "zh-CN")
    assert "排除" in page.tab.locator("#panel").inner_text()
    assert "喜剧" in page.say("再来几个喜剧")
    assert page.shown()
    # The browser itself notes the filter that was refused.
    page.complaints = [one for one in page.complaints if "422" not in one]


def test_a_session_is_there_again_after_a_reload(page: Page) -> None:
    page.become(FAN)
    page.say("a comedy before 1990")
    before = page.shown()
    page.tab.reload()
    page.tab.locator("[data-current] .card").first.wait_for()
    page.settled()
    assert page.shown() == before
    assert page.tab.locator("#filters .chip").count() == 2


def test_keys_alone_are_enough(page: Page) -> None:
    page.tab.locator("body").click()
    page.tab.keyboard.press("/")
    page.tab.keyboard.type("a comedy")
    page.tab.keyboard.press("Enter")
    page.tab.locator("[data-current] .card").first.wait_for()
    page.settled()
    first = page.shown()[0]
    page.tab.locator(f".card[data-id={first}] [data-act=why]").focus()
    page.tab.keyboard.press("Enter")
    assert page.tab.locator(f".card[data-id={first}] .evidence").is_visible()


def test_it_fits_a_phone_and_the_dark(browser: Any, url: str) -> None:
    from playwright.sync_api import expect

    page = Page(browser, url, viewport=PHONE, has_touch=True, color_scheme="dark")
    page.say("a comedy")
    widths = page.tab.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1], "nothing sticks out"
    light = page.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    page.tab.click("#theme")
    assert page.tab.evaluate("getComputedStyle(document.body).backgroundColor") != light
    expect(page.tab.locator("#panel")).not_to_be_in_viewport()
    page.tab.click("#panel-toggle")
    expect(page.tab.locator("#panel")).to_be_in_viewport()
    page.tab.keyboard.press("Escape")
    expect(page.tab.locator("#panel")).not_to_be_in_viewport()
    page.context.close()
    assert page.complaints == []


def test_a_key_is_asked_for(
    browser: Any, film_rec: Recommender, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store.at(tmp_path_factory.mktemp("keys") / "state.db")
    config = ServiceConfig(keys=(ApiKey.of("me", KEY, ["recommend", "feedback"]),))
    with serving(create_app(Engine(film_rec, store, config))) as url:
        context = browser.new_context(locale="en-GB")
        tab = context.new_page()
        tab.goto(url)
        tab.locator("#key[open]").wait_for()
        tab.fill("#key-value", "wrong")
        tab.keyboard.press("Enter")
        tab.locator("#key[open]").wait_for()
        tab.fill("#key-value", KEY)
        tab.keyboard.press("Enter")
        tab.locator("#catalogue", has_text="40").wait_for()
        context.close()


def test_titles_are_text_and_never_markup(
    browser: Any, film_rec: Recommender, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store.at(tmp_path_factory.mktemp("markup") / "state.db")
    with serving(create_app(Engine(film_rec, store, ServiceConfig()))) as url:
        page = Page(browser, url)
        page.say("<img src=x onerror=alert(1)> <b>comedy</b>")
        assert page.tab.locator("#log img").count() == 0
        assert page.tab.locator("#log b").count() == 0
        page.context.close()
        assert page.complaints == []
