"""The app starts, shows its pages in a real browser, and a key stores a verdict."""

from __future__ import annotations

import re

import pytest
from app_server import CHROMIUM, new_page, serve
from playwright import sync_api as playwright

from labelaudit import Dataset, QueueFilter, Review, make_queue
from labelaudit.dataset.history_log import user

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium to run this"),
]


def test_the_app_starts_and_a_key_stores_a_verdict(home, audited, chromium, tmp_path):
    ids = make_queue(audited, QueueFilter(), user()).ids.tolist()
    requests = []
    with serve(home, tmp_path / "server.log") as address, new_page(chromium) as page:
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"{address}/review")
        facts = page.locator(".facts")  # a deep link, on a fresh server
        playwright.expect(facts).to_have_text(re.compile(rf"\bid {ids[0]} ·"))
        assert not page.get_by_role("dialog").count()  # "Page not found"
        assert page.get_by_text("1,797 samples · 10 classes").count()  # app.py's picker
        assert page.locator(".stage img").evaluate("image => image.naturalWidth") == 8
        page.keyboard.press("x")
        playwright.expect(facts).to_have_text(re.compile(rf"\bid {ids[1]} ·"))
        page.get_by_role("link", name="Results").click()
        playwright.expect(page.locator(".la-card")).to_have_count(48)
    assert all(url.startswith((address, "data:", "blob:", "ws:")) for url in requests)
    ((verdict,),) = Review(Dataset("digits"), user()).of(ids[:1])
    assert verdict.verdict == "remove"
