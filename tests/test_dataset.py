from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

import labelaudit
from labelaudit.core.errors import LabelAuditError
from labelaudit.dataset.dataset import Dataset, create_dataset, delete_dataset, list_datasets


def test_ids_count_up_and_are_never_reused(make_dataset):
    dataset = make_dataset(3)
    assert dataset.view().ids.tolist() == [1, 2, 3]
    assert dataset.add_samples([{"filepath": "/a", "id": 10}]) == [10]
    assert dataset.add_samples([{"filepath": "/b"}, {"filepath": "/c"}]) == [11, 12]
    assert len(Dataset("plain")) == 6


@pytest.mark.parametrize(
    "shape",
    [
        lambda rows: rows,
        lambda rows: iter(rows),
        lambda rows: pd.DataFrame(rows),
        lambda rows: pa.Table.from_pylist(rows),
        lambda rows: {name: [row[name] for row in rows] for name in rows[0]},
    ],
    ids=["list", "iterator", "pandas", "arrow", "columns"],
)
def test_samples_may_come_in_many_shapes(make_dataset, shape):
    dataset = make_dataset(2)
    rows = [
        {"filepath": "/x.png", "label": "c1", "split": "test", "tags": ["odd", "new"]},
        {"filepath": "/y.png", "label": "zebra", "split": "test", "tags": []},
    ]
    first, second = dataset.add_samples(shape(rows))
    assert dataset[first].ground_truth == "c1"
    assert set(dataset[first].tags) == {"new", "odd"}
    assert dataset[second].ground_truth == "zebra"
    assert dataset.classes[-1] == "zebra"  # known classes keep their index


def test_images_from_memory_are_kept_exactly(make_dataset):
    dataset = make_dataset(1)
    array = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)
    grey = Image.fromarray(array[..., 0])
    a, b = dataset.add_samples([{"image": array}, {"image": grey}])
    np.testing.assert_array_equal(np.asarray(dataset[a].image), array)
    np.testing.assert_array_equal(np.asarray(dataset[b].image), array[..., 0])


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"label": "c0"}], "row 1 has neither"),
        ([{"filepath": "/a", "id": 2}], "id 2 is taken"),
        ([{"filepath": "/a", "id": 50}, {"filepath": "/b", "id": 50}], "id 50 is given to 2"),
        ([{"filepath": "/a", "id": 50}, {"filepath": "/b"}], "all or none"),
        ([{"filepath": "/a", "id": -4}], "-4 is negative"),
        ([{"filepath": "/a", "colour": "red"}], "colour"),
        ([{"filepath": "/a", "label": " "}], "label is empty"),
        ([{"filepath": "/a", "tags": [" x"]}], "cannot be a tag"),
        ([{"image": np.zeros((4, 4))}], "float64"),
        ([{"image": np.zeros((4, 4, 7), np.uint8)}], r"(4, 4, 7)"),
        ([{"filepath": "/a", "id": "seven"}], "'id'"),
    ],
)
def test_bad_samples_add_nothing_and_say_what_is_wrong(make_dataset, rows, says):
    dataset = make_dataset(3)
    with pytest.raises(LabelAuditError) as caught:
        dataset.add_samples(rows)
    assert says in str(caught.value)
    assert len(Dataset("plain")) == 3


def test_labels_are_set_one_by_one_and_in_bulk(make_dataset):
    dataset = make_dataset(8, classes=4)
    assert dataset.set_labels([1, 2], "c3") == 2
    assert dataset.set_labels([3, 4], ["c0", "c0"]) == 2
    dataset[5].set_label("c2")
    fresh = Dataset("plain").view()
    assert fresh.values("ground_truth").tolist() == ["c3", "c3", "c0", "c0", "c2", "c1", "c2", "c3"]
    assert fresh.values("original_label").tolist() == [f"c{i % 4}" for i in range(8)]
    assert dataset.set_labels([1], "c3") == 0  # it has that label already
    dataset.set_labels([1], "c0")  # back to its first: it counts as unchanged again
    assert dataset.view().frame.original_label[0] == -1


@pytest.mark.parametrize(
    ("ids", "labels", "says"),
    [
        ([1], "cow", "'cow' is not a class"),
        ([99], "c0", "id 99"),
        ([1, 2], ["c0"], "2 ids, but 1 label:"),
        ([1, 1], ["c0", "c1"], "twice"),
    ],
)
def test_bad_labels_change_nothing(make_dataset, ids, labels, says):
    dataset = make_dataset(4)
    before = dataset.view().to_pandas()
    with pytest.raises(LabelAuditError, match=says):
        dataset.set_labels(ids, labels)
    assert dataset.view().to_pandas().equals(before)


def test_tags_are_set_one_by_one_and_in_bulk(make_dataset):
    dataset = make_dataset(6)
    assert dataset.view().match(label=["c0", "c1"]).tag("a") == 4
    assert dataset.tag([1, 3], "b") == 2
    assert dataset.tag([1], "b") == 0
    sample = dataset[1]
    sample.tag("own")
    assert sample.tags == dataset[1].tags == ("a", "b", "own")
    sample.untag("a")
    assert dataset[1].tags == ("b", "own")
    assert dataset.view().match_tag("a").untag("a") == 3
    assert dataset.info["tags"] == {"b": 2, "own": 1}
    with pytest.raises(LabelAuditError, match="cannot be a tag"):
        dataset.tag([1], "two\nlines")


def test_a_sample_answers_by_name(audited):
    sample = audited[5]
    assert sample["hardness"] == sample.scores["hardness"]
    assert sample["ground_truth"] == sample.ground_truth
    with pytest.raises(LabelAuditError, match=r"no field 'colour': .*ground_truth.*aum"):
        sample["colour"]
    assert sample.image.size == (8, 8)
    logits = sample.prediction.logits
    assert logits.shape == (10,)
    assert audited.classes[logits.argmax()] == sample.prediction.label


def test_unknown_ids_and_names_are_reported(make_dataset):
    dataset = make_dataset(3)
    with pytest.raises(LabelAuditError, match="no sample with id 77"):
        dataset[77]
    with pytest.raises(LabelAuditError, match="no dataset 'nope': the datasets are plain"):
        Dataset("nope")
    for name in ("../evil", "", "a/b", ".hidden", "x" * 65, "a..b"):
        with pytest.raises(LabelAuditError, match="cannot be a dataset name"):
            create_dataset(name, [{"filepath": "/a"}])


def test_a_missing_image_is_reported_when_it_is_opened(make_dataset):
    with pytest.raises(
        LabelAuditError, match=r"/nowhere/0.png cannot be read \(there is no such file\)"
    ):
        _ = make_dataset(1)[1].image


def test_create_refuses_to_replace_by_default(make_dataset):
    make_dataset(3)
    with pytest.raises(LabelAuditError, match="already"):
        make_dataset(5)
    assert len(Dataset("plain")) == 3
    create_dataset("plain", [{"filepath": "/a", "label": "x"}], overwrite=True)
    assert len(Dataset("plain")) == 1


def test_a_load_that_fails_leaves_nothing(home):
    def rows():
        yield {"filepath": "/a", "label": "x"}
        raise LabelAuditError("the source broke")

    with pytest.raises(LabelAuditError, match="the source broke"):
        create_dataset("half", rows())
    assert list_datasets() == []
    assert not (home / "datasets" / "half").exists()


def test_delete(make_dataset, home):
    make_dataset(3)
    delete_dataset("plain")
    assert list_datasets() == []
    assert not (home / "datasets" / "plain").exists()
    with pytest.raises(LabelAuditError, match="no dataset 'plain'"):
        delete_dataset("plain")


def test_any_uri_serves_as_home(home, monkeypatch):
    """LanceDB takes file:// like s3://: nothing may assume a plain path."""
    monkeypatch.setenv("LABELAUDIT_HOME", f"file://{home}/elsewhere")
    monkeypatch.setenv("HOME", str(home))  # locks and downloads
    dataset = labelaudit.load_dataset("digits")
    dataset.tag([1], "x")
    assert list_datasets() == ["digits"]
    assert Dataset("digits").info["tags"] == {"x": 1}
    delete_dataset("digits")
    assert list_datasets() == []


def test_a_home_that_cannot_be_written_is_reported(home, monkeypatch, tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setenv("LABELAUDIT_HOME", str(blocker / "inside"))
    with pytest.raises(LabelAuditError, match="set LABELAUDIT_HOME"):
        labelaudit.load_dataset("digits")


def test_a_replacement_that_fails_keeps_what_was_there(make_dataset):
    make_dataset(3)

    def rows():
        yield {"filepath": "/a", "label": "x"}
        raise LabelAuditError("the source broke")

    with pytest.raises(LabelAuditError, match="the source broke"):
        create_dataset("plain", rows(), overwrite=True)
    assert len(Dataset("plain")) == 3
    assert list_datasets() == ["plain"]


def test_a_handle_sees_the_dataset_that_took_its_place(make_dataset):
    held = make_dataset(3)
    held.tag([1], "old")
    assert held.info["tags"] == {"old": 1}
    create_dataset("plain", [{"filepath": "/a", "label": "x"}], overwrite=True)
    assert (len(held), held.classes, held.info["tags"]) == (1, ["x"], {})
    delete_dataset("plain")
    with pytest.raises(LabelAuditError, match="has been deleted"):
        _ = held.classes


def test_labels_of_many_kinds_become_names_or_nothing(home):
    rows = pd.DataFrame({"filepath": ["/a", "/b", "/c"], "label": ["x", np.nan, None]})
    dataset = create_dataset("gaps", rows)
    assert dataset.view().values("ground_truth").tolist() == ["x", None, None]
    numbers = [{"filepath": "/a", "label": np.int64(7)}, {"filepath": "/b", "label": 10}]
    assert create_dataset("numbers", numbers).classes == ["7", "10"]


def test_a_tag_that_a_csv_cell_cannot_hold_is_refused(make_dataset):
    dataset = make_dataset(2)
    for bad in ("a;b", "", " a", "a\nb", "x" * 65, 7):
        with pytest.raises(LabelAuditError, match="cannot be a tag"):
            dataset.tag([1], bad)
    assert dataset.info["tags"] == {}


def test_a_replacement_that_an_earlier_version_did_not_finish_is_undone(make_dataset, home):
    make_dataset(3)
    (home / "datasets" / "plain").rename(home / "datasets" / ".old-plain")
    (home / "datasets" / ".new-plain").mkdir()
    assert len(Dataset("plain")) == 3
    assert list_datasets() == ["plain"]
    assert [path.name for path in (home / "datasets").iterdir()] == ["plain"]
    (home / "datasets" / ".old-plain").mkdir()  # the new one was in its place already
    create_dataset("other", [{"filepath": "/a"}])
    assert not (home / "datasets" / ".old-plain").exists()
    create_dataset("plain", [{"filepath": "/a", "label": "x"}], overwrite=True)
    assert len(Dataset("plain")) == 1


def test_a_damaged_dataset_leaves_the_others_alone(make_dataset, home):
    make_dataset(3)
    versions = home / "datasets" / "broken" / "meta.lance" / "_versions"
    versions.mkdir(parents=True)
    (versions / "1.manifest").write_bytes(b"rubbish")
    assert list_datasets() == ["plain"]
    with pytest.raises(LabelAuditError, match=r"'meta' of dataset 'broken' is damaged"):
        Dataset("broken")


def test_readings_in_threads_never_mix_rows_while_samples_are_added(make_dataset):
    """All columns of a steady reading are of the same version, even if another process writes."""
    dataset = make_dataset(200)
    done, wrong = threading.Event(), []

    def read() -> None:
        while not done.is_set():
            table = dataset.view().to_pandas()
            names = table["filepath"].str.extract(r"(\d+)\.png")[0].astype(int)
            if not (table["ground_truth"] == "c" + (names % 4).astype(str)).all():
                wrong.append(table)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(12):
        number = 4 * i + 1000
        rows = [{"filepath": f"/x/{number}.png", "label": "c0", "id": 5000 - i}]
        dataset.add_samples(rows)
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(dataset) == 212
