"""A new user's first visit, in a real browser, from the start page to a CSV on disk."""

from __future__ import annotations

import csv
import re

import pytest
from app_server import CHROMIUM, resting_box
from playwright import sync_api as playwright

from labelaudit import Dataset, list_changes, suspects
from labelaudit.dataset import verdict_log
from labelaudit.features.duplicates import conflicts

pytestmark = [
    pytest.mark.system,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium to run this"),
]


def test_from_home_to_a_downloaded_csv(page, server, few_digits, tmp_path):
    """With fewer digits than on a first visit; test_audit.py looks at what is found in all."""
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(server)
    page.get_by_role("button", name="Run the sample audit").click()
    review = page.get_by_role("button", name="Review the suspects")
    review.wait_for(timeout=600_000)  # the whole audit
    assert len(few_digits.view().match_tag("mistake")) == 80
    assert set(few_digits.run("run-1").score_names()) >= {"aum", "hardness"}
    shown = page.get_by_test_id("stMetric")
    made, found = (shown.filter(has_text=label).inner_text().split("\n")[-1]
                   for label in ("Labels made wrong", "Found in the first 80"))  # fmt: skip
    assert made == "80"
    assert int(found) > 60
    review.click()
    page.locator(".stage img").wait_for()  # the first suspect, at the second click
    outside = [url for url in asked if not url.startswith((server, "data:", "blob:", "ws:"))]
    assert outside == []  # no network is needed, not even for the tab's icon
    icon = page.locator("link[rel*=icon]").get_attribute("href")
    assert icon.startswith("data:image/svg+xml")
    first = suspects(Dataset("digits")).head(1)[0]
    playwright.expect(page.locator(".facts")).to_contain_text(f"id {first.id} ·")
    page.get_by_role("link", name="Results").click()
    page.get_by_role("heading", name="suspects").wait_for()
    stored = suspects(few_digits)
    playwright.expect(page.locator(".la-card")).to_have_count(min(len(stored), 48))
    image = page.locator(".la-card img").first
    playwright.expect(image).to_have_js_property("naturalWidth", 8)  # 0 until it is decoded

    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    assert re.fullmatch(
        r"digits-run-1-suspects-[0-9a-f]{12}\.csv", download.value.suggested_filename
    )
    download.value.save_as(tmp_path / "suspects.csv")
    with (tmp_path / "suspects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == stored.ids.tolist()  # all, not only the page
    assert list(rows[0])[:6] == [
        "id", "filepath", "split", "ground_truth", "predicted", "confidence",
    ]  # fmt: skip
    planted = sum("mistake" in row["tags"] for row in rows)
    assert planted == len(stored.match_tag("mistake"))
    page.get_by_text(f"{len(rows)} suspects").first.wait_for()


def test_a_folder_is_loaded_by_its_path_and_read_again(page, server, tmp_path, picture):
    for i in range(6):
        picture(tmp_path / "pets" / ("cat", "dog")[i % 2] / f"{i}.png", seed=i)
    (tmp_path / "pets/cat/broken.png").write_text("no image")
    page.goto(server)
    page.get_by_role("button", name="Load a dataset").click()
    panel = page.get_by_role("dialog")
    path = panel.get_by_role("textbox", name="Path", exact=True)
    path.fill(str(tmp_path / "pest"))
    path.press("Tab")
    panel.get_by_test_id("stAlert").wait_for()  # the error is in the dialog, with what was typed
    path.fill(str(tmp_path / "pets"))
    path.press("Tab")
    folder = panel.get_by_role("tabpanel", name="Folder or file")
    folder.get_by_text("Read as class folders").wait_for()
    playwright.expect(folder.locator(".la-three img")).to_have_count(6)  # three of each class
    panel.get_by_role("button", name="Load", exact=True).click()
    page.get_by_role("button", name="Audit pets").wait_for()  # loaded, and chosen
    page.get_by_role("link", name="1. Data").click()
    page.get_by_role("heading", name="pets").wait_for()
    page.get_by_text("Images skipped: 1").wait_for()
    playwright.expect(page.locator(".la-card")).to_have_count(6)
    assert Dataset("pets").classes == ["cat", "dog"]
    page.reload()
    page.get_by_role("heading", name="pets").wait_for()  # and still chosen

    pets, dataset = tmp_path / "pets", Dataset("pets")
    cats = dataset.view().match(label="cat").ids.tolist()
    dataset.set_labels(cats[:2], "dog")
    for name in ("0.png", "2.png"):  # in the source these two become yaks
        picture(pets / "yak" / name)  # for its folder
        (pets / "cat" / name).replace(pets / "yak" / name)
    picture(pets / "yak/new.png", seed=9)
    (pets / "dog/1.png").unlink()
    steps = len(list_changes(dataset))
    page.goto(f"{server}/sync?dataset=pets")
    page.get_by_role("button", name="Read the source again").click()
    images = page.locator(".la-conflict img")
    playwright.expect(images).to_have_count(2)
    playwright.expect(images.last).not_to_have_js_property("naturalWidth", 0)
    page.get_by_text("dog (here)").first.click()
    page.get_by_text("1 conflict undecided").first.wait_for()
    page.get_by_role("button", name="Label of the source").click()
    page.get_by_text("0 conflicts undecided").first.wait_for()
    page.get_by_role("button", name="Take the changes over").click()
    page.get_by_text("Taken over: 1 added, 1 gone").wait_for()
    assert [dataset[i].ground_truth for i in cats] == ["dog", "yak", "cat"]
    assert len(list_changes(dataset)) == steps + 1
    page.get_by_role("link", name="History").click()
    page.get_by_role("heading", name="Label and tag changes").wait_for()
    # the table is a canvas, with its texts in hidden cells
    page.get_by_test_id("glide-cell-4-0").get_by_text("1 added, 1 gone").wait_for(state="attached")


def test_a_list_of_images_is_loaded_with_its_label_column_and_folder(
    page, server, tmp_path, picture
):
    picture(tmp_path / "far/0.png")
    path = tmp_path / "pets/metadata.csv"
    path.parent.mkdir()
    path.write_text("file_name,breed,mood\n0.png,pug,calm\n")
    page.goto(f"{server}/dataset")
    page.get_by_role("button", name="Load a dataset").click()
    page.get_by_role("tab", name="Folder or file").click()
    panel = page.get_by_role("tabpanel", name="Folder or file")
    panel.get_by_text("Supported formats").click()
    panel.get_by_role("cell", name="COCO annotations").wait_for()
    panel.get_by_text("Options", exact=True).click()
    for name, value in (("Path", path), ("Label column", "breed"),
                        ("Image folder", tmp_path / "far")):  # fmt: skip
        field = panel.get_by_role("textbox", name=name, exact=True)
        field.fill(str(value))
        field.press("Tab")
    panel.get_by_role("button", name="Load", exact=True).click()
    page.get_by_role("heading", name="pets").wait_for()
    assert Dataset("pets").view().values("ground_truth").tolist() == ["pug"]


def test_training_is_watched_live_and_survives_a_refresh(page, server):
    page.goto(f"{server}/train")
    page.get_by_role("button", name="Train", exact=True).wait_for()
    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("End")  # 60 epochs of small steps: they do not end while the page is looked at
    page.get_by_test_id("stSliderThumbValue").get_by_text("60").wait_for()
    page.get_by_text("Advanced", exact=True).click()
    size = page.get_by_role("spinbutton", name="Batch size")
    size.fill("8")
    size.press("Tab")
    page.get_by_role("button", name="Train", exact=True).click()
    page.get_by_text(re.compile(r"· epoch \d+ of 60 · loss .* · accuracy")).wait_for()
    page.get_by_text("Accuracy against the given labels").wait_for()
    page.reload()
    page.get_by_text("of 60").first.wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Training of run-1 stopped early, after").wait_for()
    info = Dataset("digits").run("run-1").info
    assert info["stopped"]
    assert 1 <= info["epochs"] < 60


def test_a_button_to_another_page_keeps_the_dataset(page, server, audited, make_dataset):
    make_dataset(20, 2, name="aaa")  # the first of the list: what a lost choice would fall back on
    page.goto(f"{server}/?dataset=digits")
    page.get_by_role("button", name="Review the suspects").click()
    page.locator(".stage img").wait_for()
    playwright.expect(page).to_have_url(re.compile(r"/review\?(.*&)?dataset=digits\b"))
    page.goto(f"{server}/results?dataset=digits")
    page.get_by_role("button", name="Review", exact=True).click()
    page.locator(".stage img").wait_for()
    playwright.expect(page).to_have_url(re.compile(r"/review\?(.*&)?dataset=digits\b"))


def test_duplicates_are_looked_for_decided_and_opened_on_the_review_page(page, server, audited):
    audited.view().store.drop("duplicates")  # the audit searched already
    page.goto(f"{server}/duplicates")
    page.get_by_role("button", name="Find duplicates").click()
    page.locator(".la-card").first.wait_for()
    first = conflicts(audited).iloc[0]
    page.locator(".la-card").nth(len(first.ids) - 1).wait_for()
    page.get_by_role("button", name="Label all").first.click()
    page.get_by_text(f"✓ {len(first.ids)} ").wait_for()
    log = verdict_log.read(audited.view().frame)
    assert sorted(log.sample.tolist()) == first.ids
    page.locator(".la-card a").first.click()
    page.locator(".stage img").wait_for()
    playwright.expect(page.locator(".facts")).to_contain_text(f"id {first.ids[0]} ·")


def test_insights_open_what_is_clicked(page, server, audited):
    pair = audited.view().class_pairs().iloc[0]
    page.goto(f"{server}/insights")
    agree = "text[aria-label^='predicted: 3; given: 3;']"
    page.locator(agree).click()  # nothing to see there
    cell = f"predicted: {pair.predicted}; given: {pair.ground_truth}; samples: {pair['count']}"
    page.locator(f"text[aria-label='{cell}']").click()
    playwright.expect(page.locator(".card")).to_have_count(min(int(pair["count"]), 60))
    for part in (f"given={pair.ground_truth}", f"predicted={pair.predicted}"):
        playwright.expect(page).to_have_url(re.compile(rf"[?&]{part}\b"))

    page.goto(f"{server}/insights")
    page.get_by_role("radio", name="Training map").click()
    map_ = page.locator(".plot canvas")
    page.locator(".legend button").first.wait_for()
    area = resting_box(map_)

    def draw_around(corners) -> int:
        """Draw a shape around dots, corners as shares of the map. Returns how many are selected."""
        for i, (x, y) in enumerate([*corners, corners[0]]):
            page.mouse.move(area["x"] + x * area["width"], area["y"] + y * area["height"], steps=3)
            if i == 0:
                page.mouse.down()
        page.mouse.up()
        page.locator(".said").get_by_text("selected").wait_for()
        return int(page.locator(".said").inner_text().split()[0].replace(",", ""))

    around = draw_around([(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)])
    assert around == 1797
    left_half = draw_around([(0.01, 0.01), (0.5, 0.01), (0.5, 0.99), (0.01, 0.99)])
    triangle = draw_around([(0.01, 0.01), (0.5, 0.01), (0.01, 0.99)])  # not what a box would hold
    assert 0 < triangle < left_half < 1797
    page.get_by_role("button", name="Box").click()
    page.mouse.move(area["x"] + 5, area["y"] + 5)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] * 0.99, steps=3)
    page.mouse.up()
    playwright.expect(page.locator(".said")).to_have_text(re.compile(f"^{left_half:,} selected"))
    playwright.expect(page.locator(".side .card img")).to_have_count(min(left_half, 60))
    assert resting_box(map_) == area  # the page has not jumped

    map_.focus()
    page.keyboard.press("ArrowRight")
    page.locator(".hover img").wait_for()  # the picture of the dot
    first = page.locator(".said").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator(".said").inner_text() != first
    page.get_by_role("button", name="Select none").click()
    map_.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    sample_id = re.search(r"id (\d+),", page.locator(".side a").get_attribute("aria-label"))[1]
    page.get_by_role("button", name="Review this one").click()
    chosen = page.locator("button.card")
    playwright.expect(chosen).to_have_attribute("title", re.compile(rf"^id {sample_id}:"))
