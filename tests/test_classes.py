"""Classes are renamed, merged and added as one step, with a way back."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from labelaudit import (
    Dataset,
    F,
    LabelAuditError,
    Review,
    apply_patch,
    apply_verdicts,
    change_classes,
    export_dataset,
    list_changes,
    load_dataset,
    pending_decisions,
    plan_classes,
    return_to,
)
from labelaudit.dataset.class_names import ClassNames, names_after
from labelaudit.dataset.history import describe
from labelaudit.dataset.history_log import Entry
from labelaudit.patch import make_patch
from labelaudit.ui.class_editor import (
    BECOMES,
    BY_NAME,
    BY_PLACE,
    BY_SIZE,
    CLASS,
    PLACE,
    SAMPLES,
    preview,
    read_order,
    read_rows,
)


@pytest.fixture
def pets(home):
    """Six samples, 2 of each class, and a run that predicts the given labels."""
    dataset = Dataset(load(["cat", "dog", "pug"] * 2))
    run = dataset.new_run("old").finish({"classes": dataset.classes})
    logits = np.eye(3, dtype=np.float32)[[0, 1, 2] * 2]
    run.write_predictions([(dataset.view().ids, logits)])
    return dataset


def load(labels: list[str]) -> str:
    from labelaudit import load_arrays

    images = np.random.default_rng(0).integers(0, 255, (len(labels), 8, 8), np.uint8)
    return load_arrays("pets", images, labels).name


def labels(dataset: Dataset, field: str = "ground_truth") -> list[str]:
    return dataset.view().values(field).tolist()


def test_names_are_swapped_and_a_class_is_merged_in_one_step_and_back(pets):
    before = labels(pets)
    plan = plan_classes(
        pets, rename={"cat": "dog", "dog": "cat"}, merge={"pug": "puppy"}, add=["puppy"]
    )
    assert labels(pets) == before  # a plan changes nothing
    assert change_classes(pets, plan, "ann") == 2
    assert labels(pets) == ["dog", "cat", "puppy"] * 2
    assert pets.offered_classes == ["dog", "cat", "puppy"]
    assert pets.classes == ["dog", "cat", "pug", "puppy"]  # no index has another meaning
    assert labels(pets, "prediction") == ["dog", "cat", "pug"] * 2  # the run has the new names too
    (entry,) = list_changes(pets)
    assert (entry.who, entry.count) == ("ann", 2)
    assert describe(entry) == (
        "classes: cat renamed to dog, dog renamed to cat, pug merged into puppy, puppy added"
    )
    assert return_to(pets, 0) == 2
    assert labels(pets) == before == labels(pets, "prediction")
    assert pets.offered_classes == ["cat", "dog", "pug"]
    return_to(pets, 1)
    assert labels(pets) == ["dog", "cat", "puppy"] * 2
    assert pets.offered_classes == ["dog", "cat", "puppy"]


def test_a_renamed_class_keeps_its_verdicts_and_new_runs_their_names(pets):
    Review(pets, "ann").decide(1, "relabel", "dog")
    change_classes(pets, plan_classes(pets, rename={"dog": "hound"}))
    assert Review(pets, "ann").of([1])[0][0].label == "hound"
    later = pets.new_run("new").finish({"classes": pets.classes})
    change_classes(pets, plan_classes(pets, rename={"hound": "dog", "cat": "hound"}))
    assert pets.run("old").classes == ["hound", "dog", "pug"] == later.classes


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"rename": {"cow": "ox"}}, "'cow' is not a class"),
        ({"rename": {"cat": "dog"}}, "the name is taken"),
        ({"rename": {"cat": " \n"}}, "a label is empty"),
        ({"rename": {"cat": "ox"}, "merge": {"cat": "dog"}}, "both renamed and merged"),
        ({"merge": {"cat": "ox"}}, "there is no class 'ox' to merge 'cat' into"),
        ({"merge": {"cat": "cat"}}, "cannot be merged into 'cat'"),
        ({"merge": {"cat": "dog", "dog": "pug"}}, "use 'pug'"),
        ({"add": ["cat"]}, "there is a class 'cat' already"),
        ({}, "nothing changes"),
        ({"order": ["cat", "dog"]}, "nothing changes"),
        ({"order": ["pug", "cow"]}, "there is no class 'cow' to put in order"),
        ({"order": ["pug", "pug"]}, "twice in the order"),
        ({"order": "pug"}, "give a list of class names"),
        ({"order": ["pug"], "merge": {"pug": "dog"}}, "it has no place in the order"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(pets, change, why):
    with pytest.raises(LabelAuditError, match=why):
        plan_classes(pets, **change)
    assert list_changes(pets) == []


def test_verdicts_that_ask_for_a_merged_class_come_first(pets):
    plan = plan_classes(pets, merge={"pug": "dog"})
    Review(pets, "ann").decide(1, "relabel", "pug")
    with pytest.raises(LabelAuditError, match="1 verdict asks for class 'pug'"):
        change_classes(pets, plan)
    change_classes(pets, plan_classes(pets, rename={"cat": "tabby"}))
    with pytest.raises(LabelAuditError, match="the classes have changed in the meantime"):
        change_classes(pets, plan)


def test_verdicts_and_saved_views_follow_a_merge_and_a_renaming(pets):
    review = Review(pets, "ann")
    review.decide(1, "relabel", "pug")
    review.decide([3, 6], "keep")  # pugs
    apply_verdicts(pets)
    pets.save_view("mine", pets.view().match(~(F("ground_truth") == "cat"), label=["pug", "cat"]))
    pets.save_view("predicted", pets.view("old").match(F("prediction") == "pug"))
    change_classes(pets, plan_classes(pets, rename={"dog": "hound"}, merge={"pug": "hound"}))
    assert [v.label for (v,) in review.of([1])] == ["hound"]
    decisions = pending_decisions(pets)
    assert (len(decisions), decisions.outdated.tolist(), decisions.done) == (0, [], 1)
    assert pets.load_view("mine").ids.tolist() == [1, 2, 3, 5, 6]
    change_classes(pets, plan_classes(pets, rename={"cat": "hound", "hound": "cat"}))
    assert pets.load_view("mine").ids.tolist() == [1, 2, 3, 5, 6]
    assert pets.load_view("predicted").ids.tolist() == [3, 6]
    review.decide(2, "keep")  # after the merge
    return_to(pets, 1)
    assert [v.label for (v,) in review.of([1])] == ["pug"]
    assert pets.load_view("mine").ids.tolist() == [1, 3, 6]


def test_a_class_that_was_merged_away_is_no_label(pets):
    change_classes(pets, plan_classes(pets, merge={"pug": "dog"}))
    with pytest.raises(LabelAuditError, match=r"class 'pug' .* was merged into another"):
        pets.set_labels([1], "pug")
    with pets.batch_edits(), pytest.raises(LabelAuditError, match="add it again"):
        pets[1].ground_truth = "pug"
    with pytest.raises(LabelAuditError, match="has no place in the order"):
        plan_classes(pets, order=["pug"])
    change_classes(pets, plan_classes(pets, add=["pug"], order=["pug"]))
    assert pets.set_labels([1], "pug") == 1


def test_a_patch_of_a_copy_has_the_earlier_names_of_classes(pets):
    pets.set_labels([1], "pug")  # was cat
    pets.set_labels([2], "cat")  # was dog
    patch = make_patch(pets)
    return_to(pets, 0)
    change_classes(pets, plan_classes(pets, rename={"cat": "tabby"}, merge={"pug": "dog"}))
    plan = apply_patch(pets, patch)
    assert (plan.new_classes, plan.conflicts) == ([], [])
    assert labels(pets)[:3] == ["dog", "tabby", "dog"]
    assert pets.offered_classes == ["tabby", "dog"]


def test_a_way_back_to_two_classes_of_one_name_is_refused(pets):
    change_classes(pets, plan_classes(pets, rename={"cat": "tabby"}))
    change_classes(pets, plan_classes(pets, add=["cat"]))
    with pytest.raises(LabelAuditError, match="a class 'cat' was added since then"):
        return_to(pets, 0)
    assert pets.classes == ["tabby", "dog", "pug", "cat"]


def test_a_way_back_before_a_sync_that_renamed_a_class_that_a_sync_added():
    def names(*known: str) -> dict:
        return vars(ClassNames(list(known), []))

    def entry(change: int, **info) -> Entry:
        return Entry(change, "", "ann", "", 0, info)

    changes = [
        entry(1, class_names={"before": names("cat"), "after": names("tabby")}),
        entry(2, renamed={}, classes=["dog"]),
        entry(3, renamed={"tabby": "tom", "dog": "hound"}, classes=[]),
    ]
    now = ClassNames(["tom", "hound"], [])
    assert names_after(changes, 0, now) == ClassNames(["tom", "hound"], ["hound"])


def test_an_edited_table_says_what_to_do():
    samples = {"cat": 5, "dog": 3, "pug": 9, "hen": 1}
    rows = [("cat", "cat"), ("dog", "hound"), ("pug", "hound"), ("hen", "cat"), ("", "ox")]
    assert read_rows(rows, samples) == {
        "rename": {"pug": "hound"},  # the largest of the classes with a new name in common
        "merge": {"dog": "hound", "hen": "cat"},
        "add": ["ox"],
    }
    swap = [("cat", "dog"), ("dog", "cat"), ("pug", "new"), ("", "new")]
    assert read_rows(swap, samples) == {
        "rename": {"cat": "dog", "dog": "cat"},
        "merge": {"pug": "new"},
        "add": ["new"],
    }


def test_the_preview_counts_samples(pets):
    plan = plan_classes(
        pets, rename={"cat": "tabby"}, merge={"pug": "dog"}, add=["hen"], order=["hen"]
    )
    assert preview(plan) == [
        "cat (2 samples) is renamed to tabby.",
        "pug (2 samples) is merged into dog.",
        "hen is added.",
        "The order becomes hen, tabby, dog. Exports number the classes by it; runs and models keep "
        "their own.",
    ]


def test_classes_are_listed_and_exported_in_another_order_and_back(pets, tmp_path):
    before = labels(pets)
    plan = plan_classes(pets, order=["pug"])
    assert change_classes(pets, plan, "ann") == 0
    assert pets.offered_classes == ["pug", "cat", "dog"]
    assert pets.classes == ["cat", "dog", "pug"]  # what stored labels and predictions index
    assert labels(pets) == labels(pets, "prediction") == before
    assert describe(list_changes(pets)[-1]) == "classes: reordered"
    export_dataset(pets, tmp_path / "coco", "coco")
    coco = json.loads((tmp_path / "coco" / "instances.json").read_text())
    names = {category["id"]: category["name"] for category in coco["categories"]}
    assert names == {1: "pug", 2: "cat", 3: "dog"}
    found = {entry["image_id"]: names[entry["category_id"]] for entry in coco["annotations"]}
    assert [found[sample] for sample in pets.view().ids.tolist()] == before
    again = load_dataset("again", tmp_path / "coco")
    assert again.classes == ["pug", "cat", "dog"]
    assert sorted(labels(again)) == sorted(before)
    change_classes(pets, plan_classes(pets, rename={"pug": "puppy"}, add=["hen"]))
    assert pets.offered_classes == ["puppy", "cat", "dog", "hen"]
    assert describe(list_changes(pets)[-1]) == "classes: pug renamed to puppy, hen added"
    with pytest.raises(LabelAuditError, match="nothing changes"):
        plan_classes(pets, order=["puppy", "cat"])
    return_to(pets, 1)
    assert pets.offered_classes == ["pug", "cat", "dog"]
    return_to(pets, 0)
    assert pets.offered_classes == ["cat", "dog", "pug"]


@pytest.mark.parametrize(
    ("places", "order", "becomes"),
    [
        ([1, 2, 3, 4], BY_PLACE, []),
        ([1, 2, 3, 1], BY_PLACE, ["hen10", "cat", "dog", "hen9"]),
        ([4, 2, 3, 4], BY_PLACE, ["dog", "hen9", "hen10", "cat"]),
        ([2, 1, 3, None], BY_PLACE, ["dog", "cat", "hen9", "hen10"]),
        ([1, 2, 3, 4], BY_SIZE, ["hen9", "dog", "cat", "hen10"]),
        ([3, 2, 1, 4], BY_NAME, ["cat", "dog", "hen10", "hen9"]),
    ],
)
def test_the_order_is_read_from_the_table(places, order, becomes):
    names = ["cat", "dog", "hen9", "hen10"]
    table = {PLACE: places, CLASS: names, SAMPLES: [2, 5, 7, None], BECOMES: names}
    assert read_order(pd.DataFrame(table), order) == becomes
