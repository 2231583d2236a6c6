"""Reviewing in a real browser: with keys only, many at once, and from a link."""

from __future__ import annotations

import re

import numpy as np
import pytest
from app_server import CHECK_SECONDS, CHROMIUM, new_page, resting_box
from playwright import sync_api as playwright

from labelaudit import (
    Dataset,
    F,
    QueueFilter,
    Review,
    compute_scores,
    import_predictions,
    list_changes,
    load_arrays,
    make_queue,
    pending_decisions,
    suspects,
)
from labelaudit.dataset import verdict_log
from labelaudit.dataset.history_log import user
from labelaudit.ranking.evidence import gather
from labelaudit.review.blind_controls import answers, with_controls
from labelaudit.review.notes import write_note

pytestmark = [
    pytest.mark.system,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium to run this"),
]


@pytest.fixture
def server(audited, server):
    """The app on an audited dataset."""
    return server


def expect_sample(page, sample: int) -> None:
    """The page shows this sample: its id is in the facts, and its image is drawn."""
    playwright.expect(page.locator(".facts")).to_have_text(re.compile(rf"\bid {sample} ·"))
    playwright.expect(page.locator(f".stage img[alt='sample {sample}']")).to_have_count(1)


def test_ten_suspects_by_keys_only_and_three_undone(page, server, audited):
    ids = make_queue(audited, QueueFilter(checks=True), user()).ids.tolist()
    suggested = {each.id: each.suggested for each in gather(audited, "run-1", ids[:10])}
    page.goto(f"{server}/review")
    expect_sample(page, ids[0])
    playwright.expect(page.locator(".stage img")).to_have_js_property("naturalWidth", 8)
    keys = ["a", "a", "k", "x", "u", "a", "Enter", "3", "k", "a"]
    for key, following in zip(keys, ids[1:11], strict=True):
        page.keyboard.press(key)
        expect_sample(page, following)  # shown only once the verdict is on disk
    log = verdict_log.read(Dataset("digits").view().frame)
    assert log.sample.tolist() == ids[:10]

    for back in (ids[9], ids[8], ids[7]):
        page.keyboard.press("z")
        expect_sample(page, back)
    stored = Review(Dataset("digits"), user())
    said = [[(v.verdict, v.label) for v in verdict] for verdict in stored.of(ids[:10])]
    assert said == [
        [("relabel", suggested[ids[0]])], [("relabel", suggested[ids[1]])],
        [("keep", None)], [("remove", None)], [("unsure", None)],
        [("relabel", suggested[ids[5]])], [("relabel", suggested[ids[6]])],
        [], [], [],
    ]  # fmt: skip
    playwright.expect(page.locator(".figures")).to_contain_text("7 of")
    page.keyboard.press("y")  # and one given again
    expect_sample(page, ids[7])
    playwright.expect(page.locator(".said")).to_contain_text("→ 3")
    assert len(Review(Dataset("digits"), user()).judged()) == 8
    playwright.expect(page).to_have_url(re.compile(rf"sample={ids[7]}$"))
    assert Dataset("digits").view().frame.tags.get("removed") is None  # no label changed yet


def test_presses_without_a_pause_all_count_and_a_held_key_is_one(page, server, audited):
    ids = make_queue(audited, QueueFilter(checks=True), user()).ids.tolist()
    page.goto(f"{server}/review")
    expect_sample(page, ids[0])
    for _ in range(10):
        page.keyboard.press("k")
    expect_sample(page, ids[10])
    log = verdict_log.read(Dataset("digits").view().frame)
    assert log.sample.tolist() == ids[:10]
    page.keyboard.down("k")
    for _ in range(8):
        page.keyboard.down("k")  # what a held key sends
    page.keyboard.up("k")
    expect_sample(page, ids[11])
    page.wait_for_timeout(1000)
    assert verdict_log.read(Dataset("digits").view().frame).sample.tolist() == ids[:11]


def test_labels_that_change_meanwhile_are_seen_before_they_are_judged(page, server, audited):
    ids = make_queue(audited, QueueFilter(checks=True), user()).ids.tolist()
    page.goto(f"{server}/review")
    expect_sample(page, ids[0])
    page.keyboard.press("k")
    expect_sample(page, ids[1])
    other = gather(audited, "run-1", ids[1:2])[0].suggested
    page.wait_for_timeout(2000 * CHECK_SECONDS)  # until the page looks for changes again
    audited.set_labels([ids[1]], other)  # somebody else corrects what is on the screen
    page.keyboard.press("k")
    page.get_by_text(f"Sample {ids[1]} was relabelled in the meantime").wait_for()
    assert Review(Dataset("digits"), user()).judged().tolist() == ids[:1]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("k")  # and the desk goes on
    playwright.expect(page.locator(".figures")).to_contain_text("2 of")
    assert len(Review(Dataset("digits"), user()).judged()) == 2


def test_somebody_elses_change_does_not_stop_the_review_page(page, server, audited):
    ids = make_queue(audited, QueueFilter(checks=True), user()).ids.tolist()
    page.goto(f"{server}/review")
    expect_sample(page, ids[0])
    page.keyboard.press("k")
    expect_sample(page, ids[1])
    audited.tag([ids[40]], "odd")
    page.wait_for_timeout(2000 * CHECK_SECONDS)
    for following in ids[2:5]:
        page.keyboard.press("k")
        expect_sample(page, following)


def test_a_link_shows_its_sample_whatever_the_filter(page, server, audited):
    right = int(audited.view().match(wrong=False).ids[5])
    page.goto(f"{server}/review?sample={right}")
    expect_sample(page, right)
    page.keyboard.press("ArrowRight")
    expect_sample(page, int(make_queue(audited, QueueFilter(checks=True), user()).ids[0]))


def test_apply_notices_who_reviewed_since_the_page_was_opened(page, server, audited):
    first, second = make_queue(audited, QueueFilter(), "ann").ids[:2].tolist()
    Review(audited, "ann").decide([first, second], "remove")
    page.goto(f"{server}/apply")
    page.get_by_role("button", name="Apply 2 changes").wait_for()
    Review(audited, "bob").decide(first, "keep")
    page.get_by_role("button", name="Apply 2 changes").click()
    page.get_by_text("changed since you looked").wait_for()
    assert not Dataset("digits").info["tags"].get("removed")
    page.get_by_role("link", name="Review the disagreements").click()
    expect_sample(page, first)


def test_keys_typed_into_a_field_are_no_verdicts(page, server):
    page.goto(f"{server}/review")
    page.locator(".stage img").wait_for()
    name = page.get_by_role("textbox", name="Reviewer")
    name.fill("kax")
    name.press("Enter")
    page.wait_for_function("document.cookie.includes('labelaudit_reviewer=kax')")  # it is drawn
    playwright.expect(page.locator(".figures")).to_contain_text("0 of")
    page.mouse.click(800, 880)  # out of the field
    note = page.get_by_role("textbox", name="Note on this image")
    page.keyboard.press("n")
    page.keyboard.type("kaxu1")
    page.keyboard.press("Escape")  # the note is stored when its field is left
    playwright.expect(note).not_to_be_focused()
    page.keyboard.press("k")
    playwright.expect(page.locator(".figures")).to_contain_text("1 of")
    playwright.expect(note).to_have_value("")
    noted = Dataset("digits").view().match(F("note") == "kaxu1").ids.tolist()
    assert noted == verdict_log.read(Dataset("digits").view().frame).sample.tolist()
    page.keyboard.press("ArrowLeft")
    playwright.expect(note).to_have_value("kaxu1")
    page.keyboard.press("n")
    page.keyboard.type("!")
    write_note(Dataset("digits"), noted[0], "theirs", "kaxu1")  # in another window
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # it is read here
    page.wait_for_timeout(700)
    page.keyboard.press("Escape")
    playwright.expect(page.locator(".figures")).to_contain_text("changed in another window")
    playwright.expect(note).to_have_value("kaxu1!")
    log = verdict_log.read(Dataset("digits").view().frame)
    assert log.reviewers == ["kax"]
    page.reload()  # and the name is remembered
    playwright.expect(page.get_by_role("textbox", name="Reviewer")).to_have_value("kax")


def test_a_link_opens_the_same_view(page, server, audited):
    wanted = QueueFilter(given="3", split="train")
    ids = make_queue(audited, wanted, "x").ids.tolist()
    page.goto(f"{server}/review?given=3&split=train&sample={ids[4]}")
    expect_sample(page, ids[4])
    playwright.expect(page.locator(".place")).to_contain_text(f"of {len(ids)}")
    page.keyboard.press("ArrowRight")
    expect_sample(page, ids[5])
    for part in ("given=3", "split=train", f"sample={ids[5]}"):
        playwright.expect(page).to_have_url(re.compile(rf"[?&]{part}\b"))
    page.reload()
    expect_sample(page, ids[5])
    page.keyboard.press("g")  # jump anywhere
    page.keyboard.type("2")
    page.keyboard.press("Enter")
    expect_sample(page, ids[1])


def test_many_at_once_is_one_step(page, server, audited):
    pair = suspects(audited).class_pairs().iloc[0]
    given, predicted = pair["ground_truth"], pair["predicted"]
    ids = make_queue(audited, QueueFilter(given=given, predicted=predicted), "x").ids.tolist()
    assert len(ids) > 3
    page.goto(f"{server}/review?mode=Many+at+once&given={given}&predicted={predicted}")
    cards = page.locator(".card")
    playwright.expect(cards).to_have_count(len(ids))
    page.get_by_role("button", name=f"Select these {len(ids)}").click()
    cards.nth(1).click()  # but not this one
    page.get_by_text(f"{len(ids) - 1} selected").wait_for()
    page.get_by_role("button", name=re.compile("^Relabel as|^Accept suggestions")).click()
    page.get_by_text(f"{len(ids) - 1} verdicts stored").wait_for()
    playwright.expect(page.locator(".card .verdict.relabel")).to_have_count(len(ids) - 1)
    stored = Review(Dataset("digits"), user())
    chosen = [sample for sample in ids if sample != ids[1]]
    assert sorted(stored.judged()) == sorted(chosen)
    suggested = [each.suggested for each in gather(audited, "run-1", chosen)]
    assert [v.label for said in stored.of(chosen) for v in said] == suggested
    page.keyboard.press("z")
    page.get_by_text("verdicts undone").wait_for()
    playwright.expect(page.locator(".card .verdict.relabel")).to_have_count(0)
    assert not len(Review(Dataset("digits"), user()).judged())


def test_similar_images_are_opened_by_a_key_and_selected_by_dragging(page, server, audited):
    ids = make_queue(audited, QueueFilter(checks=True), user()).ids.tolist()
    page.goto(f"{server}/history")
    page.get_by_role("link", name="Review").click()
    expect_sample(page, ids[0])
    page.keyboard.press("ArrowRight")
    expect_sample(page, ids[1])
    page.keyboard.press("ArrowLeft")
    expect_sample(page, ids[0])
    playwright.expect(page.locator(".typical .near-card")).to_have_count(8)
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    keys.get_by_text("similar images").wait_for()
    keys.get_by_role("button", name="Change the key for unsure").click()
    page.keyboard.press("k")
    keys.get_by_text("K is the key of 'keep the label' already").wait_for()
    keys.get_by_role("button", name="Change the key for unsure: U").click()
    page.keyboard.press("j")
    keys.get_by_role("button", name="Change the key for unsure: J").wait_for()
    keys.get_by_role("heading", name="Keys").click()
    page.keyboard.press("Escape")
    playwright.expect(page.get_by_role("button", name="Unsure")).to_have_text("UnsureJ")
    page.keyboard.press("?")
    page.keyboard.press("k")  # closes the list of keys, and is no verdict
    page.keyboard.press("s")
    cards = page.locator(".card")
    playwright.expect(cards.first).to_have_attribute("title", re.compile(f"^id {ids[0]}:"))
    playwright.expect(cards.locator("img")).to_have_count(60)  # the server sends them in two parts
    boxes = [resting_box(cards.nth(place)) for place in (3, 2, 1)][::-1]
    page.mouse.move(boxes[0]["x"] + 50, boxes[0]["y"] + 50)
    page.mouse.down()
    for box in boxes[1:]:
        page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.up()
    page.get_by_text("3 selected").wait_for()
    page.keyboard.press("u")  # not a key any more
    page.keyboard.press("j")
    page.get_by_text("3 verdicts stored").wait_for()
    near = audited.run("run-1").neighbours([ids[0]], 3)[0][0].tolist()
    assert sorted(Review(Dataset("digits"), user()).judged()) == sorted(near)
    page.get_by_role("button", name="Back to the suspect").click()
    expect_sample(page, ids[0])
    page.keyboard.press("s")
    cards.first.wait_for()
    page.go_back()  # one press for the grid, whatever it changed in the address
    expect_sample(page, ids[0])
    page.go_back()  # the grid before, which the button turned into the suspect
    expect_sample(page, ids[0])
    page.go_back()
    page.get_by_role("heading", name="History", exact=True).wait_for()


def test_verdicts_are_applied_and_taken_back(page, server, audited):
    review = Review(audited, "ann")
    ids = make_queue(audited, QueueFilter(), "ann").ids.tolist()
    given = {sample: audited[sample].ground_truth for sample in ids[:3]}
    suggested = gather(audited, "run-1", [ids[0]])[0].suggested
    review.decide(ids[0], "relabel", suggested)
    review.decide(ids[1:3], "remove")
    page.goto(f"{server}/apply")
    page.get_by_role("button", name="Apply 3 changes").click()
    page.get_by_text("All verdicts are applied").wait_for()
    dataset = Dataset("digits")
    assert dataset[ids[0]].ground_truth == suggested
    assert sorted(dataset.view().match_tag("removed").ids) == sorted(ids[1:3])
    page.get_by_role("button", name="Undo the last 3 changes").click()
    page.get_by_role("button", name="Apply 3 changes").wait_for()
    dataset = Dataset("digits")
    assert {sample: dataset[sample].ground_truth for sample in ids[:3]} == given
    assert len(pending_decisions(dataset)) == 3
    assert [c.kind for c in list_changes(dataset)] == ["noise", "verdicts", "return"]
    page.goto(f"{server}/history")
    page.get_by_role("heading", name="Label and tag changes").wait_for()
    playwright.expect(page.get_by_test_id("stDataFrame")).to_have_count(2)


def test_how_many_are_left_is_reported_after_each_verdict(page, server, audited):
    ids = make_queue(audited, QueueFilter(checks=True), user()).ids.tolist()
    page.goto(f"{server}/review")
    line = page.locator(".estimate")
    playwright.expect(line).to_contain_text("of 1,797 labels are wrong; 0 found.")
    line.get_by_text("How is this counted?").click()
    for count, following in ((1, ids[1]), (2, ids[2])):
        page.keyboard.press("x")
        expect_sample(page, following)
        playwright.expect(line).to_contain_text(f"labels are wrong; {count} found.")
        playwright.expect(line.locator("details p").first).to_be_visible()  # it stays open
    page.keyboard.press("z")
    playwright.expect(line).to_contain_text("labels are wrong; 1 found.")
    page.goto(f"{server}/review?sample={ids[4]}")  # a random check, and it says so
    expect_sample(page, ids[4])
    playwright.expect(page.locator(".badge")).to_have_text("random check")
    page.goto(f"{server}/review?sample={ids[1]}")
    expect_sample(page, ids[1])
    playwright.expect(page.locator(".badge")).to_have_count(0)


def test_blind_controls_are_answered_and_undone_by_keys(page, server, audited):
    wanted = QueueFilter(status="todo", checks=True)
    queue = with_controls(audited, make_queue(audited, wanted, user()), wanted, user(), 5)
    place = next(i for i, sample in enumerate(queue.ids.tolist()) if sample in queue.controls)
    control = queue.controls[int(queue.ids[place])]
    page.goto(f"{server}/review?controls=1+in+5")
    expect_place(page, 1)
    for number in range(place):
        page.keyboard.press("k")
        expect_place(page, number + 2)
    playwright.expect(page.locator(".labels .given")).to_have_text(control.shown)
    page.keyboard.press("k")
    expect_place(page, place + 2)
    found = answers(Dataset("digits"), user())
    assert (found.total, found.bad) == (1, int(control.shown != control.truth))
    page.keyboard.press("z")
    expect_place(page, place + 1)
    assert answers(Dataset("digits"), user()).total == 0
    assert len(Review(Dataset("digits"), user()).judged()) == place
    page.goto(f"{server}/review?sample={control.sample}")  # without them it is what it is
    expect_sample(page, control.sample)
    playwright.expect(page.locator(".labels .given")).to_have_text(control.truth)


def expect_place(page, number: int) -> None:
    playwright.expect(page.locator(".jump")).to_have_value(str(number))


def stored(sample: int) -> list[str]:
    """This user's verdict on the sample, as it is on disk."""
    return [each.verdict for each in Review(Dataset("digits"), user()).of([sample])[0]]


def test_keys_belong_to_the_focused_control(page, server, audited):
    ids = make_queue(audited, QueueFilter(checks=True), user()).ids.tolist()
    page.goto(f"{server}/review")
    expect_sample(page, ids[0])
    page.get_by_role("button", name="Remove").focus()
    page.keyboard.press("Enter")  # the focused button, not the highlighted one
    expect_sample(page, ids[1])
    assert stored(ids[0]) == ["remove"]
    page.get_by_role("button", name="Keep").focus()
    page.keyboard.press("Space")
    expect_sample(page, ids[2])
    assert stored(ids[1]) == ["keep"]
    page.locator("summary", has_text="Ranking").focus()
    for key in ("k", "a", "1", "Enter"):
        page.keyboard.press(key)
    playwright.expect(page.get_by_role("spinbutton", name="From")).to_be_visible()
    page.get_by_role("link", name="Apply verdicts").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Apply").first.wait_for()
    assert len(Review(Dataset("digits"), user()).judged()) == 2


@pytest.fixture
def second(chromium):
    """A second page of its own."""
    with new_page(chromium) as second:
        yield second


def test_two_tabs_of_one_reviewer_overwrite_and_undo_nothing_of_each_other(
    page, second, server, audited
):
    ids = make_queue(audited, QueueFilter(checks=True), user()).ids.tolist()
    for tab in (page, second):
        tab.goto(f"{server}/review")
        expect_sample(tab, ids[0])
    page.keyboard.press("k")
    expect_sample(page, ids[1])
    second.keyboard.press("x")
    second.get_by_text("was changed in another window (keep)").wait_for()
    assert stored(ids[0]) == ["keep"]
    playwright.expect(second.get_by_role("button", name="Undo")).to_be_disabled()
    second.keyboard.press("ArrowRight")
    second.keyboard.press("x")
    expect_sample(second, ids[2])
    page.keyboard.press("z")  # its own verdict, although the other tab's is newer
    expect_sample(page, ids[0])
    assert (stored(ids[0]), stored(ids[1])) == ([], ["remove"])


def test_a_whole_queue_is_decided_only_after_a_question(page, server, audited):
    total = len(make_queue(audited, QueueFilter(), user()).ids)
    page.goto(f"{server}/review?mode=Many+at+once")
    page.get_by_role("button", name=f"Select all {total}").click()
    page.keyboard.press("a")
    question = page.locator(".question")
    playwright.expect(question).to_contain_text(f"{total - 60} of them are not on this page")
    page.keyboard.press("Enter")  # Cancel has the focus
    playwright.expect(question).to_be_hidden()
    assert not len(Review(Dataset("digits"), user()).judged())
    page.get_by_role("button", name=f"Select all {total}").click()
    page.keyboard.press("k")
    page.get_by_role("button", name=f"Keep {total}").click()
    page.get_by_text(f"{total} verdicts stored").wait_for()
    assert len(Review(Dataset("digits"), user()).judged()) == total


def test_a_link_to_another_dataset_selects_it_and_its_classes_are_reordered(page, server, audited):
    load_arrays("other", np.zeros((4, 8, 8), np.uint8), ["a", "b", "b", "b"])
    page.goto(f"{server}/review?dataset=digits")
    page.locator(".stage img").wait_for()
    page.evaluate(
        "history.pushState({}, '', '/dataset?dataset=other'); dispatchEvent(new Event('popstate'))"
    )
    page.get_by_text("4 samples").first.wait_for()
    page.get_by_role("button", name="Classes").click()
    page.get_by_role("radio", name="largest first").click()
    page.get_by_text("The order becomes b, a.").wait_for()
    page.get_by_role("button", name="Change the classes").click()
    playwright.expect(page.get_by_role("dialog")).to_have_count(0)
    assert Dataset("other").offered_classes == ["b", "a"]


def test_an_image_is_enlarged_and_decided_in_full_screen(page, server, audited):
    ids = make_queue(audited, QueueFilter(checks=True), user()).ids.tolist()
    page.goto(f"{server}/review")
    expect_sample(page, ids[0])
    stage = page.locator(".stage")
    stage.dblclick()
    playwright.expect(stage).to_have_class(re.compile("zoomed"))
    page.keyboard.press("f")
    viewer = page.locator("dialog.viewer")
    playwright.expect(viewer.locator("img")).to_have_attribute("alt", f"sample {ids[0]}")
    page.mouse.move(700, 400)
    page.mouse.wheel(0, -400)
    playwright.expect(viewer.locator(".frame")).to_have_class(re.compile("zoomed"))
    page.keyboard.press("k")  # verdicts go on here
    playwright.expect(viewer.locator("img")).to_have_attribute("alt", f"sample {ids[1]}")
    assert stored(ids[0]) == ["keep"]
    page.keyboard.press("Escape")
    playwright.expect(viewer).to_be_hidden()
    page.locator(".near-card").first.click()
    playwright.expect(viewer.locator(".caption")).to_contain_text("Similar image")
    page.keyboard.press("x")  # not about the similar image, and not about the one behind it
    page.keyboard.press("f")
    playwright.expect(viewer).to_be_hidden()
    assert len(Review(Dataset("digits"), user()).judged()) == 1


@pytest.fixture
def photo(home, tmp_path):
    """A dataset of 8 large images with scores, so that one is drawn smaller than it is."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (8, 12, 16, 3), np.uint8).repeat(100, 1).repeat(100, 2)
    dataset = load_arrays("photos", images, ["a", "b"] * 4)
    import_predictions(dataset, rng.normal(size=(8, 2)).astype(np.float32))
    compute_scores(dataset)
    return dataset


def test_zooming_loads_the_image_at_full_resolution(page, server, photo):
    page.goto(f"{server}/review?dataset=photos&everything=true")
    image = page.locator(".stage img")
    playwright.expect(image).to_have_js_property("naturalWidth", 900)
    page.locator(".stage").dblclick()
    playwright.expect(image).to_have_js_property("naturalWidth", 1600)
