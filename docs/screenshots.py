"""Pictures of every page, taken from the running app: `make screenshots`.

python docs/screenshots.py                       # docs/results.png, for the README
python docs/screenshots.py --all --width 900 --dark --into /tmp/shots
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "tests"))
from app_server import browser_page, serve  # noqa: E402

PAGES = ["dataset", "noise", "train", "predict", "insights", "results"]


def settle(page) -> None:
    """Wait until the page has drawn all it has, and nothing runs."""
    page.locator("h1").first.wait_for()
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    page.wait_for_timeout(1500)  # charts and images come in after the script


def take_all(page, address: str, into: Path, mark: str) -> None:
    page.goto(address)
    settle(page)
    page.screenshot(path=into / f"start-{mark}.png")
    page.get_by_role("button", name="Run the sample audit").click()
    page.get_by_text("epoch 3 of").wait_for()
    page.screenshot(path=into / f"start-running-{mark}.png")
    page.get_by_role("button", name="See the suspects").wait_for(timeout=120_000)
    settle(page)
    page.screenshot(path=into / f"start-done-{mark}.png")
    for name in PAGES:
        page.goto(f"{address}/{name}")
        settle(page)
        page.screenshot(path=into / f"{name}-{mark}.png")
    page.get_by_role("tab", name="Rehearsal").click()
    settle(page)
    page.screenshot(path=into / f"rehearsal-{mark}.png")
    page.goto(f"{address}/dataset")
    page.get_by_role("button", name="Load a dataset").click()
    page.get_by_role("dialog").wait_for()
    settle(page)
    page.screenshot(path=into / f"load-{mark}.png")


def take_results(page, address: str, into: Path) -> None:
    page.goto(address)
    page.get_by_role("button", name="Run the sample audit").click()
    page.get_by_role("button", name="See the suspects").click(timeout=120_000)
    page.locator(".la-card").first.wait_for()
    settle(page)
    page.screenshot(path=into / "results.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--all", action="store_true", help="every page, not only the README's")
    parser.add_argument("--width", type=int, default=1440)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--into", type=Path, default=REPO / "docs")
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as home,
        serve(Path(home), Path(home) / "server.log") as address,
        browser_page(options.width, dark=options.dark) as page,
    ):
        if options.all:
            mark = f"{options.width}{'-dark' if options.dark else ''}"
            take_all(page, address, options.into, mark)
        else:
            take_results(page, address, options.into)


if __name__ == "__main__":
    main()
