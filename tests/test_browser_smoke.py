"""The app starts, shows its pages and a session's view in a real browser, and a key stores a
verdict."""

from __future__ import annotations

import re

import pytest
from app_server import CHROMIUM, new_page
from playwright import sync_api as playwright

from labelaudit import Dataset, QueueFilter, Review, launch_app, make_queue
from labelaudit.dataset.history_log import user

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium to run this"),
]


def test_a_session_shows_its_view_and_a_key_stores_a_verdict(home, audited, chromium):
    ids = make_queue(audited, QueueFilter(), user()).ids.tolist()
    requests = []
    hardest = audited.view().sort_by("hardness", reverse=True).limit(70)
    with launch_app(audited, open_browser=False) as session, new_page(chromium) as page:
        page.on("request", lambda request: requests.append(request.url))
        address = session.url.removesuffix("/session")
        page.goto(f"{address}/review")
        facts = page.locator(".facts")  # a deep link, on a fresh server
        playwright.expect(facts).to_have_text(re.compile(rf"\bid {ids[0]} ·"))
        assert not page.get_by_role("dialog").count()  # "Page not found"
        assert page.get_by_text("1,797 samples · 10 classes").count()  # app.py's picker
        assert page.locator(".stage img").evaluate("image => image.naturalWidth") == 8
        page.keyboard.press("x")
        playwright.expect(facts).to_have_text(re.compile(rf"\bid {ids[1]} ·"))
        page.get_by_role("link", name="Session").click()
        page.get_by_text("1,797 samples of the session").wait_for()
        session.view = hardest
        page.get_by_text("70 samples of the session's view · sorted by hardness").wait_for()
        assert _shown(page) == hardest.ids[:60].tolist()
        page.locator(".card").nth(2).click()
        page.locator(".card").nth(5).click(modifiers=["Shift"])
        page.get_by_text("4 selected").wait_for()
        page.get_by_role("button", name="Next").click()
        page.get_by_text("page 2 of 2").wait_for()
        assert _shown(page) == hardest.ids[60:].tolist()
        assert session.selected == hardest.ids[2:6].tolist()
        assert session.selected_view.ids.tolist() == session.selected
        page.reload()
        page.get_by_text("4 selected").wait_for()
        assert session.is_running
    assert not session.is_running
    assert not list((home / "sessions").iterdir())
    assert all(url.startswith((address, "data:", "blob:", "ws:")) for url in requests)
    ((verdict,),) = Review(Dataset("digits"), user()).of(ids[:1])
    assert verdict.verdict == "remove"


def _shown(page) -> list[int]:
    return page.locator(".card").evaluate_all("cards => cards.map(card => +card.dataset.id)")
