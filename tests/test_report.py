"""The report: what it tells, and that nothing in it can be more than text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest

import labelaudit
from labelaudit import LabelAuditError, Review, estimate_wrong, load_arrays, write_report
from labelaudit.ranking.insights import Confusion
from labelaudit.ranking.scoring import compute_scores
from labelaudit.report import charts, report_html
from labelaudit.report.suspects import top_suspects
from labelaudit.scores import SCORES

VOID = {"meta", "img", "br"}
HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "{{ 7*7 }}&amp;", "dog"]


class Page(HTMLParser):
    """Elements with their attributes, all text, and whether tags are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.text, self._open = "", []
        self.feed(html)
        assert not self._open

    def handle_starttag(self, tag, attributes) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data) -> None:
        self.text += data + " "

    def of(self, tag: str, cls: str | None = None) -> list[dict]:
        found = [a for t, a in self.elements if t == tag]
        return [a for a in found if cls is None or cls in (a.get("class") or "").split()]


def page_of(dataset, **options) -> Page:
    return Page(report_html(dataset, **options))


@pytest.fixture
def hostile(home):
    """Names that would run code if not escaped; scored by given logits, with 4 suspects."""
    rng = np.random.default_rng(0)
    images = list(rng.integers(0, 255, (40, 9, 9, 3), np.uint8))
    truth = np.arange(40) % 4
    given = truth.copy()
    given[:4] = (given[:4] + 1) % 4
    dataset = load_arrays("hostile", images, [HOSTILE[i] for i in given], classes=HOSTILE)
    run = dataset.new_run("mine")
    run.finish({"classes": HOSTILE})
    logits = 6 * np.eye(4, dtype=np.float32)[truth] + rng.normal(0, 1, (40, 4)).astype(np.float32)
    run.write_predictions([(dataset.view().ids, logits)])
    compute_scores(dataset)
    return dataset


def test_hostile_names_are_text_and_nothing_is_fetched(hostile):
    Review(hostile, "<b>eve</b>").decide(1, "relabel", HOSTILE[0])
    Review(hostile, "<b>eve</b>").decide(2, "remove")
    labelaudit.apply_verdicts(hostile, who="<i>root</i>")
    html = report_html(hostile)
    page = Page(html)
    for name in (*HOSTILE, "<b>eve</b>", "<i>root</i>"):
        assert name in page.text, name
    assert {tag for tag, _ in page.elements} <= {
        "html", "head", "meta", "title", "style", "body", "main", "header", "footer", "section",
        "p", "h1", "h2", "h3", "div", "span", "b", "em", "i", "a", "dl", "dt", "dd", "table", "tr",
        "th", "td", "svg", "rect", "text", "path", "polyline", "img",
    }  # fmt: skip
    assert len(page.of("b")) == len(page.of("div", "tile")) + 4  # those of the method; no <b>eve
    attributes = [(name, value) for _, a in page.elements for name, value in a.items()]
    assert not [name for name, _ in attributes if name.startswith("on")]
    assert all(value.startswith("data:image/") for name, value in attributes if name == "src")
    assert all(value.startswith("https://") for name, value in attributes if name == "href")
    assert "url(" not in html
    assert "@import" not in html
    policy = next(a["content"] for a in page.of("meta") if "http-equiv" in a)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_it_tells_what_the_audit_found(audited, tmp_path):
    view = audited.view()
    size = write_report(audited, tmp_path / "r.html", top=12)
    assert size == (tmp_path / "r.html").stat().st_size < 150_000
    page = Page((tmp_path / "r.html").read_text())
    text = " ".join(page.text.split())
    found = estimate_wrong(audited)
    assert text.count(found.headline()) == 2  # the first sentence, and the section
    assert found.explanation()[0] in text
    assert "359 labels made wrong on purpose (uniform, 20%, seed 0)" in text
    assert "6 epochs, one model for all samples, seed 0" in text
    best = labelaudit.evaluate(view).iloc[0]
    assert f"{best['average_precision']:.4f} {best['precision_at_k']:.1%}" in text
    assert (
        f"of the first 359 by {SCORES[best['score']].title}, {best['found']:,} are planted mistakes"
        in text
    )
    assert "Nothing is reviewed yet" in text
    assert len(page.of("img")) == 12
    first = labelaudit.suspects(audited).head(12)
    titles = [a["title"] for a in page.of("div", "card")]
    assert titles == [f"id {s.id}, {s.filepath}" for s in first]


def test_what_became_of_the_top_suspects(audited):
    ids = labelaudit.suspects(audited).ids[:8].tolist()
    given = [audited[i].ground_truth for i in ids]
    others = [str((int(label) + 1) % 10) for label in given]
    ann, bob = Review(audited, "ann"), Review(audited, "bob")
    ann.decide(ids[0], "relabel", others[0])
    ann.decide(ids[1], "remove")
    labelaudit.apply_verdicts(audited)
    ann.decide(ids[2], "relabel", others[2])
    ann.decide(ids[3], "remove")
    ann.decide(ids[4], "keep")
    ann.decide(ids[5], "keep")
    bob.decide(ids[5], "remove")
    bob.decide(ids[6], "unsure")
    cards, count = top_suspects(audited, "run-1", "suspicion", 8)
    assert [card.id for card in cards] == ids  # also those that were relabelled and removed
    assert [card.given for card in cards] == given
    assert [(card.decision, card.by) for card in cards] == [
        (f"relabelled {others[0]}", "ann"), ("removed", "ann"), (f"to be {others[2]}", "ann"),
        ("to be removed", "ann"), ("kept", "ann"), ("reviewers disagree", "ann, bob"),
        ("unsure", "bob"), ("not reviewed", ""),
    ]  # fmt: skip
    assert count == len(labelaudit.suspects(audited)) + 2
    html = report_html(audited, top=8)
    assert "2 agreed changes are not applied yet." in html
    assert "Reviewers disagree on 1 sample, unchanged." in html
    assert "verdicts applied (1 relabelled, 1 removed)" in html


def test_a_run_without_suspicion_and_a_dataset_without_images(make_dataset):
    dataset = make_dataset(20)
    with pytest.raises(LabelAuditError, match="has no predictions yet: take a first look"):
        report_html(dataset)
    run = dataset.new_run("brought-in")
    run.finish({"classes": dataset.classes})
    predicted = (np.arange(20) + (np.arange(20) < 3)) % 4
    run.write_predictions([(dataset.view().ids, 3 * np.eye(4, dtype=np.float32)[predicted])])
    with pytest.raises(LabelAuditError, match="has no scores yet"):
        report_html(dataset)
    compute_scores(dataset, names=["self_confidence"])
    page = page_of(dataset)
    text = " ".join(page.text.split())
    assert "3 of 20 labels suspect by Self-confidence." in text
    assert "Suspects by class" in text
    assert text.count("cannot be read") == 3
    assert "c0 → c1" in text  # what it predicts, for nothing is suggested
    assert "Model external" in text


def test_it_says_whose_model_it_was(make_dataset):
    dataset = make_dataset(20)
    labels = dataset.view().frame.label
    p = np.full((20, 4), 0.05)
    p[np.arange(20), labels] = 0.85
    labelaudit.import_predictions(dataset, p, "brought", out_of_sample=True)
    recorder = labelaudit.Recorder(dataset, "watched")
    recorder.update(dataset.view().ids, np.log(p))
    recorder.finish()
    for run, says in (
        ("brought", "Model external (the array); it was not trained on these labels Predictions "
         "20 rows of probabilities, matched by order. The columns have no names"),
        ("watched", "Model trained and recorded in the user's own training loop Training 1 epoch "
         "Trained on 20 samples, 0 held out Time 0 s of training"),
    ):  # fmt: skip
        compute_scores(dataset, run, ["self_confidence"])
        assert says in " ".join(page_of(dataset, run=run).text.split())


def test_a_duplicate_that_is_removed_is_no_wrong_label(home):
    images = np.random.default_rng(0).integers(0, 255, (12, 8, 8, 3), np.uint8)
    images[1] = images[0]
    dataset = load_arrays("twice", images, np.arange(12) % 3)
    labelaudit.find_duplicates(dataset)
    labelaudit.import_predictions(dataset, np.eye(3)[np.arange(12) % 3])
    compute_scores(dataset)
    ids = dataset.view().ids
    Review(dataset, "ann").decide(ids[:1], "remove")
    Review(dataset, "ann").decide(ids[2:3], "remove")
    assert estimate_wrong(dataset).found == 1
    assert "labels are wrong; 1 found." in report_html(dataset)


@pytest.mark.parametrize("top", [-1, 2001, 1.5, True, None])
def test_the_number_of_suspects_is_bounded(audited, top):
    with pytest.raises(LabelAuditError, match="give a whole number between 0 and 2,000"):
        report_html(audited, top=top)


def numbers(svg: str, cls: str, what: str) -> list[float]:
    root = ElementTree.fromstring(svg)  # also says that it is well-formed
    return [float(rect.get(what)) for rect in root.iter("rect") if rect.get("class") == cls]


def test_bars_are_as_long_as_the_numbers():
    rows = [{"name": "<a>", "found": 5, "wrong": 10.0, "low": 8.0, "high": 20.0},
            {"name": None, "found": 0, "wrong": 5.0, "low": 0.0, "high": 6.0}]  # fmt: skip
    svg = charts.intervals(rows)
    bars, found = numbers(svg, "bar", "width"), numbers(svg, "found", "width")
    assert bars[0] == pytest.approx(2 * bars[1], abs=0.2)
    assert found == [pytest.approx(bars[0] / 2, abs=0.2), 0]
    assert "&lt;a&gt;" in svg
    low, high = map(float, re.search(r'd="M([\d.]+) 13H([\d.]+)M', svg).groups())
    assert (high - low) / bars[0] == pytest.approx(12 / 10, abs=0.01)


def test_a_histogram_counts_every_value_and_marks_what_is_above():
    svg = charts.histogram(np.array([0.0] * 9 + [0.95] * 99), 0.5, "suspicion")
    tall, calm = numbers(svg, "found", "height"), numbers(svg, "calm", "height")
    assert max(tall) == pytest.approx(2 * max(calm), abs=0.2)  # log10 of 100 and of 10
    assert len(tall) + len(calm) == 46
    assert charts.histogram(np.array([3.0]), None, "aum")  # one value has no width


def test_a_confusion_matrix_colours_what_is_wrong():
    svg = charts.confusion(Confusion(["a", "b"], np.array([[7, 4], [1, 0]]), 12, 5))
    assert len(numbers(svg, "agree", "x")) == 1
    ElementTree.fromstring(svg)
    strong, weak = re.findall(r'class="wrong" fill-opacity="([\d.]+)"', svg)
    assert (float(strong), float(weak)) == (1.0, pytest.approx(0.54))


def test_the_command(audited, tmp_path):
    from click.testing import CliRunner

    from labelaudit.cli import main

    target = str(tmp_path / "r.html")
    result = CliRunner().invoke(main, ["report", "digits", "-o", target, "--top", "3"])
    assert (
        result.stdout
        == f"{target} written, {(tmp_path / 'r.html').stat().st_size / 1000:,.0f} kB\n"
    )
    assert labelaudit.verify(audited, target).equal
