"""Takes pictures of every page of the running app: `make screenshots`.

python docs/screenshots.py                                     # docs/pictures, for the docs
python docs/screenshots.py --width 900 --dark --into /tmp/shots
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "tests"))
from app_server import browser_page, serve  # noqa: E402

# (page, selector of what it shows when it is ready). `take_review` gives verdicts for Apply.
PAGES = [
    ("dataset", ".la-card"),
    ("noise", ".la-card"),
    ("train", "canvas, .stVegaLiteChart svg"),
    ("predict", "h1"),
    ("jobs", "h1"),
    ("results", ".la-card"),
    ("review", ".stage img"),
    ("duplicates", "h1"),
    ("insights", ".stVegaLiteChart"),
    ("apply", ".la-card"),
    ("export", "code"),
    ("history", "h1"),
]


def wait_until_drawn(page) -> None:
    """Wait until no script runs and the page is drawn completely."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    page.wait_for_timeout(1500)  # charts and images load after the script


def take(page, into: Path, name: str) -> None:
    wait_until_drawn(page)
    page.screenshot(path=into / f"{name}.png")


def take_all(page, address: str, into: Path) -> None:
    page.goto(address)
    page.locator("h1").wait_for()
    take(page, into, "start")
    page.get_by_role("button", name="Run the sample audit").click()
    page.get_by_text("epoch 3 of").wait_for()
    page.screenshot(path=into / "start-running.png")
    page.get_by_role("button", name="Review the suspects").wait_for(timeout=120_000)
    take(page, into, "start-done")
    for name, selector in PAGES:
        page.goto(f"{address}/{name}")
        page.locator(selector).first.wait_for()
        if name == "duplicates":
            page.locator(".la-card").first.wait_for()  # the audit has searched for duplicates
        if name == "review":
            take_review(page, into)
        take(page, into, name)
        if name == "results":
            page.get_by_role("tab", name="Where are they").click()
            take(page, into, "estimate")
            page.get_by_role("tab", name="Rehearsal").click()
            take(page, into, "rehearsal")
        if name == "insights":
            for part, title in (
                ("training-map", "Training map"),
                ("look-alikes", "Similarity map"),
            ):
                page.get_by_role("radio", name=title).click()
                take(page, into, part)
    page.goto(f"{address}/dataset")
    page.get_by_role("button", name="Load a dataset").click()
    page.get_by_role("dialog").wait_for()
    take(page, into, "load")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Classes").click()
    page.get_by_role("dialog").locator("canvas").first.wait_for()
    take(page, into, "classes")
    page.goto(address)
    page.get_by_role("button", name="Go on reviewing").wait_for()
    take(page, into, "start-again")


def take_review(page, into: Path) -> None:
    """Give some verdicts one by one, then select some in the grid for its picture."""
    for key in "aakax":
        page.keyboard.press(key)
    page.locator(".figures").get_by_text("5 of").wait_for()
    page.get_by_role("radio", name="Many at once").click()
    page.locator(".card").nth(12).click()
    page.locator(".card").nth(18).click(modifiers=["Shift"])
    take(page, into, "review-many")
    page.get_by_role("radio", name="One by one").click()
    page.locator(".stage img").wait_for()
    page.keyboard.press("s")
    page.get_by_text("most similar first").wait_for()
    page.locator(".card").first.wait_for()
    take(page, into, "similar")
    page.get_by_role("button", name="Back to the suspect").click()
    page.locator(".stage img").wait_for()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--width", type=int, default=1440)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--into", type=Path, default=REPO / "docs" / "pictures")
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as home,
        serve(Path(home), Path(home) / "server.log") as address,
        browser_page(options.width, dark=options.dark) as page,
    ):
        take_all(page, address, options.into)


if __name__ == "__main__":
    main()
