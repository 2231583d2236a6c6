"""Takes pictures of every page of the running app: `make screenshots`.

python docs/screenshots.py                                     # docs/pictures, for the docs
python docs/screenshots.py --width 900 --dark --into /tmp/shots

Pages that need planted mistakes or a trained model show the digits of the sample audit, the others
show photographs. Their audit takes minutes; --home copies a home that has it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "tests"))
sys.path.insert(0, str(REPO))
from app_server import browser_page, serve  # noqa: E402
from PIL import Image  # noqa: E402

COLORS = 192  # of a picture: photographs would make large files

# (page, selector of what it shows when it is ready)
OF_DIGITS = [
    ("noise", ".la-card"),
    ("train", "canvas, .stVegaLiteChart svg"),
    ("predict", "h1"),
    ("jobs", "h1"),
]
PHOTOGRAPHS = "clothing"
OF_PHOTOGRAPHS = [  # `take_review` gives verdicts for Apply
    ("dataset", ".la-card"),
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
    shoot(page, into, name)


def shoot(page, into: Path, name: str) -> None:
    path = into / f"{name}.png"
    page.screenshot(path=path)
    Image.open(path).convert("RGB").quantize(COLORS).save(path, optimize=True)


def take_digits(page, address: str, into: Path) -> None:
    page.goto(f"{address}/?dataset=digits")
    page.locator("h1").wait_for()
    take(page, into, "start")
    page.get_by_role("button", name="Run the sample audit").click()
    page.get_by_text("epoch 3 of").wait_for(timeout=600_000)
    shoot(page, into, "start-running")
    page.get_by_role("button", name="Review the suspects").wait_for(timeout=600_000)
    take(page, into, "start-done")
    for name, selector in OF_DIGITS:
        page.goto(f"{address}/{name}?dataset=digits")
        page.locator(selector).first.wait_for()
        take(page, into, name)
    page.goto(f"{address}/results?dataset=digits")
    page.get_by_role("tab", name="Rehearsal").click()
    take(page, into, "rehearsal")
    page.goto(f"{address}/insights?dataset=digits")
    page.get_by_role("radio", name="Training map").click()
    page.locator(".legend button").first.wait_for()
    take(page, into, "training-map")


def take_photographs(page, address: str, into: Path) -> None:
    for name, selector in OF_PHOTOGRAPHS:
        page.goto(f"{address}/{name}?dataset={PHOTOGRAPHS}")
        page.locator(selector).first.wait_for()
        if name == "duplicates":
            page.locator(".la-card").first.wait_for()  # the audit has searched for duplicates
        if name == "review":
            take_review(page, into)
        take(page, into, name)
        if name == "results":
            page.get_by_role("tab", name="Where are they").click()
            take(page, into, "estimate")
        if name == "insights":
            take_map(page, into)
    page.goto(f"{address}/dataset?dataset={PHOTOGRAPHS}")
    page.get_by_role("button", name="Load a dataset").click()
    page.get_by_role("dialog").wait_for()
    take(page, into, "load")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Classes").click()
    page.get_by_role("dialog").locator("canvas").first.wait_for()
    take(page, into, "classes")
    page.goto(f"{address}/?dataset={PHOTOGRAPHS}")
    page.get_by_role("button", name="Go on reviewing").wait_for()
    take(page, into, "start-again")


def take_map(page, into: Path) -> None:
    """Draw a lasso on the map of similar images."""
    page.get_by_role("radio", name="Similarity map").click()
    page.locator(".legend button").first.wait_for()
    canvas = page.locator(".plot canvas")
    canvas.evaluate("canvas => canvas.scrollIntoView({ block: 'end' })")
    box = canvas.bounding_box()
    for step, (x, y) in enumerate([(0.5, 0.1), (0.65, 0.2), (0.5, 0.3), (0.4, 0.2), (0.5, 0.1)]):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        if step == 0:
            page.mouse.down()
    page.mouse.up()
    page.locator(".side .card img").first.wait_for()
    take(page, into, "look-alikes")


def take_review(page, into: Path) -> None:
    """Give some verdicts one by one, then select some in the grid for its picture."""
    for count, key in enumerate("aakax", start=1):
        page.keyboard.press("k" if page.locator(".labels .badge").count() else key)  # random check
        page.locator(".figures").get_by_text(f"{count} of").wait_for()
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
    photos = REPO.parent / "shared" / "data" / "clothing" / "photos.zip"
    parser.add_argument("--photographs", default=str(photos))
    parser.add_argument("--home", type=Path, help="a home with these photographs, audited")
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        with (
            serve(home, Path(folder) / "server.log") as address,
            browser_page(options.width, dark=options.dark) as page,
        ):
            take_digits(page, address, options.into)  # the first visit has no other dataset
            add_photographs(home, options.home, options.photographs)
            take_photographs(page, address, options.into)


def add_photographs(home: Path, audited: Path | None, photographs: str) -> None:
    """Add the audited photographs to the app's home."""
    if audited:
        shutil.copytree(audited / "datasets" / PHOTOGRAPHS, home / "datasets" / PHOTOGRAPHS)
        return
    import labelaudit

    os.environ["LABELAUDIT_HOME"] = str(home)
    labelaudit.load_dataset(PHOTOGRAPHS, photographs)
    labelaudit.audit(PHOTOGRAPHS, train=False)


if __name__ == "__main__":
    main()
