"""Labels by several annotators: import, consensus, quality, and the score made of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from streamlit.testing.v1 import AppTest

import labelaudit
from labelaudit.annotators.consensus import is_independent
from labelaudit.annotators.dawid_skene import Votes, fit, krippendorff_alpha
from labelaudit.annotators.stored import read_labels
from labelaudit.cli import main
from labelaudit.core.errors import BadInputError, DamagedError, NotFoundError
from labelaudit.review.classes import change_classes, plan_classes
from labelaudit.storage.schema import RECORDED

REPO = Path(__file__).resolve().parents[1]
SKILLS = {"ann": 0.95, "bob": 0.85, "cat": 0.75, "dan": 0.35}


def votes_of(truth: np.ndarray, classes: int, per: int = 3, seed: int = 0) -> pd.DataFrame:
    """Labels of each sample by `per` of the annotators, whose errors are uniform."""
    rng = np.random.default_rng(seed)
    rows = []
    for i, true in enumerate(truth):
        for who in rng.permutation(list(SKILLS))[:per]:
            wrong = (true + 1 + rng.integers(classes - 1)) % classes
            label = true if rng.random() < SKILLS[who] else wrong
            rows.append((i + 1, who, f"c{label}"))
    return pd.DataFrame(rows, columns=["id", "annotator", "label"])


@pytest.fixture
def voted(make_dataset):
    """400 samples; every tenth label is wrong; three of four annotators labelled each one."""
    dataset = make_dataset(400)
    truth = np.arange(400) % 4
    labelaudit.import_annotations(dataset, votes_of(truth, 4))
    wrong = np.arange(1, 401, 10)
    dataset.set_labels(wrong, [f"c{(i + 2) % 4}" for i in truth[::10]])
    return dataset


def right(found, table) -> float:
    return float((found == [f"c{(i - 1) % 4}" for i in table["id"]]).mean())


def test_the_consensus_is_better_than_a_vote_and_annotators_are_told_apart(voted):
    found = labelaudit.consensus(voted)
    given = read_labels(voted.view().frame)
    counts = np.zeros((400, 4))
    np.add.at(counts, (given.sample - 1, given.label), 1)
    majority = (counts.argmax(axis=1) == np.arange(400) % 4).mean()
    assert right(found.samples["consensus"], found.samples) > majority + 0.03
    table = found.annotators.set_index("annotator")
    assert list(table.index) == ["dan", "cat", "bob", "ann"]
    for who, skill in SKILLS.items():
        assert table.quality[who] == pytest.approx(skill, abs=0.07), who
    assert found.run is None
    assert "there are no predictions" in found.notes[0]
    first = set(found.samples["id"].head(40))
    assert len(first & set(range(1, 401, 10))) >= 34  # the labels that were made wrong
    assert "4 annotators for 400 samples" in str(found)


def test_a_model_makes_the_consensus_better_unless_it_learned_the_labels(voted):
    alone = labelaudit.consensus(voted)
    logits = np.random.default_rng(3).normal(size=(400, 4))
    logits[np.arange(400), np.arange(400) % 4] += 2.5
    labelaudit.import_predictions(voted, 3 * logits, "mine", by="order")  # far too sure
    found = labelaudit.consensus(voted)
    assert found.run == "mine"
    assert right(found.samples["consensus"], found.samples) > right(
        alone.samples["consensus"], alone.samples
    )
    labelaudit.import_predictions(voted, logits, "modest", by="order")
    modest = labelaudit.consensus(voted, "modest")  # the fitted sharpness makes up for the factor
    np.testing.assert_allclose(found.samples["p_wrong"], modest.samples["p_wrong"], atol=1e-3)
    assert labelaudit.consensus(voted, model=False).run is None
    labelaudit.compute_scores(voted, "mine")
    view = voted.view("mine")
    table = found.samples.set_index("id")["p_wrong"]
    np.testing.assert_allclose(view.fields.number("annotators"), table[view.ids], atol=1e-9)
    suspects = labelaudit.suspects(voted, "mine", score="annotators")
    assert set(suspects.limit(36).ids.tolist()) <= set(range(1, 401, 10))


def test_a_run_that_learned_the_labels_is_no_evidence(voted, monkeypatch):
    def run(**more):
        return SimpleNamespace(**{"is_first_look": False, "has_model": True, "info": {}, **more})

    assert not is_independent(run())
    assert not is_independent(run(has_model=False, info={RECORDED: {"out_of_sample": False}}))
    assert is_independent(run(info={"config": {"folds": 2}}))
    assert is_independent(run(has_model=False))
    labelaudit.import_predictions(voted, np.eye(4)[np.arange(400) % 4], "mine", by="order")
    monkeypatch.setattr("labelaudit.annotators.consensus.is_independent", lambda run: False)
    assert labelaudit.consensus(voted).run is None
    with pytest.raises(BadInputError, match="'mine' learned the labels that it predicts"):
        labelaudit.consensus(voted, "mine")


def test_what_is_asked_next_goes_to_the_best_who_has_not_labelled_it(voted):
    asked = labelaudit.consensus(voted).ask(30)
    given = read_labels(voted.view().frame)
    names = np.array(given.names)[given.annotator]
    for row in asked.itertuples():
        done = set(names[given.sample == row.id])
        assert {row.ask} == set(SKILLS) - done
        assert row.labels == 3
    assert asked["p"].is_monotonic_increasing or asked["p"].iloc[0] < 0.6
    assert len(labelaudit.consensus(voted).ask(0)) == 0
    with pytest.raises(BadInputError, match=r"ask\(-1\)"):
        labelaudit.consensus(voted).ask(-1)


def test_of_a_view_only_its_samples_are_listed_and_changed(voted):
    whole, view = labelaudit.consensus("plain"), voted.view()[:50]
    part = labelaudit.consensus(view)
    assert sorted(part.samples["id"]) == list(range(1, 51))
    merged = part.samples.merge(whole.samples, on="id")
    np.testing.assert_allclose(merged["p_x"], merged["p_y"])
    assert set(part.ask(90)["id"]) == set(range(1, 51))
    assert part.apply() <= 50
    with pytest.raises(BadInputError, match="works on a whole dataset"):
        labelaudit.import_annotations(view, ["human_a"])


def test_the_consensus_is_applied_and_undone(voted):
    found = labelaudit.consensus(voted)
    before = voted.view().values("ground_truth").tolist()
    voted.tag([1], "removed")
    changed = found.apply()
    assert changed > 25
    assert voted[1].ground_truth == before[0]  # removed
    assert right(voted.view().values("ground_truth"), {"id": voted.view().ids}) > 0.95
    assert labelaudit.consensus(voted).apply() == 0
    labelaudit.return_to(voted, labelaudit.list_changes(voted)[-2].id)
    assert voted.view().values("ground_truth").tolist() == before
    with pytest.raises(BadInputError, match="give a probability"):
        found.apply(2)


def test_labels_come_from_fields_tables_and_paths(make_dataset, tmp_path):
    dataset = make_dataset(8)
    dataset.add_field("human_a", "label")
    dataset.set_values("human_a", [1, 2], ["c0", None])
    assert labelaudit.import_annotations(dataset, ["human_a"])["labels"] == 1
    (tmp_path / "more.csv").write_text("filename;worker;class\n1.png;eve;c1\n9.png;eve;c1\n")
    done = labelaudit.import_annotations(dataset, tmp_path / "more.csv")
    assert done == {"labels": 2, "annotators": 2, "samples": 2, "unmatched": 1}
    again = pd.DataFrame({"id": [2], "annotator": ["eve"], "label": ["c3"]})
    labelaudit.import_annotations(dataset, again)
    given = read_labels(dataset.view().frame)
    assert given.sample.tolist() == [1, 2]
    assert given.label.tolist() == [0, 3]  # the later one counts
    labelaudit.import_annotations(dataset, again.assign(label="c2", who="x"), replace=True)
    assert read_labels(dataset.view().frame).names == ["eve"]


def test_label_studio_keeps_who_said_what(make_dataset, tmp_path):
    dataset = make_dataset(4)

    def annotation(who, choice, **more):
        value = {"from_name": "kind", "to_name": "image", "type": "choices"}
        return {"completed_by": who, "result": [{**value, "value": {"choices": [choice]}}], **more}

    tasks = [
        {
            "id": 7,
            "data": {"image": "/data/local-files/?d=nowhere/1.png"},
            "annotations": [
                annotation({"id": 1, "email": "a@b.c"}, "c0"),
                annotation(2, "c3"),
                annotation(2, "c1", updated_at="2026"),  # the latest counts
                annotation(3, "c2", was_cancelled=True),
            ],
        }
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    labelaudit.import_annotations(dataset, tmp_path / "export.json")
    given = read_labels(dataset.view().frame)
    assert given.sample.tolist() == [2, 2]
    found = {given.names[who]: code for who, code in zip(given.annotator, given.label, strict=True)}
    assert found == {"a@b.c": 0, "2": 1}
    small = [{"id": 7, "image": "1.png", "annotator": 9, "annotation_id": 1, "kind": "c2"}]
    (tmp_path / "min.json").write_text(json.dumps(small))
    labelaudit.import_annotations(dataset, tmp_path / "min.json", replace=True)
    assert read_labels(dataset.view().frame).names == ["9"]


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ({"id": [1], "who": ["a"], "label": ["zebra"]}, BadInputError, "'zebra' is not among"),
        ({"id": [1], "who": [""], "label": ["c0"]}, BadInputError, "row 1: there is no annotator"),
        ({"id": [1], "label": ["c0"]}, BadInputError, "no column of annotators: it has id, label"),
        ({"id": [1], "who": ["a"], "mood": ["c0"]}, BadInputError, "no column of labels"),
        ({"who": ["a"], "label": ["c0"]}, BadInputError, "no column of ids or file paths"),
        ({"id": [99], "who": ["a"], "label": ["c0"]}, BadInputError, "no row of the frame matches"),
        (
            {"id": [1, 1], "who": ["a", "a"], "label": ["c0", "c1"]},
            BadInputError,
            "'a' gave sample 1 different labels in rows 1 and 2",
        ),
        (["gone"], NotFoundError, "no field 'gone'"),
        ("gone.csv", NotFoundError, "gone.csv does not exist"),
        ("broken.json", DamagedError, "broken.json cannot be read"),
        ("list.json", BadInputError, "is not an export of Label Studio"),
        ("list.txt", BadInputError, "ends in '.txt': give a .csv"),
    ],
)
def test_what_cannot_be_imported_is_named_and_changes_nothing(
    make_dataset, tmp_path, monkeypatch, rows, error, message
):
    monkeypatch.chdir(tmp_path)
    Path("broken.json").write_text("{")
    Path("list.json").write_text("{}")
    dataset = make_dataset(8)
    source = pd.DataFrame(rows) if isinstance(rows, dict) else rows
    with pytest.raises(error, match=message):
        labelaudit.import_annotations(dataset, source)
    with pytest.raises(NotFoundError, match="has no labels by annotators: import them first"):
        labelaudit.consensus(dataset)


def test_labels_of_a_merged_class_count_as_the_class_that_took_over(make_dataset):
    dataset = make_dataset(40)
    votes = [(i, who, f"c{(i - 1) % 4}") for i in range(1, 41) for who in "ab"]
    votes = pd.DataFrame(votes, columns=["id", "annotator", "label"])
    labelaudit.import_annotations(dataset, votes)
    labelaudit.import_predictions(dataset, 4.0 * np.eye(4)[np.arange(40) % 4], "m", by="order")
    change_classes(dataset, plan_classes(dataset, merge={"c3": "c2"}))
    change_classes(dataset, plan_classes(dataset, rename={"c2": "both"}))
    for model in (True, False):
        found = labelaudit.consensus(dataset, model=model)
        assert (found.samples["consensus"] == found.samples["ground_truth"]).all()
        assert set(found.samples["consensus"]) == {"c0", "c1", "both"}
    labelaudit.return_to(dataset, labelaudit.list_changes(dataset)[0].id - 1)
    assert set(labelaudit.consensus(dataset).samples["consensus"]) == {"c0", "c1", "c2", "c3"}


def test_the_formula_of_the_agreement():
    """Krippendorff (2011), example C without the columns of less than two labels: nominal."""
    units = [[1, 1, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4],
             [4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2], [5, 5, 5], [1, 1], [3]]  # fmt: skip
    counts = np.array([np.bincount(unit, minlength=6) for unit in units])
    assert krippendorff_alpha(counts) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(np.array([[2, 0], [2, 0]])) == 1
    assert np.isnan(krippendorff_alpha(np.array([[1, 0], [0, 1]])))


def test_more_annotators_than_matrices_share_one(monkeypatch):
    monkeypatch.setattr("labelaudit.annotators.dawid_skene.MOST_CELLS", 3 * 16)
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 200)
    sample, annotator = np.repeat(np.arange(200), 5), np.tile(np.arange(5), 200)
    label = np.where(rng.random(1000) < 0.7, truth[sample], rng.integers(0, 4, 1000))
    found = fit(Votes(sample, annotator, label, 200, 5, 4))
    assert found.confusion.shape == (3, 4, 4)
    assert found.matrix.tolist() == [0, 1, 2, 2, 2]
    assert (found.posterior.argmax(axis=1) == truth).mean() > 0.95


def test_the_commands_and_the_page_show_annotators(voted, tmp_path):
    done = CliRunner().invoke(
        main, ["annotators", "plain", "--ask", "3", "--csv", str(tmp_path / "c.csv")]
    )
    assert done.exit_code == 0, done.output
    assert "Krippendorff's alpha" in done.output
    assert "To label again:" in done.output
    assert len(pd.read_csv(tmp_path / "c.csv")) == 400
    assert '"kind": "consensus"' in (tmp_path / "c.csv.provenance.json").read_text()
    votes_of(np.arange(10) % 4, 4).to_csv(tmp_path / "votes.csv", index=False)
    done = CliRunner().invoke(
        main, ["import-annotations", "plain", str(tmp_path / "votes.csv"), "--json"]
    )
    assert json.loads(done.output)["labels"] == 1200
    app = AppTest.from_file(str(REPO / "app.py"), default_timeout=300)
    app.switch_page(str(REPO / "pages/suspects/annotators.py")).run()
    assert not app.exception, app.exception
    assert not app.error
    assert app.dataframe[0].value["annotator"].tolist() == ["dan", "cat", "bob", "ann"]
    (button,) = [each for each in app.button if each.label == "Apply"]
    button.click().run()
    assert not app.exception, app.exception
    done = CliRunner().invoke(main, ["annotators", "plain", "--apply", "--json"])
    assert json.loads(done.output)["changed"] == 0
