"""FiftyOne's walkthrough runs, the app that it starts shows its view in a real browser, and a key
stores a verdict."""

from __future__ import annotations

import re
import runpy
import tempfile
from pathlib import Path

import pytest
from app_server import CHROMIUM, new_page
from playwright import sync_api as playwright

from labelaudit import Dataset, QueueFilter, Review, make_queue
from labelaudit.dataset.history_log import user

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "fiftyone_walkthrough.py"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium to run this"),
]


def test_the_fiftyone_walkthrough_ends_in_an_app_that_stores_verdicts(
    home, chromium, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # the walkthrough has its own home
    names = runpy.run_path(str(EXAMPLE))
    dataset, hardest = names["dataset"], names["hardest"]
    printed = capsys.readouterr().out
    assert "1797 processed, 287 of them mistakes" in printed
    assert int(re.search(r"(\d+) mistakes among the first 100", printed)[1]) > 80
    ids = make_queue(dataset, QueueFilter(), user()).ids.tolist()
    requests = []
    with names["session"] as session, new_page(chromium) as page:
        page.on("request", lambda request: requests.append(request.url))
        address = session.url.removesuffix("/session")
        page.goto(f"{address}/review")
        facts = page.locator(".facts")  # a deep link, on a fresh server
        playwright.expect(facts).to_have_text(re.compile(rf"\bid {ids[0]} ·"))
        assert not page.get_by_role("dialog").count()  # "Page not found"
        page.get_by_text("1,797 samples · 10 classes").first.wait_for()  # app.py's picker
        playwright.expect(page.locator(".stage img")).to_have_js_property("naturalWidth", 8)
        page.keyboard.press("x")
        playwright.expect(facts).to_have_text(re.compile(rf"\bid {ids[1]} ·"))
        page.get_by_role("link", name="Session").click()
        page.get_by_text("1,797 samples of the session's view · sorted by hardness").wait_for()
        _expect_shown(page, hardest.ids[:60].tolist())
        session.view = hardest.limit(70)
        page.get_by_text("70 samples of the session's view").wait_for()
        page.locator(".card").nth(2).click()
        page.locator(".card").nth(5).click(modifiers=["Shift"])
        page.get_by_text("4 selected").wait_for()
        page.get_by_role("button", name="Next").click()
        page.get_by_text("page 2 of 2").wait_for()
        _expect_shown(page, hardest.ids[60:70].tolist())
        assert session.selected == hardest.ids[2:6].tolist()
        assert session.selected_view.ids.tolist() == session.selected
        page.reload()
        page.get_by_text("4 selected").wait_for()
    assert not session.is_running
    assert all(url.startswith((address, "data:", "blob:", "ws:")) for url in requests)
    ((verdict,),) = Review(Dataset("digits"), user()).of(ids[:1])
    assert verdict.verdict == "remove"


def _expect_shown(page, ids: list[int]) -> None:
    """The grid is drawn after the text above it: waits for its first image, then compares all."""
    cards = page.locator(".card")
    playwright.expect(cards.first).to_have_attribute("data-id", str(ids[0]))
    assert cards.evaluate_all("cards => cards.map(card => +card.dataset.id)") == ids
