"""Names that would run code or load addresses if not escaped: on every page, in Chromium."""

from __future__ import annotations

import json
from urllib.parse import quote

import numpy as np
import pytest
from app_server import CHROMIUM, open_page, serve_in_turn
from PIL import Image
from playwright import sync_api as playwright

from labelaudit import Review, apply_verdicts, load_dataset
from labelaudit.features.duplicates import find_duplicates
from labelaudit.ranking.scoring import compute_scores

pytestmark = [
    pytest.mark.system,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium to run this"),
]
REVIEWER = "<b onmouseover=alert(9)>eve</b>![r](x)"


def names(url: str) -> list[str]:
    return [
        "<img src=x onerror=alert(1)>",
        f"![x]({url}/leak.png) :red[x] $a$",
        '"><script>alert(2)</script>',
        "[go](javascript:alert(3))'; --",
    ]


SAMPLES = 208  # 52 of each class: with fewer than 50 the pages show no estimate


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """An app that may use one folder of the machine."""
    folder = tmp_path_factory.mktemp("roots")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABELAUDIT_ROOTS", str(folder / "data"))
        with serve_in_turn(tmp_path_factory.mktemp("app"), forked_jobs=False) as shared:
            shared.folder = folder
            yield shared


@pytest.fixture
def hostile(home, tmp_path, file_server):
    """Classes, files, folders, splits, tags and a reviewer with such names; scored and reviewed."""
    classes, rng = names(file_server.url), np.random.default_rng(0)
    folder = tmp_path / "![x](y) <img src=x onerror=alert(4)>"
    folder.mkdir()
    truth = np.arange(SAMPLES) % 4
    given = truth.copy()
    given[:8] = (given[:8] + 1) % 4
    rows = []
    for i, label in enumerate(given):
        name = f"<svg onload=alert(5)>![{i}](z).png"
        image = rng.integers(0, 255, (12, 12, 3), np.uint8) if i > 1 else np.zeros((12, 12, 3))
        Image.fromarray(image.astype(np.uint8)).save(folder / name)
        rows.append({"filepath": name, "label": classes[label], "split": classes[i % 2],
                     "tags": ["<u onclick=alert(6)>![t](t)"]})  # fmt: skip
    rows.append({"filepath": f"gone ![g]({file_server.url}/leak.png).png", "label": classes[0]})
    (folder / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    dataset = load_dataset("hostile", folder / "m.jsonl")
    run = dataset.new_run("mine")
    run.finish({"classes": dataset.classes})
    order = [dataset.classes.index(name) for name in classes]
    logits = np.zeros((SAMPLES, 4), np.float32)
    logits[np.arange(SAMPLES), np.array(order)[truth]] = 6
    run.write_predictions([(dataset.view().ids, logits + rng.normal(0, 1, (SAMPLES, 4)))])
    compute_scores(dataset)
    find_duplicates(dataset)
    Review(dataset, REVIEWER).decide(1, "relabel", classes[0])
    apply_verdicts(dataset)
    Review(dataset, REVIEWER).decide(2, "relabel", classes[1])
    return dataset


def test_names_are_text_on_every_page(hostile, page, server, file_server):
    alerts = []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    cookie = {"name": "labelaudit_reviewer", "value": quote(REVIEWER), "url": server}
    page.context.add_cookies([cookie])
    first = names(file_server.url)[0]

    def visit(name: str, title: str, ready) -> None:
        open_page(page, name, title)
        ready().first.wait_for()
        page.wait_for_load_state("networkidle")
        # nothing of it is an element, and no image lies elsewhere than in the page
        for made in ("img[onerror]", "svg[onload]", "[onmouseover]", "u[onclick]", "main script",
                     "a[href^='javascript']", ".katex"):  # fmt: skip
            assert page.locator(made).count() == 0, (name, made)
        sources = page.locator("img").evaluate_all("images => images.map(image => image.src)")
        assert all(source.startswith(("data:", server)) for source in sources), name

    page.goto(f"{server}/methods?dataset=hostile")
    visit("Dataset", "hostile", lambda: page.locator(".la-card img"))
    playwright.expect(page.locator(".la-card").first).to_contain_text(first[:4])
    page.get_by_text("![x](y) <img src=x onerror=alert(4)>/m.jsonl").first.wait_for()
    page.get_by_text(f"In {first}").first.wait_for()  # a split
    visit("Results", "suspects", lambda: page.locator(".la-card img"))
    page.get_by_role("tab", name="Where are they?").click()
    visit("Review", "Review", lambda: page.locator(".stage img"))
    playwright.expect(page.locator(".classes")).to_contain_text(names(file_server.url)[0])
    page.get_by_text("Many at once").click()
    page.locator(".cards .card").first.wait_for()
    assert page.locator(".cards img[onerror]").count() == 0
    visit("Insights", "Insights", lambda: page.get_by_text("Given and predicted class"))
    visit("Duplicates", "Duplicates", lambda: page.get_by_text("2 images"))
    visit("Apply", "Apply", lambda: page.get_by_role("link", name="Export labels"))
    visit("History", "History", lambda: page.get_by_text("Label and tag changes"))

    visit(
        "Dataset", "hostile", lambda: page.locator(".la-card img")
    )  # an error says what was typed
    page.get_by_role("button", name="Load a dataset").click()
    page.get_by_role("tab", name="Folder or file").click()
    typed = page.get_by_role("dialog").get_by_role("textbox", name="Path")
    typed.fill(f"/nowhere/![x]({file_server.url}/leak.png)<img src=x onerror=alert(7)>")
    typed.press("Tab")
    page.get_by_role("dialog").get_by_role("textbox", name="Name", exact=True).fill("x")
    page.get_by_role("dialog").get_by_role("button", name="Load", exact=True).click()
    page.get_by_text("lies outside of the folders").first.wait_for()
    page.get_by_text("onerror=alert(7)>' lies outside").first.wait_for()
    assert not alerts
    assert not file_server.requests


def test_visitors_load_from_the_roots_and_from_nowhere_else(app, page, server):
    """Not by '..', not by a link, and not a folder next to a root."""
    inside, outside = app.folder / "data/pets/cat", app.folder / "data2/cat"
    for folder in (inside, outside):
        folder.mkdir(parents=True)
        Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / "a.png")
    (inside / "out.png").symlink_to(outside / "a.png")
    (app.folder / "data/link").symlink_to(outside.parent)
    page.goto(f"{server}/dataset")
    page.get_by_role("button", name="Load a dataset").click()
    page.get_by_role("tab", name="Folder or file").click()
    dialog = page.get_by_role("dialog")

    def load(path) -> None:
        dialog.get_by_role("textbox", name="Path").fill(str(path))
        dialog.get_by_role("textbox", name="Path").press("Tab")
        dialog.get_by_role("button", name="Load", exact=True).click()

    for path in (outside.parent, f"{app.folder}/data/../data2", f"{app.folder}/data/link"):
        load(path)
        dialog.get_by_text(f"'{path}' lies outside of the folders that may be used").wait_for()
    load(inside.parent)
    page.get_by_role("heading", name="pets").wait_for()
    page.get_by_text("Images skipped: 1").wait_for()
    assert load_dataset("pets").view().values("filepath").tolist() == [str(inside / "a.png")]
