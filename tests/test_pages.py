"""Every page, driven through streamlit.testing; the tests check what was stored."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import labelaudit
from labelaudit import (
    Dataset,
    QueueFilter,
    Recorder,
    Review,
    compute_scores,
    estimate_wrong,
    list_datasets,
    make_queue,
    suspects,
)
from labelaudit.jobs import files, manager
from labelaudit.living.sync import HERE, SOURCE
from labelaudit.pipeline import take_first_look
from labelaudit.ranking.evidence import Evidence
from labelaudit.review.notes import write_note
from labelaudit.scores import SCORES
from labelaudit.storage import schema
from labelaudit.ui import sidebar
from labelaudit.ui.__main__ import unbreakable
from labelaudit.ui.default_verdict import default_verdict, unclear_sentence
from labelaudit.ui.text import plain
from labelaudit.ui.total import provisional

pytestmark = pytest.mark.usefixtures("jobs_in_threads")

REPO = Path(__file__).resolve().parents[1]
PAGES = [
    "data/dataset",
    "data/sync",
    "data/noise",
    "model/train",
    "model/predict",
    "model/jobs",
    "suspects/results",
    "suspects/review",
    "suspects/duplicates",
    "suspects/insights",
    "suspects/annotators",
    "suspects/trend",
    "suspects/apply",
    "suspects/export",
    "suspects/history",
]


def said(element) -> str:
    """Return what the page shows of a text with escaped Markdown."""
    return re.sub(r"\\(.)", r"\1", element.value)


def open_page(name: str | None = None) -> AppTest:
    app = AppTest.from_file(str(REPO / "app.py"), default_timeout=300)
    app.session_state["reviewer"] = "ann"  # cookies are no texts here
    if name:
        app.switch_page(str(REPO / "pages" / f"{name}.py"))
    return no_error(app.run())


def no_error(app: AppTest) -> AppTest:
    assert not app.exception, app.exception
    assert not app.error, [error.value for error in app.error]
    return app


def button(app: AppTest, label: str):
    (found,) = [b for b in app.button if b.label == label]
    return found


def box(app: AppTest, label: str):
    (found,) = [b for b in app.selectbox if b.label == label]
    return found


def texts(app: AppTest) -> str:
    parts = (
        app.markdown,
        app.caption,
        app.info,
        app.success,
        app.warning,
        app.title,
        app.header,
    )
    return "\n".join(str(element.value) for kind in parts for element in kind)


def html(app: AppTest) -> str:
    return "".join(str(element.proto.body) for element in app.get("html"))


def finish_job(app: AppTest) -> AppTest:
    """Wait for the job that the page started, and draw the page again."""
    job = manager.list_jobs()[0].wait(300)
    assert job.status == files.DONE, (job.error, job.log)
    return no_error(app.run())


def test_the_first_visit_makes_the_embedded_dataset(home):
    app = open_page()
    assert list_datasets() == ["digits"]
    assert box(app, "Dataset").value == "digits"
    assert "Run the sample audit" in [b.label for b in app.button]


@pytest.mark.parametrize("name", PAGES)
def test_every_page_says_what_to_do_next_on_a_fresh_dataset(digits, name):
    app = open_page(name)
    assert box(app, "Dataset").value == "digits"  # the picker is on every page
    if name != "data/dataset":
        assert app.info, "an empty state says what to do"


def test_noise_is_planted_and_taken_back(digits):
    before = digits.view().values("ground_truth").tolist()
    app = open_page("data/noise")
    (rate,) = app.slider
    rate.set_value(0.1)
    box(app, "Kind").set_value("pair").run()
    box(app, "Class").set_value("3").run()
    box(app, "Swapped with").set_value("8").run()
    button(app, "Plant mistakes").click().run()
    no_error(app)
    mistakes = digits.view().match_tag("mistake")
    assert len(mistakes) == round(0.1 * 357)
    assert set(mistakes.values("ground_truth")) | set(mistakes.values("original_label")) == {
        "3",
        "8",
    }
    assert "36 of 357 labels are wrong now" in texts(app)
    button(app, "Restore labels").click().run()
    no_error(app)
    assert digits.view().values("ground_truth").tolist() == before
    assert digits.info["tags"] == {}


def test_train_then_predict(few_digits):
    digits = few_digits
    app = open_page("model/train")
    (epochs,) = app.slider
    epochs.set_value(2)
    (name,) = [field for field in app.text_input if field.label == "Run name"]
    name.set_value("mine").run()
    button(app, "Train").click().run()
    app = finish_job(app)
    run = digits.run("mine")
    assert run.info["epochs"] == 2
    assert "Training of mine finished after 2 epochs" in texts(app)
    assert not run.has_predictions()

    app.switch_page(str(REPO / "pages/model/predict.py")).run()
    button(app, "Predict with mine").click().run()
    app = finish_job(app)
    assert "400 samples predicted and scored" in texts(app)
    assert len(digits.view("mine").match_tag("processed")) == 400
    assert digits.run("mine").score_names() == [
        name for name in SCORES if not name.startswith("out_") and name != "annotators"
    ]
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Predicted"] == "400 of 400"
    assert int(metrics["Differ from the label"].replace(",", "")) == len(
        digits.view().match(wrong=True)
    )


def test_results_filter_and_page_through_all(audited):
    write_note(audited, 5, f"ask <Ben> {'why ' * 20}", "")
    view = suspects(audited)
    Review(audited, "bea").decide(view.ids[3:5], "keep")
    app = open_page("suspects/results")
    assert f"{len(view):,} suspects" in texts(app)
    assert f"1 to 48 of {len(view):,}" in texts(app)
    shown = html(app)
    assert shown.count('class="la-card"') == 48
    assert f'title="id {view.ids[0]}\n' in shown
    button(app, "Next").click().run()
    assert f'title="id {view.ids[48]}\n' in html(no_error(app))
    app.toggle(key="results-noted").set_value(True).run()
    noted = html(no_error(app))
    assert re.findall(r'title="id (\d+)', noted) == ["5"]
    assert "ask &lt;Ben&gt; " in noted
    assert "why wh…</span>" in noted  # shortened on the card
    app.toggle(key="results-noted").set_value(False)
    given, predicted = view.class_pairs().iloc[0][["ground_truth", "predicted"]]
    box(app, "Given").set_value(given)
    box(app, "Predicted").set_value(predicted)
    box(app, "Tag").set_value("mistake").run()
    pair = view.match(label=given, prediction=predicted).match_tag("mistake")
    assert html(no_error(app)).count('class="la-card"') == len(pair)
    assert f"{len(pair)} of {len(view)} suspects" in texts(app)
    for name in ("Given", "Predicted", "Tag"):
        box(app, name).set_value("any")
    box(app, "Decided by").set_value("bea").run()
    assert f"2 of {len(view)} suspects" in texts(no_error(app))
    box(app, "Decided by").set_value("any")
    box(app, "Score").set_value("hardness")
    box(app, "Given").set_value("any")
    box(app, "Predicted").set_value("any")
    box(app, "Tag").set_value("any").run()
    hardest = audited.view().sort_by("hardness", reverse=True).head(1)[0]
    assert f'title="id {hardest.id}\n' in html(no_error(app))
    assert len(app.dataframe[-1].value) == len(audited.run().score_names())  # the rehearsal
    low, high = (field for field in app.number_input if field.label.startswith("Score "))
    low.set_value(0.2)
    high.set_value(0.8).run()
    between = audited.view().between("hardness", 0.2, 0.8)
    assert 0 < len(between) < 1797
    assert f"{len(between)} of 1,797 samples" in texts(no_error(app))


def test_a_recorded_run_is_shown_though_it_has_no_model(digits):
    recorder = Recorder(digits, run="mine")
    for _ in range(2):
        recorder.update(digits.view().ids, np.random.default_rng(0).normal(size=(1797, 10)))
        recorder.end_epoch()
    recorder.finish()
    app = no_error(open_page("model/train"))
    assert app.dataframe[0].value[["run", "model", "epochs"]].values.tolist() == [
        ["mine", "own model", 2]
    ]
    assert "Loss" not in texts(app)
    app = no_error(open_page("model/predict"))
    assert "recorded in your own training loop" in texts(app)
    assert not [b for b in app.button if b.label.startswith("Predict with")]
    assert button(app, "Update scores")
    compute_scores(digits)
    app = no_error(open_page("suspects/insights"))
    app.get("button_group")[0].set_value("Similarity map").run()
    assert "mine has no embeddings. Pass them to Recorder.update" in texts(no_error(app))


def test_results_of_a_first_look_say_what_it_is_and_come_after_a_trained_run(audited):
    take_first_look(audited, features="pixels")
    app = open_page("suspects/results")
    assert box(app, "Run").value == "run-1"
    counted = len(suspects(audited, "run-1", "confident_learning"))
    assert f"cleanlab's rule counts {counted:,} wrong labels" in texts(app)
    assert "predicts each label from all other images" not in texts(app)
    box(app, "Run").set_value("first-look").run()
    shown = texts(no_error(app))
    assert "first-look predicts each label from all other images, using the features" in shown
    assert "A trained model ranks" not in shown
    assert "first-look" not in box(open_page("model/predict"), "Run").options
    assert "first-look" not in texts(no_error(open_page("model/train")))
    app = open_page("suspects/insights")
    app.get("button_group")[0].set_value("Compare runs").run()
    first, second = set(suspects(audited, "run-1").ids), set(suspects(audited, "first-look").ids)
    shown = app.get("button_group")[1].options
    counts = [len(first & second), len(first - second), len(second - first)]
    assert [part.rpartition(" ")[2] for part in shown] == [f"{count:,}" for count in counts]
    assert f"1 to {min(48, counts[0])} of {counts[0]}" in texts(no_error(app))
    button(app, f"Review these {counts[0]:,}").click().run()
    assert f"{counts[0]:,} samples chosen on another page" in texts(no_error(app))
    assert set(app.session_state["review-many"].queue.ids) == first & second
    job = manager.start("audit", "digits", train=True)
    try:
        assert provisional(audited, "first-look").startswith("Provisional")
        assert provisional(audited, "run-1") == ""
    finally:
        job.stop()
        job.wait(300)
    assert provisional(audited, "first-look") == ""


def test_found_samples_are_tagged(audited):
    app = open_page("data/dataset")
    (find,) = [field for field in app.text_input if field.label == "Find"]
    name = audited[7].filepath
    find.set_value(name.upper()).run()
    (tag,) = [field for field in app.text_input if field.label == "Tag"]
    tag.set_value("look again").run()
    button(app, "Add").click().run()
    no_error(app)
    assert audited.view().match_tag("look again").ids.tolist() == [7]
    button(app, "Remove").click().run()
    no_error(app)
    assert len(audited.view().match_tag("look again")) == 0


def test_the_dataset_page_filters(audited):
    app = open_page("data/dataset")
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Samples"] == "1,797"
    assert metrics["Planted mistakes"] == "359"
    box(app, "Class").set_value("7")
    box(app, "Split").set_value("test").run()
    view = audited.view().match(label="7", split="test")
    assert f"of {len(view)}" in texts(no_error(app))


def test_own_fields_are_shown_filtered_and_sorted(make_dataset):
    dataset = make_dataset(6)
    for name, kind in {"human": "label", "age": "number", "day": "date"}.items():
        dataset.add_field(name, kind)
    dataset.set_values("human", [1, 2, 3], ["c0", "c1", "c1"])
    dataset.set_values("age", [1, 2, 3], [30, 10, 20])
    dataset.set_values("day", [1, 2], ["2026-01-05", "2026-01-09"])
    app = open_page("data/dataset")
    assert '<span title="day">2026-01-05</span>' in html(app)
    box(app, "Own field").set_value("human").run()
    box(app, "Value").set_value("c1 (2)").run()
    box(app, "Sort by").set_value("age").run()
    shown = html(no_error(app))
    assert "of 2" in texts(app)
    assert shown.index("id 2") < shown.index("id 3")
    box(app, "Value").set_value("no value (3)").run()
    assert "of 3" in texts(no_error(app))
    box(app, "Own field").set_value("age").run()
    next(n for n in app.number_input if n.label == "From").set_value(15.0).run()
    assert "of 2" in texts(no_error(app))
    box(app, "Own field").set_value("day").run()
    app.date_input[1].set_value(date(2026, 1, 5)).run()
    assert "of 1" in texts(no_error(app))


def test_issues_of_cleanlab_become_tags(make_dataset):
    dataset = make_dataset(2, 2)
    app = open_page("data/dataset")
    text = "is_label_issue,given_label\nFalse,c0\nTrue,{}\n"
    app.file_uploader(key="issues-file-plain").set_value(
        ("issues.csv", text.format("c0").encode(), "text/csv")
    ).run()
    button(app, "Tag the samples").click().run()
    assert "given_label is 'c0', but sample 2 is 'c1'" in said(app.error[0])
    app.file_uploader(key="issues-file-plain").set_value(
        ("issues.csv", text.format("c1").encode(), "text/csv")
    ).run()
    button(app, "Tag the samples").click().run()
    assert r"label\_issue: 1" in texts(no_error(app))
    assert dataset.view().match_tag("label_issue").ids.tolist() == [2]
    assert "label_issue" in box(app, "Tag").options


def test_names_from_the_data_are_escaped(home):
    from labelaudit import load_arrays

    evil = "<img src=x onerror=alert(1)>"
    load_arrays("evil", np.zeros((2, 8, 8), np.uint8), [evil, "b"], tags=[[evil], []])
    shown = html(open_page("data/dataset"))
    assert "&lt;img src=x onerror" in shown
    assert evil not in shown


def test_a_missing_image_is_shown_as_missing(tmp_path, picture):
    from labelaudit import load_dataset

    for i in range(4):
        picture(tmp_path / "p" / f"c{i % 2}" / f"{i}.png", seed=i)
    load_dataset("p", tmp_path / "p")
    (tmp_path / "p/c0/0.png").unlink()
    shown = html(open_page("data/dataset"))
    assert shown.count("Image cannot be read") == 1
    assert shown.count("<img") == 3


def test_delete_falls_back_to_another_dataset(digits, make_dataset):
    make_dataset(3, name="other")
    app = open_page("data/dataset")
    box(app, "Dataset").set_value("other").run()
    button(app, "Delete dataset").click().run()
    no_error(app)
    assert list_datasets() == ["digits"]
    assert box(app, "Dataset").value == "digits"


def test_labels_changed_after_scoring_are_reported(audited):
    first = suspects(audited).head(1)[0]
    first.set_label(first.prediction.label)
    app = open_page("suspects/results")
    assert "1 label changed since run-1 was trained" in texts(app)
    assert f'title="id {first.id}\n' not in html(app)
    assert f"{len(suspects(audited)):,} suspects" in texts(app)


def test_rehearsals_of_two_datasets_are_not_mixed_up(audited, audited_home):
    """Both have the same table versions; only the mark of each table differs."""
    from labelaudit import TrainConfig, audit, load_arrays

    images = [sample.image for sample in audited.view().limit(300)]
    other = load_arrays("other", images, audited.view().limit(300).values("original_label"))
    audit(other, noise=0.1, config=TrainConfig(epochs=1, threads=1), first_look=False)
    app = open_page("suspects/results")
    box(app, "Dataset").set_value("digits").run()
    assert "359 were planted in all" in texts(no_error(app))
    box(app, "Dataset").set_value("other").run()
    assert "30 were planted in all" in texts(no_error(app))


def test_samples_in_random_order_are_the_same_samples(digits):
    app = open_page("data/dataset")
    (mixed,) = [t for t in app.toggle if t.label == "Random order"]
    before = html(app)
    mixed.set_value(True).run()
    shown = html(no_error(app))
    assert shown.count('class="la-card"') == before.count('class="la-card"') == 48
    assert shown != before
    assert "1 to 48 of 1,797" in texts(app)


def test_a_dataset_without_labels_can_be_looked_at(home):
    from labelaudit import load_arrays

    load_arrays("bare", np.zeros((3, 8, 8), np.uint8), [None] * 3)
    for page in PAGES:
        app = open_page(page)
        if page == "data/dataset":
            assert "there is nothing to audit" in texts(app)
            assert html(app).count("no label") == 3


def test_a_job_of_another_dataset_is_not_shown_here(digits, make_dataset):
    make_dataset(3, name="other")  # its images are not there: training fails
    app = open_page("model/train")
    box(app, "Dataset").set_value("other").run()
    button(app, "Train").click().run()
    manager.list_jobs()[0].wait(300)
    app.run()
    assert "none of the 3 images can be read" in said(app.error[0])
    box(app, "Dataset").set_value("digits").run()
    no_error(app)


def test_results_wait_for_the_running_audit(digits, monkeypatch):
    from labelaudit.ui import jobs

    monkeypatch.setattr(jobs, "running_job", lambda dataset: SimpleNamespace(kind="audit"))
    monkeypatch.setattr(jobs, "show_running", lambda dataset: None)
    shown = texts(open_page("suspects/results"))
    assert "The running job computes the scores" in shown
    assert "import the predictions" not in shown


def test_mistakes_planted_after_training_are_no_rehearsal(few_digits):
    from labelaudit import TrainConfig, audit, compute_scores, inject_noise, predict

    digits = few_digits
    audit(digits, config=TrainConfig(epochs=2, threads=1), first_look=False)
    inject_noise(digits, 0.1)
    predict(digits)
    compute_scores(digits)
    app = open_page("suspects/results")
    assert "40 labels changed since run-1 was trained" in texts(app)
    assert "planted after run-1 was trained" in texts(app)
    # no figures that flatter
    assert not any("average_precision" in table.value for table in app.dataframe)


def test_a_corrected_rehearsal_is_distinguished_from_one_planted_late_and_export_warns(audited):
    wrong = audited.view().match_tag("mistake").limit(20)
    for sample in wrong:
        audited.set_labels([sample.id], sample.original_label)
    shown = texts(open_page("suspects/results"))
    assert "corrected after run-1 was trained" in shown
    assert "planted after run-1" not in shown
    assert "339 planted mistakes" in shown  # in the sidebar
    assert "20 of 359 planted mistakes are corrected" in texts(open_page("data/noise"))
    assert "339 of these labels are planted mistakes" in texts(open_page("suspects/export"))
    labelaudit.restore_noise(audited)
    assert "planted mistakes" not in texts(open_page("suspects/export"))


def test_predictions_in_another_order_of_classes_are_doubted_everywhere(digits, tmp_path):
    p = np.full((1797, 10), 0.01)
    p[np.arange(1797), (digits.view().frame.label + 1) % 10] = 0.91
    file = tmp_path / "turned.npy"
    np.save(file, p)
    app = open_page("model/predict")
    (where,) = [g for g in app.get("button_group") if "Upload" in g.options]
    where.set_value("File on this machine").run()
    (path,) = [t for t in app.text_input if t.label == "Path"]
    path.set_value(str(file)).run()
    assert "as if its rows or columns were in another order" in app.error[0].value
    app.selectbox(key="import-by").set_value("order").run()
    assert r"taken in this order\: 0, 1, 2" in app.warning[0].value
    assert "agrees with 0% of the labels" in app.warning[0].value
    labelaudit.import_predictions(digits, file, by="order")
    labelaudit.compute_scores(digits)
    warnings = [each.value for each in open_page("suspects/results").warning]
    assert any("in another order?" in text for text in warnings)
    assert any("In a self-test, only 0%" in text for text in warnings)


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("the queue changed: look again.", "The queue changed: look again."),
        ("issues.csv has no column like is_label_issue.", "issues.csv has no column like"),
        ("/data/pets: no such folder", "/data/pets: no"),
        ("run_1, row 2 is empty", "run_1, row"),
    ],
)
def test_a_sentence_begins_with_a_capital_but_for_names_of_files(error, shown):
    from labelaudit.ui.text import sentence

    assert sentence(error).startswith(shown)


def test_another_ranking_begins_at_its_first_page(audited):
    app = open_page("suspects/results")
    button(app, "Next").click().run()
    button(app, "Next").click().run()
    assert "97 to 144 of" in texts(app)
    box(app, "Images per page").set_value(24).run()
    assert "97 to 120 of" in texts(no_error(app))  # the same image comes first
    box(app, "Score").set_value("aum").run()
    assert "1 to 24 of" in texts(no_error(app))


def test_own_data_is_audited_from_the_start_page(audited):
    from labelaudit import load_arrays

    some = audited.view().limit(200)
    load_arrays("mine", [s.image for s in some], some.values("original_label"))
    app = open_page()
    box(app, "Dataset").set_value("mine").run()
    button(app, "Audit mine").click().run()
    app = finish_job(app)
    assert "Audit of mine finished" in texts(app)
    assert {m.label: m.value for m in app.metric} == {
        "Suspects": f"{len(suspects(Dataset('mine'))):,}"
    }
    assert Dataset("mine").info["tags"] == {"processed": 200}


def test_what_a_job_left_can_be_discarded_or_the_job_run_again(digits):
    job = manager.start("load", "pets", source="/nowhere").wait(300)
    app = AppTest.from_file(str(REPO / "app.py"), default_timeout=300).run()
    app.switch_page(str(REPO / "pages/model/jobs.py")).run()
    assert "/nowhere does not exist" in said(app.error[0])
    assert "Resume" not in [b.label for b in app.button]
    button(app, "Run again").click().run()
    again = manager.list_jobs()[0].wait(300)
    assert (again.follows, again.options) == (job.id, {"source": "/nowhere"})
    app.run()
    assert app.dataframe[0].value["job"].tolist() == ["Load pets", "Load pets"]


def test_a_page_opened_before_the_linked_dataset_was_picked_shows_that_dataset(digits, monkeypatch):
    from labelaudit import load_arrays

    load_arrays("a-first", np.zeros((2, 8, 8), np.uint8), ["a", "b"])
    app = AppTest.from_file(str(REPO / "app.py"), default_timeout=300)
    app.query_params["dataset"] = "digits"
    with monkeypatch.context() as patch:  # the links are drawn, and the next request comes
        patch.setattr(sidebar, "pick_dataset", st.stop)
        app.run()
    del app.query_params["dataset"]  # a link in the sidebar has none
    app.switch_page(str(REPO / "pages/data/dataset.py"))
    assert box(no_error(app.run()), "Dataset").value == "digits"


def test_scores_are_computed_again_for_labels_that_were_changed(audited):
    first = suspects(audited).head(1)[0]
    first.set_label(first.prediction.label)
    assert audited[first.id].scores["normalized_margin"] is None
    app = open_page("model/predict")
    button(app, "Update scores").click().run()
    app = finish_job(app)
    assert "Scores of run-1 updated" in texts(app)
    assert audited[first.id].scores["normalized_margin"] < 0.5


def show(app: AppTest, part: str) -> AppTest:
    (parts,) = app.segmented_control
    parts.set_value(part).run()
    return no_error(app)


def charted(app: AppTest) -> tuple[dict, list]:
    """Return the spec and the data tables of the only chart."""
    (chart,) = app.get("vega_lite_chart") or app.get("arrow_vega_lite_chart")
    tables = [pa.ipc.open_stream(d.data.data).read_pandas() for d in chart.proto.datasets]
    return json.loads(chart.proto.spec), tables


def test_insights_show_mix_ups(audited):
    app = open_page("suspects/insights")
    wrong = audited.view().match(wrong=True)
    assert f"{len(wrong):,} of 1,797 images differ" in texts(app)
    by_class = app.dataframe[0].value
    found = suspects(audited)
    counts = dict(zip(by_class["class"], by_class["suspects"], strict=True))
    assert counts == found.count_values("ground_truth")
    spec, tables = charted(app)
    cells = {(r.given, r.predicted): r.samples for t in tables for r in t.itertuples()}
    pairs = wrong.class_pairs().itertuples(index=False)
    assert {(a, b): n for a, b, n in pairs} == {p: n for p, n in cells.items() if p[0] != p[1]}
    assert [p["name"] for p in spec["params"] if "select" in p] == ["cell"]


def test_insights_show_maps(audited):
    app = show(open_page("suspects/insights"), "Training map")
    training = map_version(app)
    assert "images are drawn" not in texts(app)  # all are
    box(app, "Colour").set_value("aum").run()
    assert map_version(no_error(app)) != training  # so the browser asks for the colours
    assert button(app, "Review the selected").disabled
    assert map_version(show(app, "Similarity map")) != training


def map_version(app: AppTest) -> str:
    """What the browser compares with the dots that it has."""
    (drawn,) = app.get("bidi_component")
    return json.loads(drawn.proto.json)["version"]


def test_insights_of_a_run_without_dynamics_or_embeddings_say_what_to_do(audited):
    from labelaudit import compute_scores

    run = audited.new_run("imported").finish({"classes": audited.classes, "brought": {}})
    logits = np.random.default_rng(0).normal(size=(1797, 10)).astype(np.float32)
    run.write_predictions([(audited.view().ids, logits)])
    compute_scores(audited, "imported")
    app = open_page("suspects/insights")
    assert box(app, "Run").value == "imported"
    assert "imported has no training records" in texts(show(app, "Training map"))
    assert "Import them with its predictions" in texts(show(app, "Similarity map"))


def test_insights_of_many_classes_show_the_most_mixed_up(make_dataset):
    from labelaudit import compute_scores

    dataset = make_dataset(300, classes=60)
    run = dataset.new_run("r").finish({"classes": dataset.classes})
    predicted = np.roll(dataset.view().frame.label, 1)
    logits = 3 * np.eye(60, dtype=np.float32)[predicted]
    run.write_predictions([(dataset.view().ids, logits, logits)])
    compute_scores(dataset)
    app = open_page("suspects/insights")
    assert "Only the 20 most frequently confused classes are shown." in texts(app)
    assert len(app.dataframe[0].value) == 60
    assert map_version(show(app, "Similarity map"))


def test_a_map_of_many_samples_says_how_they_were_chosen(make_dataset, monkeypatch):
    from labelaudit import compute_scores
    from labelaudit.ranking import insights

    monkeypatch.setattr(insights, "POINTS", 10_000)
    dataset = make_dataset(12_000)
    run = dataset.new_run("r").finish({"classes": dataset.classes})
    label = dataset.view().frame.label
    predicted = np.where(np.arange(12_000) < 3000, (label + 1) % 4, label)
    logits = 3 * np.eye(4, dtype=np.float32)[predicted]
    run.write_predictions([(dataset.view().ids, logits, logits)])
    compute_scores(dataset)
    app = show(open_page("suspects/insights"), "Similarity map")
    assert "10,000 of 12,000 images are drawn: 3,000 suspects" in texts(app)


def test_duplicates_are_looked_for_and_decided_with_one_click(home, tmp_path):
    from labelaudit import Review, apply_verdicts, load_arrays

    rng = np.random.default_rng(0)
    first, second, third, other = rng.integers(0, 256, (4, 24, 24), np.uint8)
    images = [first, first, second, second, third, third, third, other]
    splits = ["train", "train", "train", "test", *["train"] * 4]
    labels = ["cat", "*dog*", "cat", "cat", "cat", "cat", "cat", "*dog*"]
    dataset = load_arrays("pets", images, labels, splits=splits)
    app = open_page("suspects/duplicates")
    button(app, "Find duplicates").click().run()
    app = finish_job(app)
    assert "with a duplicate: 7 of 8 samples" in texts(app)
    (lists,) = app.get("button_group")
    assert [o.content for o in lists.proto.options] == [
        "Different labels · 1", "Different splits · 1", "Other duplicates · 1",
    ]  # fmt: skip
    assert html(app).count('class="la-card"') == 2
    button(app, r"Label all \*dog\*").click().run()
    assert r"✓ 2 \*dog\*" in texts(no_error(app))
    review = Review(dataset, "ann")
    assert [(v.verdict, v.label) for (v,) in review.of([1, 2])] == [
        ("relabel", "*dog*"),
        ("keep", None),
    ]
    button(app, "Undo").click().run()
    assert review.of([1, 2]) == [[], []]
    assert "✓" not in texts(no_error(app))
    button(app, "Label all cat").click().run()
    apply_verdicts(dataset)
    assert dataset[2].ground_truth == "cat"

    app.get("button_group")[0].set_value("splits").run()
    button(app, "Remove from test").click().run()
    assert review.of([3, 4])[0] == []
    assert review.of([4])[0][0].verdict == "remove"
    app.get("button_group")[0].set_value("others").run()
    assert html(no_error(app)).count('class="la-card"') == 5  # the first pair agrees by now
    button(app, "Keep one, remove 2").click().run()
    assert [said[0].verdict if said else None for said in review.of([5, 6, 7])] == [
        None, "remove", "remove",
    ]  # fmt: skip


def test_a_label_changed_meanwhile_is_not_decided_over(home):
    from labelaudit import Review, find_duplicates, load_arrays

    image = np.random.default_rng(0).integers(0, 256, (24, 24), np.uint8)
    dataset = load_arrays("pets", [image, image], ["cat", "dog"])
    find_duplicates(dataset)
    app = open_page("suspects/duplicates")
    dataset.set_labels([1], "dog")
    dataset.set_labels([2], "cat")
    button(app, "Label all dog").click().run()
    assert ["relabelled in the meantime" in error.value for error in app.error] == [True]
    assert Review(dataset, "ann").of([1]) == [[]]
    button(app, "Label all dog").click().run()
    assert Review(dataset, "ann").of([1])[0][0].verdict == "keep"
    assert not app.error
    dataset.set_labels([2], "dog")  # nothing is left on the list
    button(app, "Label all cat").click().run()
    assert len(app.error) == 1
    assert "No duplicates have different labels" in texts(app)


def test_planted_mistakes_are_not_given_away_among_duplicates(home):
    from labelaudit import find_duplicates, inject_noise, load_arrays

    images = np.random.default_rng(0).integers(0, 256, (4, 24, 24), np.uint8).repeat(2, axis=0)
    dataset = load_arrays("pets", images, ["cat", "dog"] * 4)
    inject_noise(dataset, rate=0.5)
    find_duplicates(dataset)
    shown = html(open_page("suspects/duplicates"))
    assert "la-card" in shown
    assert 'class="la-tag' not in shown
    assert "was labelled" not in shown


def test_results_say_how_many_labels_are_wrong(audited):
    app = open_page("suspects/results")
    assert [tab.label for tab in app.tabs][:2] == ["Images", "Where are they?"]
    assert estimate_wrong(audited).headline() in texts(app)
    assert [each.label for each in app.expander].count("How is this counted?") == 1
    assert "Nothing is reviewed yet" in texts(app)
    classes, pairs = (table.value for table in app.dataframe[:2])
    found = estimate_wrong(audited)
    assert classes["class"].tolist() == found.by_class["class"].tolist()
    assert pairs["wrong"].tolist() == found.by_pair["wrong"].tolist()
    ids = audited.view().sort_by("suspicion", reverse=True).ids
    Review(audited, "ann").decide(ids[:7], "remove")
    app = no_error(app.run())
    assert "of 1,797 labels are wrong; 7 found." in texts(app)
    assert "Continue: " in texts(app)
    assert "Before any review" in texts(app)


def test_predictions_of_the_user_come_in_and_every_page_copes(digits, tmp_path):
    view = digits.view()
    p = np.full((1797, 10), 0.01)
    p[np.arange(1797), view.frame.label] = 0.91
    p[:40] = np.roll(p[:40], 3, axis=1)
    file = tmp_path / "p.npz"
    np.savez(file, predictions=p[:1700] * 1.1, ids=view.ids[:1700])
    app = open_page("model/predict")
    (where,) = [g for g in app.get("button_group") if "Upload" in g.options]
    where.set_value("File on this machine").run()
    (path,) = [t for t in app.text_input if t.label == "Path"]
    path.set_value(str(file)).run()
    assert ["p.npz, row 1 (id 1) sums to 1.1" in error.value for error in app.error] == [True]
    np.savez(file, predictions=p[:1700], ids=view.ids[:1700])
    app.run()
    assert "1,700 rows of probabilities, matched by id." in texts(no_error(app))
    assert digits.runs == []  # understood, not stored
    button(app, "Import and score").click().run()
    app = no_error(finish_job(app))
    assert "1,700 samples predicted and scored" in texts(app)
    assert digits.run("imported").info["brought"]["by"] == "id"
    assert box(app, "Run").options == ["imported"]
    assert "Update scores" in [b.label for b in app.button]
    assert not [b for b in app.button if b.label.startswith("Predict with")]
    shown = texts(open_page("suspects/results"))
    assert "imported was imported from p.npz" in shown
    assert f"{len(suspects(digits)):,} suspects" in shown
    open_page("suspects/review")
    open_page("model/train")  # which lists the runs that were trained here
    app = open_page("suspects/insights")
    app.get("button_group")[0].set_value("Training map").run()
    assert "imported has no training records" in texts(no_error(app))
    app.get("button_group")[0].set_value("Similarity map").run()
    assert "imported has no embeddings" in texts(no_error(app))
    digits.set_labels([1], "9")
    assert "1 label changed since imported was scored" in texts(open_page("suspects/results"))


def test_the_copy_of_an_upload_goes_when_it_is_read(digits, tmp_path):
    file = tmp_path / "upload" / "p.npy"
    file.parent.mkdir()
    np.save(file, np.eye(10, dtype=np.float32)[digits.view().frame.label] * 5)
    job = manager.start("import", "digits", source=str(file), run="mine", remove=True).wait(300)
    assert job.status == files.DONE, job.error
    assert not file.parent.exists()
    assert job.summary == "mine: 1,797 predictions, 0 suspects"


def test_the_methods_page_has_a_section_on_every_score(home):
    shown = texts(no_error(open_page("start/methods")))
    for score in SCORES.values():
        assert score.title.split(",")[0].lower() in shown.lower(), score.title


def test_a_patch_is_looked_at_applied_and_taken_back(make_dataset):
    from labelaudit.patch import make_patch

    elsewhere, here = make_dataset(8, name="elsewhere"), make_dataset(8, name="here")
    elsewhere.set_labels([1, 2, 3], ["c3", "c3", "c3"])
    elsewhere.tag([4], "removed")
    here.set_labels([2], "c0")
    app = open_page("suspects/apply")
    box(app, "Dataset").set_value("here").run()
    (uploader,) = app.file_uploader
    uploader.set_value(("p.labels.jsonl", make_patch(elsewhere).to_bytes(), "application/jsonl"))
    app.run()
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics == {
        "To relabel": "2",
        "To remove": "1",
        "Already applied": "0",
        "Conflicts": "1",
    }
    (apply,) = [b for b in no_error(app).button if b.label.startswith("Apply 3 changes by ")]
    apply.click().run()
    assert here.view().values("ground_truth").tolist()[:4] == ["c3", "c0", "c3", "c3"]
    assert here[4].tags == ("removed",)
    button(no_error(app), "Undo the last 3 changes").click().run()
    assert here.view().values("ground_truth").tolist()[:4] == ["c0", "c0", "c2", "c3"]
    app.file_uploader[0].set_value(("<b>*p*.jsonl", b"?", "application/jsonl")).run()
    assert [error.value for error in app.error] == [
        r"\<b\>\*p\*.jsonl, line 1\: it is not JSON; correct the line or delete it."
    ]


def test_what_changed_in_the_source_is_looked_at_decided_and_taken_over(
    home, tmp_path, picture, monkeypatch
):
    monkeypatch.setattr("labelaudit.ui.sync_conflicts.PAGE", 1)
    for i in range(6):
        picture(tmp_path / "pets" / ("cat", "dog")[i % 2] / f"{i}.png", seed=i)
    dataset = labelaudit.load_dataset("pets", tmp_path / "pets")
    cats = dataset.view().match(label="cat").ids[:2].tolist()
    Review(dataset, "ann").decide(cats, "keep")
    for path in [dataset[i].filepath for i in cats]:
        os.rename(path, path.replace("/cat/", "/dog/"))
    picture(tmp_path / "pets/yak/new.png", seed=9)
    app = open_page("data/sync")
    button(app, "Read the source again").click().run()
    app = finish_job(app)
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics == {"Added": "1", "Moved": "2", "Conflicts": "2"}
    assert "Class yak is new" in texts(app)
    assert "2 conflicts undecided" in texts(app)
    assert len(dataset) == 6
    (choice,) = app.get("button_group")  # of the first page
    choice.set_value(HERE).run()
    assert "1 conflict undecided" in texts(no_error(app))
    button(app, "Undo all choices").click().run()
    assert "2 conflicts undecided" in texts(no_error(app))
    button(app, "Label of the source").click().run()
    assert (
        "Take the label of the source for 2 conflicts: 2 dog? 1 of them is not on this page."
        in texts(no_error(app))
    )
    assert "2 conflicts undecided" in texts(app)
    button(app, "Decide 2").click().run()
    assert "0 conflicts undecided" in texts(no_error(app))
    button(app, "Next").click().run()
    (choice,) = app.get("button_group")
    assert choice.value == SOURCE
    button(app, "Take the changes over").click().run()
    app = finish_job(app)
    assert "Taken over: 1 added, 2 moved, 2 relabelled; class yak added." in "\n".join(
        map(said, app.success)
    )
    assert [dataset[i].ground_truth for i in cats] == ["dog", "dog"]
    assert "1 sample with the tag" in texts(app)
    app.switch_page(str(REPO / "pages/suspects/history.py")).run()
    assert app.dataframe[0].value["samples"].tolist()[-1] == 6  # as loaded, without the new one
    app.switch_page(str(REPO / "pages/data/sync.py")).run()

    button(app, "Read the source again").click().run()
    assert "Nothing changed" in texts(finish_job(app))
    picture(tmp_path / "pets/yak/more.png", seed=10)
    button(app, "Read the source again").click().run()
    app = finish_job(app)
    picture(tmp_path / "pets/yak/last.png", seed=11)  # meanwhile
    button(app, "Take the changes over").click().run()
    job = manager.list_jobs()[0].wait(300)
    assert job.error.endswith("read the source again.")
    assert len(labelaudit.Dataset("pets")) == 7


def test_export_writes_what_was_chosen_as_a_job(audited, tmp_path):
    app = open_page("suspects/export")
    metrics = {metric.label: metric.value for metric in app.metric}
    assert (metrics["Samples"], metrics["Labels changed"]) == ("1,797", "359")
    choices = {radio.label: radio for radio in app.radio}
    choices["Format"].set_value("folders")
    choices["Samples"].set_value("Only the suspects").run()
    (target,) = app.text_input
    target.set_value(str(tmp_path)).run()
    button(app, "Save").click().run()
    assert "not empty" in app.error[0].value
    assert manager.list_jobs() == []
    app.text_input[0].set_value(str(tmp_path / "out")).run()
    command = app.code[0].value
    assert command == f"labelaudit export digits {tmp_path}/out --format folders --suspects"
    button(app, "Save").click().run()
    app = finish_job(app)
    count = len(suspects(audited))
    assert plain(f"{count:,} samples written to {tmp_path}/out") in texts(app)
    assert len(list((tmp_path / "out").rglob("*.png"))) == count
    assert {radio.label: radio.value for radio in app.radio}["Format"] == "folders"
    from click.testing import CliRunner

    from labelaudit.cli import main

    words = command.replace("/out", "/same").split()[1:]
    assert CliRunner().invoke(main, words).exit_code == 0
    names = [sorted(p.relative_to(tmp_path / x).as_posix() for p in (tmp_path / x).rglob("*.png"))
             for x in ("out", "same")]  # fmt: skip
    assert names[0] == names[1]


def wait_for(app: AppTest, text: str) -> AppTest:
    """Draw the page again until it shows a text."""
    for _ in range(600):
        if text in texts(app):
            return app
        time.sleep(0.5)
        no_error(app.run())
    raise AssertionError(texts(app))


def test_the_start_page_says_which_features_it_will_use_and_what_they_take(few_digits):
    from labelaudit import load_arrays

    some = few_digits.view().limit(100)
    load_arrays("mine", [s.image for s in some], some.values("ground_truth"))
    app = open_page()
    box(app, "Dataset").set_value("mine").run()
    assert box(app, "Features").options[:4] == [
        "Automatic",
        "Pixels",
        "Patches",
        "EfficientNet-Lite0",
    ]
    wait_for(app, "on this machine for 100 images")
    box(app, "Features").set_value("other").run()
    (name,) = [each for each in app.text_input if each.label == "Network"]
    name.set_value("nothing:at-all").run()
    assert "there is no feature extractor" in said(app.error[0]).lower()
    (train,) = [each for each in app.toggle if each.label == "Also train a model"]
    assert train.value  # small images
    train.set_value(False)
    box(app, "Features").set_value("pixels").run()
    button(app, "Audit mine").click().run()
    assert manager.list_jobs()[0].options == {"features": "pixels", "train": False}
    finish_job(app)
    dataset = Dataset("mine")
    assert dataset.runs == ["first-look"]
    assert dataset.run("first-look").info["first_look"]["features"] == "pixels"


def test_little_data_is_ranked_without_probabilities(few_digits):
    take_first_look(few_digits, features="pixels")
    shown = texts(open_page("suspects/results"))
    assert "too few for reliable probabilities" in shown
    assert "labels are wrong" not in shown


def test_images_with_issues_are_filtered_and_counted(audited):
    frame = audited.view().frame
    row = {"shadows": 0.0, "highlights": 0.1, "sharpness": 50.0, "entropy": 4.0, "colour": 0.0}
    rows = pa.Table.from_pylist([{"id": int(i), **row} for i in frame.ids[:3]], schema.QUALITY)
    with frame.transaction():
        frame.upsert("quality", rows, schema.QUALITY)
    dark = np.sort(audited.view().match(image_issue="dark").ids)
    assert set(frame.ids[:3]) <= set(dark)
    app = open_page("suspects/results")
    assert f"dark ({len(dark)})" in box(app, "Image").options
    box(app, "Image").set_value("dark").run()
    assert f"{len(dark)} of 1,797 samples" in texts(no_error(app))
    assert "Nearly all of the image is dark." in texts(app)
    queue = make_queue(audited, QueueFilter(image="dark"), "ann")
    assert sorted(queue.ids) == dark.tolist()
    assert not queue.checks


def test_an_unclear_suggestion_is_no_default():
    p = {"dog": 0.38, "cat": 0.31, "fox": 0.1}
    found = Evidence(1, "cat", "dog", p, None, None, None, [], {}, {}, "", suggested_p=0.38)
    assert default_verdict(found, is_check=False) == ""
    assert unclear_sentence(found) == "Unclear: dog 38%, cat 31%."
    clear = replace(found, suggested_p=0.6)
    assert (default_verdict(clear, is_check=False), unclear_sentence(clear)) == ("accept", "")
    assert default_verdict(clear, is_check=True) == "keep"
    assert default_verdict(replace(found, finding="outlier"), is_check=False) == "remove"


def test_what_is_printed_to_a_closed_pipe_is_no_error():
    """The server prints before it stops, and must stop also if nobody reads that any more."""
    reader, writer = os.pipe()
    os.close(reader)
    output = unbreakable(writer)
    print("Stopping ...", file=output, flush=True)
    os.close(writer)


def test_the_start_page_continues_where_the_reviewer_was(audited):
    first = suspects(audited).ids[:2]
    Review(audited, "ann").decide(first, "remove")
    app = open_page()
    primary = [b.label for b in app.button if b.proto.type == "primary"]
    assert primary[0] == "Go on reviewing digits"
    assert f"2 of {len(suspects(audited)):,} reviewed" in texts(app)
    assert "2 changes to apply" in texts(app)
