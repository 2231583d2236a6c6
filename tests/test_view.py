from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import labelaudit
from labelaudit.core.errors import LabelAuditError


def test_views_are_lazy_and_see_later_changes(make_dataset):
    dataset = make_dataset(10)
    view = dataset.view().match_tag("x")
    assert len(view) == 0
    dataset.tag([2, 4], "x")
    assert view.ids.tolist() == [2, 4]
    dataset.add_samples([{"filepath": "/z", "tags": ["x"]}])
    assert view.ids.tolist() == [2, 4, 11]


def test_match_by_label_split_prediction_and_wrong(audited):
    view = audited.view()
    table = view.to_pandas()
    for options, expected in [
        ({"label": "3"}, table.ground_truth == "3"),
        ({"label": ["3", "8"]}, table.ground_truth.isin(["3", "8"])),
        ({"split": "test"}, table.split == "test"),
        ({"prediction": "5"}, table.predicted == "5"),
        ({"wrong": True}, table.ground_truth != table.predicted),
        ({"wrong": False, "label": "1"},
         (table.ground_truth == table.predicted) & (table.ground_truth == "1")),
    ]:  # fmt: skip
        chosen = view.match(**options)
        assert chosen.ids.tolist() == table.id[expected].tolist(), options
        assert 0 < len(chosen) < len(view)


def test_search_finds_paths_in_any_case_and_ids(make_dataset):
    dataset = make_dataset(3)
    dataset.add_samples([{"filepath": "/a/Cat.2.PNG"}, {"filepath": "/b/dog.png"}])
    assert dataset.view().search("cat").ids.tolist() == [4]
    assert dataset.view().search(" DOG.png ").ids.tolist() == [5]
    assert 2 in dataset.view().search("2").ids  # an id,
    assert 4 in dataset.view().search("2").ids  # and the name of a file
    assert len(dataset.view().match_tag("none").search("cat")) == 0
    assert len(dataset.view().search("99999999999999999999")) == 0  # too long for an id


@pytest.mark.parametrize("field", ["hardness", "mistakenness", "aum", "confidence"])
@pytest.mark.parametrize("reverse", [True, False])
def test_sort_by_numbers(audited, field, reverse):
    values = audited.view().sort_by(field, reverse=reverse).values(field)
    assert (np.diff(values) <= 0).all() if reverse else (np.diff(values) >= 0).all()
    assert len(values) == len(audited)


def test_sort_puts_nulls_last_and_keeps_ties_in_order(make_dataset):
    dataset = make_dataset(6)
    run = dataset.new_run().finish({"classes": dataset.classes})
    run.write_predictions([(dataset.view().ids, np.zeros((6, 4), np.float32))])
    run.write_scores(
        dataset.view().ids,
        dataset.view().frame.label,
        {"aum": np.array([1.0, np.nan, 3.0, 1.0, np.nan, 2.0])},
    )
    assert dataset.view().sort_by("aum", reverse=True).ids.tolist() == [3, 6, 1, 4, 2, 5]
    assert dataset.view().sort_by("aum").ids.tolist() == [1, 4, 6, 3, 2, 5]
    assert dataset.view().above("aum", 1.0).ids.tolist() == [3, 6]


def test_sort_by_names(make_dataset):
    dataset = make_dataset(4, classes=2, split=["b", "a", None, "train"])
    assert dataset.view().sort_by("split").values("split").tolist() == ["a", "b", "train", None]
    names = dataset.view().sort_by("ground_truth", reverse=True).values("ground_truth")
    assert names.tolist() == ["c1", "c1", "c0", "c0"]


def test_slices_compose_in_order(make_dataset):
    view = make_dataset(20).view()
    assert view.skip(5).limit(3).ids.tolist() == [6, 7, 8]
    assert view.limit(3).skip(5).ids.tolist() == []
    assert [sample.id for sample in view.sort_by("id", reverse=True).head(2)] == [20, 19]
    assert len(view.limit(0)) == 0
    with pytest.raises(LabelAuditError, match="whole number"):
        view.limit(-1)


def test_sample_is_drawn_once_without_repeats(make_dataset):
    view = make_dataset(50).view()
    drawn = view.sample(10)
    assert drawn.ids.tolist() == drawn.ids.tolist()
    assert len(set(drawn.ids.tolist())) == 10
    assert view.sample(10, seed=3).ids.tolist() == view.sample(10, seed=3).ids.tolist()
    assert len(view.sample(500)) == 50


def test_iteration_over_batches_gives_every_sample_in_order(make_dataset):
    dataset = make_dataset(30)
    view = dataset.view().sort_by("id", reverse=True)
    samples = list(view.iter_samples(batch_size=7))
    assert [s.id for s in samples] == list(range(30, 0, -1))
    assert [s.filepath for s in samples] == [f"/nowhere/{i}.png" for i in range(29, -1, -1)]
    assert [s.ground_truth for s in view] == [s.ground_truth for s in samples]


def test_rows_stay_with_their_samples_however_tables_are_stored(make_dataset):
    """Merges move rows to the end of their table; ids may come in any order."""
    dataset = make_dataset(5, id=[50, 10, 40, 20, 30])
    dataset.set_labels([20, 50], "c3")
    dataset.tag([40], "x")
    view = dataset.view()
    assert view.ids.tolist() == [10, 20, 30, 40, 50]
    assert view.values("filepath").tolist() == [f"/nowhere/{i}.png" for i in (1, 3, 4, 2, 0)]
    assert view.values("ground_truth").tolist() == ["c1", "c3", "c0", "c2", "c3"]
    assert dataset[40].tags == ("x",)
    assert dataset[50].filepath == "/nowhere/0.png"
    run = dataset.new_run().finish({"classes": dataset.classes})
    logits = np.eye(4, dtype=np.float32)
    run.write_predictions([(np.array([40, 10]), logits[[2, 1]])])  # not all, not in order
    assert view.values("prediction").tolist() == ["c1", None, None, "c2", None]
    assert dataset[10].prediction.logits.tolist() == logits[1].tolist()
    assert dataset[20].prediction is None
    assert view.match(wrong=False).ids.tolist() == [10, 40]
    run.write_predictions([(np.array([20, 10]), logits[[0, 0]])])  # replaces 10
    assert view.values("prediction").tolist() == ["c0", "c0", None, "c2", None]


def test_counts_and_class_pairs(make_dataset):
    dataset = make_dataset(8, classes=4, split=["train"] * 6 + ["test"] * 2)
    assert dataset.view().count_values("split") == {"train": 6, "test": 2}
    assert dataset.view().match(split="test").count_values("ground_truth") == {
        "c0": 0, "c1": 0, "c2": 1, "c3": 1,
    }  # fmt: skip
    run = dataset.new_run().finish({"classes": dataset.classes})
    run.write_predictions([(dataset.view().ids, np.eye(4, dtype=np.float32)[[0, 1, 1, 1] * 2])])
    assert dataset.view().class_pairs().to_dict("records") == [
        {"ground_truth": "c2", "predicted": "c1", "count": 2},
        {"ground_truth": "c3", "predicted": "c1", "count": 2},
    ]


def test_an_empty_view_reads_like_any_other(make_dataset):
    view = make_dataset(3).view().match_tag("none has it")
    assert view.head() == []
    assert list(view) == []
    assert view.to_pandas().columns.tolist()[:2] == ["id", "filepath"]
    assert len(view.to_pandas()) == 0
    assert view.values("ground_truth").tolist() == []
    assert view.tag("x") == 0


def test_unknown_names_are_reported(make_dataset):
    view = make_dataset(4).view()
    with pytest.raises(LabelAuditError, match="'cow' is not a class"):
        len(view.match(label="cow"))
    with pytest.raises(LabelAuditError, match="no split 'test'"):
        len(view.match(split="test"))
    with pytest.raises(LabelAuditError, match="has no predictions yet: take a first look"):
        len(view.sort_by("hardness"))
    with pytest.raises(LabelAuditError, match="no run 'run-9'"):
        view.use_run("run-9")


def test_unknown_field_lists_those_there_are(audited):
    with pytest.raises(LabelAuditError, match=r"no field 'beauty'.*hardness"):
        len(audited.view().sort_by("beauty"))


def test_each_run_has_its_own_predictions(make_dataset):
    dataset = make_dataset(4)
    for name, column in (("first", 0), ("second", 1)):
        run = dataset.new_run(name).finish({"classes": dataset.classes})
        run.write_predictions([(dataset.view().ids, np.eye(4, dtype=np.float32)[[column] * 4])])
    assert set(dataset.view("first").values("prediction")) == {"c0"}
    assert set(dataset.view().values("prediction")) == {"c1"}  # the latest


def test_a_view_is_shown_on_one_picture(picture, tmp_path):
    wide = picture(tmp_path / "p/a/wide.png", 1, (200, 50))
    picture(tmp_path / "p/b/gone.png", 2).with_suffix(".png")
    picture(tmp_path / "p/b/small.png", 3, (12, 10))
    dataset = labelaudit.load_dataset("p", tmp_path / "p")
    (tmp_path / "p/b/gone.png").unlink()
    sheet = dataset.view().sort_by("id").grid(columns=2, side=48)
    assert sheet.size == (2 * (48 + 8) + 8, 2 * (48 + 45 + 8) + 8)
    with Image.open(wide) as full:
        expected = np.asarray(full.convert("RGB").resize((48, 12), Image.Resampling.BICUBIC))
    shown = np.asarray(sheet)[8 + 36 : 8 + 48, 8 : 8 + 48]  # at the foot of its square
    assert np.abs(shown.astype(int) - expected).max() <= 1
    with Image.open(tmp_path / "p/b/small.png") as small:  # four times as large, pixel by pixel
        expected = np.asarray(small).repeat(4, 0).repeat(4, 1)
    assert (np.asarray(sheet)[8 + 101 + 8 : 8 + 101 + 48, 8 : 8 + 48] == expected).all()
    assert (np.asarray(sheet)[8 : 8 + 48, 64 : 64 + 48] != 255).any()  # says that it is unreadable
    assert dataset.view().grid(1).size[0] == 96 + 16
    for n, view in ((0, dataset.view()), (-1, dataset.view()), (5, dataset.view().limit(0))):
        with pytest.raises(labelaudit.LabelAuditError, match=r"whole number|no samples"):
            view.grid(n)
