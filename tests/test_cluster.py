"""The parts of `cluster` that work without Ray; tests/extras/test_ray.py has the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from forks import Program
from streamlit.testing.v1 import AppTest

import labelaudit
from labelaudit import cluster
from labelaudit.__main__ import main
from labelaudit.cluster import extracting
from labelaudit.core.errors import DamagedError, LabelAuditError
from labelaudit.features.extraction import compute_here, extract, open_for
from labelaudit.features.neighbours import all_nearest, row_blocks, search_block
from labelaudit.features.stored import find_features
from labelaudit.jobs import files, guard, manager
from labelaudit.learn.first_look import Backend
from labelaudit.ranking.logit_scores import Judge
from labelaudit.scores import SCORES
from labelaudit.scores.base import LogitsInfo
from labelaudit.scores.softmax import Softmax

REPO = Path(__file__).resolve().parents[1]
MISSING = 'pip install "labelaudit[cluster]"'


@pytest.fixture
def without_ray(monkeypatch):
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)


@pytest.mark.system
def test_a_local_audit_imports_no_ray(few_digits):
    code = (
        "import sys, labelaudit\n"
        "config = labelaudit.TrainConfig(epochs=1, threads=1)\n"
        "labelaudit.audit('digits', noise=0.2, config=config, features='pixels')\n"
        "print(sorted({'ray', 'lance_ray', 'lance'} & set(sys.modules)))"
    )
    assert Program(code).communicate() == "[]\n"


def test_without_ray_one_sentence_says_what_to_install(digits, without_ray):
    with pytest.raises(LabelAuditError) as error:
        labelaudit.audit(digits, noise=0.2, on="ray")
    assert MISSING in str(error.value)
    assert "mistake" not in digits.view().count_values("tags")  # nothing was begun
    with pytest.raises(LabelAuditError, match="on='mars': choose here"):
        labelaudit.audit(digits, on="mars")


@pytest.mark.parametrize("command", ["train", "predict", "score", "audit"])
def test_the_command_line_says_so_too(digits, without_ray, capsys, command):
    with pytest.raises(SystemExit) as ended:
        main([command, "digits", "--on", "ray"])
    assert ended.value.code == 1
    assert MISSING in capsys.readouterr().err


def test_a_job_says_so_too(audited, jobs_in_threads):
    if cluster.is_installed():
        pytest.skip("Ray is installed here")
    job = manager.start("score", "digits", run=None, on="ray").wait(300)
    assert job.status == files.FAILED
    assert MISSING in job.error


def test_a_job_on_a_cluster_has_longer_to_end(tmp_path):
    files.write_json(tmp_path / "job.json", {"options": {"on": "ray"}})
    assert guard.patience(tmp_path) == guard.CLUSTER_SECONDS
    files.write_json(tmp_path / "job.json", {"options": {}})
    assert guard.patience(tmp_path) == guard.STOP_SECONDS


@pytest.mark.parametrize("installed", [False, True])
def test_the_app_offers_it_where_it_is_installed(digits, monkeypatch, installed):
    begun = []
    monkeypatch.setattr("labelaudit.ui.run_on.is_installed", lambda: installed)
    monkeypatch.setattr("labelaudit.ui.jobs.begin", lambda *a, **options: begun.append(options))
    app = AppTest.from_file(str(REPO / "app.py"), default_timeout=300).run()
    app.switch_page(str(REPO / "pages/model/train.py")).run()
    assert not app.exception
    offered = [box for box in app.selectbox if box.label == "Run on"]
    assert len(offered) == installed
    for box in offered:
        box.set_value("ray").run()
    next(b for b in app.button if b.label == "Train").click().run()
    assert begun[0].get("on") == ("ray" if installed else None)


# --- what workers share out, put together ---


@pytest.mark.parametrize("name", ["pixels", "patches"])
def test_features_by_blocks_of_workers_are_those_of_one_process(few_digits, name):
    """The functions of `cluster.extracting`, without Ray between them."""
    few_digits.add_samples([{"filepath": "broken.png", "image": b"no image", "label": "3"}])
    frame = few_digits.view().frame
    alone = open_for(frame, name, frame.ids)
    expected = extract(frame, alone, frame.ids).read(frame.ids)

    def by_blocks(frame, extractor, ids, add, task):
        arguments = extracting.WorkerArguments(
            "", frame.name, name, extractor.version, extractor.side, extractor.state, None
        )
        worker, example = extracting.open_same(frame, arguments), ""
        offsets = frame.offsets("samples", frame.positions(ids))
        for start in range(0, len(ids), 150):
            rows = slice(start, start + 150)
            block = pa.table({"id": ids[rows], "offset": offsets[rows]})
            found, unread = extracting.features_of_block(frame.store, worker, block)
            vectors = found["features"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            add(found["id"].to_numpy(), vectors.reshape(-1, extractor.width))
            example = example or unread
        assert example.startswith("broken.png")
        return example

    frame.store.drop(find_features(frame, name).table)
    found = extract(frame, alone, frame.ids, compute=by_blocks).read(frame.ids)
    assert found[0].tolist() == [True] * 400 + [False]
    np.testing.assert_array_equal(found[1], expected[1])


def test_a_node_with_other_weights_is_an_error(few_digits):
    frame = few_digits.view().frame
    arguments = extracting.WorkerArguments("", "digits", "pixels", "9 px", 8, None, None)
    with pytest.raises(DamagedError, match=r"other weights of pixels \(8 px\) than"):
        extracting.open_same(frame, arguments)


def test_an_audit_extracts_where_it_is_told_to(few_digits, monkeypatch):
    places = []

    def elsewhere(frame, extractor, ids, add, task):
        places.append(extractor.name)
        return compute_here(frame, extractor, ids, add, task)

    steps = replace(cluster.steps("here"), first_look=Backend(elsewhere))
    monkeypatch.setattr(cluster, "steps", lambda on: steps)
    labelaudit.audit(few_digits, train=False)
    assert places == ["pixels"]


def test_judges_that_looked_at_a_part_each_come_to_the_same():
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 4, 60_000)
    logits = rng.normal(0, 2, (60_000, 4)).astype(np.float32)
    wanted = [SCORES[name] for name in ("suspicion", "confident_learning", "hardness")]

    def judge() -> Judge:
        return Judge(wanted, LogitsInfo(4, int((labels >= 0).sum()), out_of_sample=True))

    one = judge()
    one.observe(labels, Softmax(logits))
    parts, whole = [], judge()
    for start in (0, 17_000, 45_000):
        part, at = judge(), slice(start, {0: 17_000, 17_000: 45_000, 45_000: 60_000}[start])
        part.start_at(start)
        part.observe(labels[at], Softmax(logits[at]))
        parts.append(part)
    for part in parts:
        whole.merge(part)
    for each in (one, whole):
        each.fit()
    expected, suggested = one.score(labels, logits)
    found, others = whole.score(labels, logits)
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-12, err_msg=name)
    np.testing.assert_array_equal(others[0], suggested[0])


@pytest.mark.parametrize("exact", [10_000, 1_000])
def test_neighbours_are_the_same_in_any_order(exact):
    vectors = np.random.default_rng(0).normal(size=(3_000, 8)).astype(np.float32)
    counted = np.arange(3_000) % 7 > 0

    def backwards(unit, parts, k, stop):
        everything = [(some, among) for asked, among in parts for some in row_blocks(asked, among)]
        for some, among in reversed(everything):
            yield some, *search_block(unit, some, among, k)

    expected = all_nearest(vectors, counted, 5, exact=exact)
    found = all_nearest(vectors, counted, 5, exact=exact, search=backwards)
    for mine, theirs in zip(expected, found, strict=True):
        np.testing.assert_array_equal(mine, theirs)
