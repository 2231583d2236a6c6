"""A sync notices every kind of change of a source, and keeps what people did."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_cli import cli

import labelaudit
from labelaudit.core.errors import BadInputError, NotFoundError
from labelaudit.dataset.history import describe, list_changes, return_to
from labelaudit.living.sync import apply_sync
from labelaudit.living.sync_plan import plan_sync

NOTHING = dict.fromkeys(
    ("added", "gone", "replaced", "moved", "returned", "relabelled", "conflicts",
     "in another split"), 0
)  # fmt: skip


@pytest.fixture
def pets(tmp_path, picture) -> Path:
    for i in range(12):
        picture(tmp_path / "pets" / ("cat", "dog", "pig")[i % 3] / f"{i}.png", seed=i)
    return tmp_path / "pets"


def counts(plan) -> dict:
    return {name: n for name, n in plan.counts.items() if n}


def state(dataset) -> dict[str, str]:
    """The label of each image that is not removed, by path."""
    table = dataset.view().exclude_tag("removed").to_pandas()
    return dict(zip(table.filepath, table.ground_truth, strict=True))


def test_a_folder_that_changed_in_every_way(pets, picture):
    dataset = labelaudit.load_dataset("pets", pets)
    assert plan_sync(dataset).counts == NOTHING
    id_of = {Path(s.filepath).stem: s.id for s in dataset.view()}
    dataset.tag([id_of["3"]], "odd")
    labelaudit.Review(dataset, "ann").decide([id_of["3"]], "keep")
    (pets / "cat/3.png").rename(pets / "cat/renamed.png")  # moved
    (pets / "cat/0.png").unlink()  # gone
    picture(pets / "dog/1.png", seed=101)  # replaced
    picture(pets / "pig/new.png", seed=102)  # added
    (pets / "pig/broken.png").write_bytes(b"no image")
    (pets / "pig/8.png").write_bytes(b"no image")  # its image is gone, and not replaced
    (pets / "dog/4.png").rename(pets / "pig/4.png")  # another label
    (pets / "pig/2.png").rename(pets / "pig/x.png")  # these two exchange their names
    (pets / "pig/5.png").rename(pets / "pig/2.png")
    (pets / "pig/x.png").rename(pets / "pig/5.png")
    os.utime(pets / "dog/7.png", ns=(1, 1))  # only its time is another one
    plan = plan_sync(dataset)
    assert counts(plan) == {
        "added": 1, "gone": 2, "replaced": 1, "moved": 4, "relabelled": 1,
    }  # fmt: skip
    assert plan.replaced == [(id_of["1"], str(pets / "dog/1.png"))]
    assert plan.gone == [
        (id_of[i], str(pets / p)) for i, p in (("0", "cat/0.png"), ("8", "pig/8.png"))
    ]
    assert plan.relabelled == [(id_of["4"], str(pets / "pig/4.png"), "dog", "pig")]
    assert json.loads(json.dumps(plan.to_dict()))["skipped"]["count"] == 2
    before = len(list_changes(dataset))
    apply_sync(dataset, plan, who="bob")
    fresh = labelaudit.load_dataset("fresh", pets)
    assert state(dataset) == state(fresh)
    assert dataset[id_of["3"]].filepath.endswith("renamed.png")
    assert set(dataset[id_of["3"]].tags) == {"odd"}
    assert len(labelaudit.Review(dataset, "ann").dataset.view().match_tag("odd")) == 1
    new = dataset.view().match_tag("new-in-sync").ids
    assert (new > max(id_of.values())).all()
    assert len(new) == 2
    (entry,) = list_changes(dataset)[before:]
    assert entry.who == "bob"
    assert describe(entry) == (
        "source read again (1 added, 2 gone, 1 replaced, 4 moved, 1 relabelled)"
    )
    assert plan_sync(dataset).counts == NOTHING
    stamps = [dataset.stamp(table) for table in ("annotations", "samples", "meta", "history")]
    apply_sync(dataset, plan_sync(dataset))
    assert stamps == [
        dataset.stamp(table) for table in ("annotations", "samples", "meta", "history")
    ]


def test_an_image_that_comes_back_is_the_same_sample(pets, tmp_path):
    dataset = labelaudit.load_dataset("pets", pets)
    id_of = {Path(s.filepath).stem: s.id for s in dataset.view()}
    labelaudit.Review(dataset, "ann").decide([id_of["3"]], "remove")
    labelaudit.apply_verdicts(dataset)
    for name in ("0", "3"):
        shutil.move(pets / f"cat/{name}.png", tmp_path / f"{name}.png")
    apply_sync(dataset, plan_sync(dataset))
    both = dataset.view().select([id_of["0"], id_of["3"]])
    assert both.count_values("tags") == {"gone-at-source": 2, "removed": 2}
    for name in ("0", "3"):
        shutil.move(tmp_path / f"{name}.png", pets / f"cat/again-{name}.png")
    plan = plan_sync(dataset)
    assert counts(plan) == {"moved": 2, "returned": 2}
    apply_sync(dataset, plan)
    assert both.count_values("tags") == {"removed": 1}
    assert dataset[id_of["3"]].tags == ("removed",)


def test_a_label_changed_at_both_ends_is_a_conflict(pets):
    dataset = labelaudit.load_dataset("pets", pets)
    id_of = {Path(s.filepath).stem: s.id for s in dataset.view()}
    review = labelaudit.Review(dataset, "ann")
    review.decide([id_of["0"]], "keep")  # the source disagrees
    review.decide([id_of["3"]], "relabel", "dog")  # the source agrees
    dataset.set_labels([id_of["6"], id_of["9"]], "pig")  # it disagrees about the first only
    for name, to in (("0", "dog"), ("3", "dog"), ("6", "dog"), ("9", "pig")):
        (pets / f"cat/{name}.png").rename(pets / to / f"{name}.png")
    plan = plan_sync(dataset)
    assert counts(plan) == {"moved": 4, "relabelled": 1, "conflicts": 2}
    assert [row[2:] for row in plan.conflicts] == [
        ("cat", "dog", "cat", "reviewers decided otherwise"),
        ("cat", "dog", "pig", "its label was changed here"),
    ]
    apply_sync(dataset, plan)
    assert [dataset[id_of[n]].ground_truth for n in "0369"] == ["cat", "dog", "pig", "pig"]
    again = plan_sync(dataset)
    assert counts(again) == {"conflicts": 2}
    here = labelaudit.Dataset("pets")
    apply_sync(here, again, prefer="labelaudit")
    assert plan_sync(dataset).counts == NOTHING
    assert [dataset[id_of[n]].ground_truth for n in "0369"] == ["cat", "dog", "pig", "pig"]
    return_to(dataset, 0)
    for name in "06":
        (pets / f"dog/{name}.png").rename(pets / f"pig/{name}.png")
    review.decide([id_of["6"]], "keep")
    plan = plan_sync(dataset)
    assert counts(plan)["conflicts"] == 2
    with pytest.raises(BadInputError, match=f"sample {id_of['3']} has no conflict"):
        apply_sync(dataset, plan, prefer={id_of["3"]: "source"})
    apply_sync(dataset, plan, prefer={id_of["0"]: "source"})
    assert [dataset[id_of[n]].ground_truth for n in "06"] == ["pig", "cat"]
    assert counts(plan_sync(dataset)) == {"conflicts": 1}


def test_images_that_may_not_be_read_are_not_taken_as_gone(pets, tmp_path, picture):
    picture(tmp_path / "far.png", seed=50)
    (pets / "cat/link.png").symlink_to(tmp_path / "far.png")
    dataset = labelaudit.load_dataset("pets", pets)
    with pytest.raises(BadInputError, match=r"link\.png lies outside"):
        plan_sync(dataset, within=[str(pets)])
    assert plan_sync(dataset, within=[str(tmp_path)]).counts == NOTHING


def test_a_renamed_class_keeps_labels_verdicts_and_runs(pets, picture):
    dataset = labelaudit.load_dataset("pets", pets)
    labels = dataset.view().count_values("ground_truth")
    (pets / "cat").rename(pets / "kitten")
    picture(pets / "kitten/new.png", seed=200)
    (pets / "yak").mkdir()
    (pets / "dog/1.png").rename(pets / "yak/1.png")  # no rename: other dogs stay
    plan = plan_sync(dataset)
    assert plan.renamed_classes == {"cat": "kitten"}
    assert plan.new_classes == ["yak"]
    assert counts(plan) == {"added": 1, "moved": 5, "relabelled": 1}
    before = dataset.view().frame.stamp("runs")
    apply_sync(dataset, plan)
    assert dataset.classes == ["kitten", "dog", "pig", "yak"]
    expected = {"kitten": labels["cat"] + 1, "dog": 3, "pig": 4, "yak": 1}
    assert dataset.view().count_values("ground_truth") == expected
    assert dataset.view().frame.stamp("runs") == before
    assert plan_sync(dataset).counts == NOTHING


def test_a_run_knows_a_class_by_its_new_name(tmp_path, picture):
    for i in range(6):
        picture(tmp_path / "pets" / "ab"[i % 2] / f"{i}.png", seed=i)
    dataset = labelaudit.load_dataset("pets", tmp_path / "pets")
    table = pd.DataFrame({"id": dataset.view().ids, "a": 1.0, "b": [0.0, 3.0] * 3})
    labelaudit.import_predictions(dataset, table, run="mine", kind="logits")
    predicted = dataset.view("mine").count_values("prediction")
    (tmp_path / "pets/b").rename(tmp_path / "pets/z")
    apply_sync(dataset, plan_sync(dataset))
    assert dataset.run("mine").classes == ["a", "z"]
    assert dataset.view("mine").count_values("prediction") == {
        "a": predicted["a"], "z": predicted["b"],
    }  # fmt: skip


def test_a_list_and_a_moved_source(tmp_path, picture):
    for i in range(4):
        picture(tmp_path / f"data/img/{i}.png", seed=i)
    file = tmp_path / "data/labels.csv"
    rows = [f"img/{i}.png,{'ab'[i % 2]},train\n" for i in range(4)]
    file.write_text("".join(["filepath,label,split\n", *rows]))
    dataset = labelaudit.load_dataset("list", file)
    text = file.read_text().replace("img/1.png,b,train", "img/1.png,a,test")
    file.write_text(text.replace("img/3.png,b,train\n", ""))
    plan = plan_sync(dataset)
    assert counts(plan) == {"gone": 1, "relabelled": 1, "in another split": 1}
    apply_sync(dataset, plan)
    assert dataset.view().count_values("split") == {"train": 3, "test": 1}
    (tmp_path / "data").rename(tmp_path / "moved")
    with pytest.raises(NotFoundError, match="--source"):
        plan_sync(dataset)
    plan = plan_sync(dataset, source=tmp_path / "moved/labels.csv")
    assert counts(plan) == {"moved": 3}
    apply_sync(dataset, plan)
    assert plan_sync(dataset).counts == NOTHING
    assert all("/moved/" in path for path in state(dataset))


def test_another_column_is_not_taken_for_the_labels(tmp_path, picture):
    for i in range(8):
        picture(tmp_path / f"{i}.png", seed=i)
    file = tmp_path / "labels.csv"
    rows = [(f"{i}.png", "ab"[i % 2], f"ann{i % 3}") for i in range(8)]
    table = pd.DataFrame(rows, columns=["filepath", "label", "who"])
    table.to_csv(file, index=False)
    dataset = labelaudit.load_dataset("list", file)
    table.drop(columns="label").to_csv(file, index=False)  # `who` looks like labels, too
    with pytest.raises(BadInputError, match=r"column 'who', .* name the right column 'label'"):
        plan_sync(dataset)
    renamed = table.drop(columns="who").rename(columns={"label": "class"})
    renamed.to_csv(file, index=False)
    apply_sync(dataset, plan_sync(dataset))
    table.to_csv(file, index=False)  # the same labels again, under the earlier name
    assert plan_sync(dataset).counts == NOTHING
    renamed.assign(label=table.who).to_csv(file, index=False)
    with pytest.raises(BadInputError, match="name the right column 'class'"):
        plan_sync(dataset)


def test_copies_are_told_apart_and_a_zip_is_compared_by_content(tmp_path, pets):
    shutil.copy(pets / "cat/0.png", pets / "dog/copy.png")
    archive = shutil.make_archive(str(tmp_path / "pets-zip"), "zip", tmp_path, "pets")
    folder, zipped = (
        labelaudit.load_dataset(n, s) for n, s in (("folder", pets), ("zip", archive))
    )
    (pets / "cat/0.png").rename(pets / "cat/first.png")
    (pets / "dog/copy.png").rename(pets / "dog/second.png")
    shutil.copy(pets / "cat/3.png", pets / "cat/third.png")
    os.unlink(archive)
    shutil.make_archive(str(tmp_path / "pets-zip"), "zip", tmp_path, "pets")
    for dataset in (folder, zipped):
        plan = plan_sync(dataset)
        assert counts(plan) == {"added": 1, "moved": 2}
        apply_sync(dataset, plan)
        assert plan_sync(dataset).counts == NOTHING
        assert len(state(dataset)) == 14
    again = labelaudit.load_dataset("again", archive)
    assert state(zipped) == state(again)
    sample = zipped.view().match_tag("new-in-sync").head(1)[0]
    assert np.array_equal(np.asarray(sample.image), np.asarray(folder[sample.id].image))


def test_the_command_lists_takes_over_and_finds_what_is_new(pets, picture, make_dataset):
    dataset = labelaudit.load_dataset("pets", pets)
    assert "nothing changed" in cli("sync", "pets").stdout
    picture(pets / "dog/1.png", seed=301)
    (pets / "pig/2.png").rename(pets / "pig/two\n\x1b[31m.png")
    text = cli("sync", "pets", "--apply").stdout
    assert f"\nreplaced:\n  {pets}/dog/1.png\n" in text
    assert r"pig/two\n\x1b[31m.png" in text  # one line, and the terminal keeps its colour
    review = labelaudit.Review(dataset, "ann")
    review.decide([dataset.view().ids[0]], "keep")
    (pets / "cat/0.png").rename(pets / "dog/0.png")
    picture(pets / "yak/a.png", seed=300)
    text = cli("sync", "pets").stdout
    assert "1 added, 1 moved, 1 conflict\nclass yak added\n" in text
    assert "cat → dog in the source, cat here (reviewers decided otherwise)" in text
    assert "--apply takes this over" in text
    assert "1 conflict is left" in cli("sync", "pets", "--apply").stdout
    assert "needs --apply" in cli("sync", "pets", "--prefer", "source", code=2).stderr
    data = json.loads(cli("sync", "pets", "--apply", "--prefer", "source", "--json").stdout)
    assert (data["applied"], data["counts"]["conflicts"]) == (True, 1)
    assert "nothing changed" in cli("sync", "pets").stdout
    assert "source read again (1 added" in cli("history", "pets").stdout
    new = labelaudit.added_since(dataset, "2000-01-01").tolist()
    assert [dataset[i].filepath for i in new] == [str(pets / p) for p in ("dog/1.png", "yak/a.png")]
    assert labelaudit.added_since(dataset, "2999-01-01T00:00+02:00").tolist() == []
    with pytest.raises(BadInputError, match="'monday' is no date"):
        labelaudit.added_since(dataset, "monday")
    ids = dataset.view().ids
    scores = np.linspace(0, 1, len(ids))
    table = pd.DataFrame({"id": ids, "cat": scores, "dog": 1 - scores, "pig": 0.1, "yak": 0.05})
    labelaudit.import_predictions(dataset, table, run="mine", kind="logits")
    labelaudit.compute_scores(dataset, "mine")
    for option, ids in ((["--new"], new[1:]), (["--since", "2000-01-01"], new)):
        found = json.loads(cli("suspects", "pets", "--score", "hardness", *option, "--json").stdout)
        assert sorted(row["id"] for row in found["top"]) == ids
    picture(pets / "yak/b.png", seed=302)
    apply_sync(dataset, plan_sync(dataset))
    text = cli("suspects", "pets", "--score", "hardness", "--new").stdout
    assert "1 new sample without a prediction in this run; `labelaudit audit pets` judges" in text


def test_what_cannot_be_synced_is_refused(pets, make_dataset):
    dataset = labelaudit.load_dataset("pets", pets)
    with pytest.raises(BadInputError, match="no source that can be read again"):
        plan_sync(make_dataset(8))
    plan = plan_sync(dataset)
    dataset.tag([1], "odd")
    with pytest.raises(BadInputError, match="run the sync again"):
        apply_sync(dataset, plan)
    with pytest.raises(BadInputError, match="'both'"):
        apply_sync(dataset, plan_sync(dataset), prefer="both")
    labelaudit.inject_noise(dataset, 0.3)
    with pytest.raises(BadInputError, match="noise pets --restore"):
        plan_sync(dataset)
    with dataset.transaction():  # as an earlier version stored it
        dataset.view().frame.store.drop("source-files")
    labelaudit.restore_noise(dataset)
    with pytest.raises(BadInputError, match="loaded by an earlier version"):
        plan_sync(dataset)


def test_new_rows_of_a_list_bring_their_own_fields(tmp_path, picture):
    for i in range(4):
        picture(tmp_path / f"data/{i}.png", seed=i)
    file = tmp_path / "data/labels.csv"
    text = "filepath,label,camera\n0.png,a,left\n1.png,b,right\n2.png,a,left\n"
    file.write_text(text)
    dataset = labelaudit.load_dataset("list", file, fields={"camera": "text"})
    assert counts(plan_sync(dataset)) == {}
    file.write_text(text + "3.png,b,left\n")
    apply_sync(dataset, plan_sync(dataset))
    assert dataset.view().values("camera").tolist() == ["left", "right", "left", "left"]


def test_classes_renamed_and_merged_here_keep_their_names_in_the_source(pets, picture):
    dataset = labelaudit.load_dataset("pets", pets)
    id_of = {Path(s.filepath).stem: s.id for s in dataset.view()}
    change = {"rename": {"cat": "dog", "dog": "hound"}, "merge": {"pig": "dog"}}
    labelaudit.change_classes(dataset, labelaudit.plan_classes(dataset, **change))
    assert plan_sync(dataset).counts == NOTHING
    for folder in ("cat", "dog", "pig", "yak"):
        picture(pets / folder / f"new-{folder}.png", seed=len(folder) * 100 + ord(folder[0]))
    (pets / "dog/1.png").rename(pets / "pig/1.png")
    (pets / "cat/0.png").rename(pets / "pig/0.png")  # both are the same class here
    plan = plan_sync(dataset)
    assert counts(plan) == {"added": 4, "moved": 2, "relabelled": 1}
    assert plan.relabelled == [(id_of["1"], str(pets / "pig/1.png"), "hound", "dog")]
    assert (plan.new_classes, plan.renamed_classes) == (["yak"], {})
    apply_sync(dataset, plan)
    assert dataset.classes == ["dog", "hound", "pig", "yak"]
    assert dataset.view().count_values("ground_truth") == {
        "dog": 11, "hound": 4, "pig": 0, "yak": 1,
    }  # fmt: skip
    assert plan_sync(dataset).counts == NOTHING
    assert labelaudit.plan_write_back(dataset).rows == []
    (pets / "pig").rename(pets / "swine")  # a class that is merged here
    (pets / "dog").rename(pets / "hound")  # the source takes the name of here
    plan = plan_sync(dataset)
    assert counts(plan) == {"moved": 11}
    assert plan.empty_classes == []
    apply_sync(dataset, plan)
    assert dataset.offered_classes == ["dog", "hound", "yak"]
    assert plan_sync(dataset).counts == NOTHING
    dataset.set_labels([id_of["3"]], "hound")
    dataset.set_labels([id_of["4"]], "dog")  # cats and pigs are dogs here
    rows = labelaudit.write_back(dataset, in_place=True).rows
    assert [(Path(path).name, *labels) for path, *labels in rows] == [
        ("3.png", "cat", "hound"), ("4.png", "hound", "dog"),
    ]  # fmt: skip
    assert plan_sync(dataset).counts == NOTHING
    return_to(dataset, 1)  # merged still, before the first sync
    assert dataset.offered_classes == ["dog", "hound", "yak"]
    assert dataset.view().count_values("ground_truth")["swine"] == 0
    return_to(dataset, 0)
    assert dataset.offered_classes == ["cat", "dog", "swine", "yak"]
    expected = {"swine": "swine", "hound": "dog", "cat": "cat", "yak": "yak"}
    here = {Path(path): label for path, label in state(dataset).items()}
    others = {path.stem for path, label in here.items() if label != expected.get(path.parent.name)}
    assert others == {"0", "1", "3", "4"}  # moved by the sync and the write-back
    assert plan_sync(dataset).counts == NOTHING  # images of the folder "dog" are cats, as written


def test_a_name_that_the_source_uses_for_another_class_is_not_written(tmp_path, picture):
    for i in range(4):
        picture(tmp_path / f"data/{i}.png", seed=i)
    file = tmp_path / "data/labels.csv"
    file.write_text("filepath,label\n0.png,cat\n1.png,dog\n2.png,cat\n3.png,dog\n")
    dataset = labelaudit.load_dataset("list", file)
    labelaudit.change_classes(dataset, labelaudit.plan_classes(dataset, rename={"cat": "kitten"}))
    labelaudit.change_classes(dataset, labelaudit.plan_classes(dataset, add=["cat"]))
    first, second = dataset.view().match(label="dog").ids.tolist()
    dataset.set_labels([first], "cat")
    dataset.set_labels([second], "kitten")
    plan = labelaudit.plan_write_back(dataset)
    assert [row[1:] for row in plan.rows] == [("dog", "cat")]
    assert "name of another class in the source" in plan.left[0][1]
    labelaudit.write_back(dataset, in_place=True)
    assert counts(plan_sync(dataset)) == {}
    assert dataset[first].ground_truth == "cat"
