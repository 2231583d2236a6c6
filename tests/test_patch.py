"""Patches: from one copy of a dataset to another, merged, and in the face of bad files."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import labelaudit
from labelaudit import LabelAuditError, Review, apply_patch, merge_patches, plan_patch, read_patch
from labelaudit.cli import main
from labelaudit.dataset.dataset import create_dataset, delete_dataset
from labelaudit.dataset.history import describe, list_changes, return_to
from labelaudit.patch import Change, Patch, make_patch, parse_patch, write_patch
from labelaudit.patch.parse import MAX_LINE_BYTES

CLASSES = ["cat", "dog", "emu"]
FILES = [f"{CLASSES[i % 3]}/{i}.png" for i in range(6)]
NOW = "2026-03-01T12:00:00+00:00"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same six pictures in two folders."""
    made = [tmp_path_factory.mktemp(name) for name in ("one", "other")]
    for i, file in enumerate(FILES):
        pixels = np.random.default_rng(i).integers(0, 255, (6, 5, 3), np.uint8)
        for folder in made:
            (folder / file).parent.mkdir(exist_ok=True)
            Image.fromarray(pixels).save(folder / file)
    return made


@pytest.fixture
def copies(home, folders):
    """Two datasets of them: the second has another folder, order, ids and class order."""
    return make_copies(folders)


def make_copies(folders):
    labels = [file.split("/")[0] for file in FILES]
    one = {"filepath": [str(folders[0] / f) for f in FILES], "label": labels}
    order = [4, 2, 0, 5, 3, 1]
    other = {
        "filepath": [str(folders[1] / FILES[i]) for i in order],
        "label": [labels[i] for i in order],
        "id": [90 + 7 * i for i in range(6)],
    }
    return (create_dataset("one", one, classes=CLASSES),
            create_dataset("other", other, classes=CLASSES[::-1]))  # fmt: skip


def state(dataset) -> dict[str, str | None]:
    """Each file's label, or "removed"."""
    table = dataset.view().to_pandas()
    label = ["removed" if "removed" in tags else given
             for tags, given in zip(table.tags, table.ground_truth, strict=True)]  # fmt: skip
    return {"/".join(p.split("/")[-2:]): v for p, v in zip(table.filepath, label, strict=True)}


def a_change(file="cat/0.png", **values) -> Change:
    made = {"pixels": None, "id": None, "before": "cat", "change": "relabel", "after": "dog",
            "by": ("ann",), "at": NOW}  # fmt: skip
    return Change(file, **(made | values))


def a_patch(*changes: Change, name: str = "p", classes=CLASSES) -> Patch:
    return Patch(sorted(changes, key=Change.order), "one", list(classes), NOW, name)


STEPS = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from([*CLASSES, None, "remove", "put back", "judge"])),
    max_size=5,
)


@settings(max_examples=6, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(steps=STEPS)
def test_what_was_changed_on_one_copy_is_changed_on_the_other(home, folders, steps):
    one, other = make_copies(folders)
    try:
        for sample, step in steps:
            if step == "remove":
                one.tag([sample], "removed")
            elif step == "put back":
                one.untag([sample], "removed")
            elif step == "judge":
                Review(one, "ann").decide(sample, "relabel", "emu")
                labelaudit.apply_verdicts(one)
            else:
                one.set_labels([sample], step)
        patch = parse_patch(make_patch(one).to_bytes(), "p")
        before, ids = state(other), other.view().ids
        plan = apply_patch(other, patch)
        assert state(other) == state(one)
        assert len(plan) == len(patch)
        again = apply_patch(other, patch)  # twice is once
        assert (len(again), again.already, again.conflicts) == (0, len(patch), [])
        assert state(other) == state(one)
        assert len(list_changes(other)) == (len(patch) > 0)
        return_to(other, 0)
        assert state(other) == before
        assert np.array_equal(other.view().ids, ids)
    finally:
        delete_dataset("one")
        delete_dataset("other")


CHANGES = st.builds(
    lambda file, before, outcome, by: a_change(
        file, before=before, by=(by,), change="remove" if outcome == "remove" else "relabel"
        if outcome != before else "keep", after=None if outcome == "remove" else outcome),
    st.sampled_from(FILES), st.sampled_from(CLASSES), st.sampled_from([*CLASSES, "remove"]),
    st.sampled_from(["ann", "bob"]),
)  # fmt: skip
PATCHES = st.lists(CHANGES, max_size=6, unique_by=lambda change: change.file)


@settings(max_examples=60, deadline=None)
@given(one=PATCHES, other=PATCHES)
def test_merging_is_commutative_and_loses_nothing(one, other):
    a, b = a_patch(*one, name="a"), a_patch(*other, name="b")
    merged, conflicts = merge_patches([a, b])
    swapped, same = merge_patches([b, a])
    assert merged.changes == swapped.changes
    assert [c.sides for c in conflicts] == [c.sides for c in same]
    files = {change.file for change in one} | {change.file for change in other}
    assert {c.file for c in merged.changes} | {c.name for c in conflicts} == files
    assert len(merged) + len(conflicts) == len(files)
    assert merge_patches([a, replace(a, name="again")])[0].changes == a.changes
    for prefer, own in (("a", one), ("b", other)):
        kept = {c.file: c.outcome for c in merge_patches([a, b], prefer)[0].changes}
        assert {c.file: kept[c.file] for c in own} == {c.file: c.outcome for c in own}


def test_a_line_is_readable_and_the_header_says_what_it_is(copies, tmp_path):
    one, _ = copies
    Review(one, "ann").decide(1, "relabel", "dog")
    Review(one, "bob").decide(1, "relabel", "dog")
    Review(one, "bob").decide(2, "remove")
    labelaudit.apply_verdicts(one, who="eve")
    write_patch(one, tmp_path / "p.labels.jsonl")
    header, *lines = map(json.loads, (tmp_path / "p.labels.jsonl").read_text().splitlines())
    assert header | {"made": 0, "labelaudit": 0} == {
        "format": "labelaudit-patch", "version": 1, "dataset": "one", "made": 0,
        "by": ["ann", "bob"], "labelaudit": 0, "classes": CLASSES,
        "counts": {"relabel": 1, "remove": 1, "keep": 0},
    }  # fmt: skip
    assert [line["file"] for line in lines] == ["cat/0.png", "dog/1.png"]
    first = {k: lines[0][k] for k in ("before", "change", "after", "by", "id")}
    assert first == {"before": "cat", "change": "relabel", "after": "dog", "by": ["ann", "bob"],
                     "id": 1}  # fmt: skip
    assert (lines[1]["change"], lines[1]["by"]) == ("remove", ["bob"])
    assert "after" not in lines[1]
    read = read_patch(tmp_path / "p.labels.jsonl")
    assert b"".join(line.encode() for line in read.to_lines()).splitlines()[1:] == (
        tmp_path / "p.labels.jsonl").read_bytes().splitlines()[1:]  # fmt: skip


def test_verdicts_of_a_reviewer_make_a_patch_with_what_was_kept(copies):
    one, other = copies
    for sample, verdict, label in [(1, "keep", None), (2, "relabel", "emu"), (3, "unsure", None)]:
        Review(one, "ann").decide(sample, verdict, label)
    Review(one, "bob").decide([1, 4], "remove")
    ann = make_patch(one, source="verdicts", reviewer="ann")
    assert [(c.file, c.change, c.after) for c in ann.changes] == [
        ("cat/0.png", "keep", "cat"), ("dog/1.png", "relabel", "emu")]  # fmt: skip
    both = make_patch(one, source="verdicts")  # on cat/0.png they disagree
    assert [(c.file, c.change) for c in both.changes] == [("cat/3.png", "remove"),
                                                          ("dog/1.png", "relabel")]  # fmt: skip
    _, conflicts = merge_patches([replace(ann, name="a"), replace(make_patch(
        one, source="verdicts", reviewer="bob"), name="b")])  # fmt: skip
    assert [str(c) for c in conflicts] == ["cat/0.png: cat by ann (a); removed by bob (b)"]
    assert not len(make_patch(one))  # nothing is applied
    plan = apply_patch(other, ann)
    assert (len(plan.relabel), plan.already, plan.by) == (1, 1, ["ann"])
    with pytest.raises(LabelAuditError, match="'eve' decided nothing in dataset 'one'"):
        make_patch(one, reviewer="eve")


def test_planted_mistakes_are_no_changes(copies):
    one, other = copies
    one.set_labels([6], "cat")
    labelaudit.inject_noise(one, rate=1.0, seed=1)
    assert [(c.file, c.after) for c in make_patch(one).changes] == [("emu/5.png", "cat")]
    planted = one[1].ground_truth
    third = ({"dog", "emu"} - {planted}).pop()
    review = Review(one, "ann")
    review.decide(1, "relabel", third)  # neither what it was, nor what was planted
    review.decide(2, "relabel", "dog")  # what it was
    review.decide(3, "keep")  # a mistake that was overlooked
    wanted = [("cat/0.png", "relabel", third), ("dog/1.png", "keep", "dog")]
    made = make_patch(one, source="verdicts")
    assert [(c.file, c.change, c.after) for c in made.changes] == wanted
    labelaudit.apply_verdicts(one)
    assert {c.file: c.after for c in make_patch(one).changes} == {
        "cat/0.png": third, "emu/5.png": "cat"}  # fmt: skip
    apply_patch(other, make_patch(one))
    assert state(other)["dog/4.png"] == "dog"


def test_a_patch_in_the_history_keeps_its_names(copies):
    one, other = copies
    one.tag([1], "removed")
    one.set_labels([2], "emu")
    patch = replace(make_patch(one), name="p.labels.jsonl")
    patch = replace(patch, changes=[replace(c, by=("ann", "bob")) for c in patch.changes])
    apply_patch(other, patch)
    (entry,) = list_changes(other)
    assert (entry.who, entry.count) == ("ann, bob", 2)
    assert describe(entry) == "patch p.labels.jsonl applied (1 relabelled, 1 removed)"
    assert [c.by for c in make_patch(other).changes] == [("ann", "bob")] * 2


def test_a_label_that_is_neither_before_nor_after_is_a_conflict(copies):
    one, other = copies
    one.set_labels([1, 2, 3], ["dog", "emu", "cat"])
    ids = dict(zip(state(other), other.view().ids, strict=True))
    other.set_labels([ids["cat/0.png"], ids["dog/1.png"]], ["emu", "emu"])
    other.tag([ids["emu/2.png"]], "removed")
    plan = apply_patch(other, make_patch(one))
    assert (len(plan), plan.already) == (0, 1)
    rows = [row.to_dict() for row in plan.conflicts]
    assert [(r["sample"], r["here"], r["why"], r["id"]) for r in rows] == [
        ("cat/0.png", "emu", "labelled differently", ids["cat/0.png"]),
        ("emu/2.png", "emu", "removed here", ids["emu/2.png"]),
    ]
    assert state(other)["cat/0.png"] == "emu"


def test_moved_files_are_found_by_their_pixels_and_others_in_their_place_are_not_taken(
    home, folders, tmp_path
):
    one, _ = make_copies(folders)
    one.set_labels([1, 2, 3], ["dog", "emu", "cat"])
    for new, old in (("x/a.png", FILES[0]), ("x/b.bmp", FILES[1]), (FILES[2], FILES[3])):
        (tmp_path / new).parent.mkdir(exist_ok=True)
        Image.open(folders[0] / old).save(tmp_path / new)
    rows = {"filepath": [str(tmp_path / f) for f in ("x/a.png", "x/b.bmp", FILES[2])],
            "label": ["cat", "dog", "emu"]}  # fmt: skip
    moved = create_dataset("moved", rows, classes=CLASSES)
    patch = make_patch(one)
    few = plan_patch(moved, patch, read=0)
    assert (len(few), few.unread, len(few.missing)) == (1, 3, 2)  # nothing was opened
    plan = plan_patch(moved, patch)
    assert plan.found == {"pixels": 2}
    assert (plan.relabel.tolist(), plan.unread) == ([1, 2], 0)
    assert [(row.change.file, row.why) for row in plan.missing] == [
        ("emu/2.png", "another image is there")]  # fmt: skip
    trusting = plan_patch(moved, patch, trust=["path"])
    assert trusting.relabel.tolist() == [1, 2, 3]
    assert plan_patch(moved, patch, trust=["id"]).found == {"pixels": 2, "id": 1}
    with pytest.raises(LabelAuditError, match="'name' cannot be trusted"):
        plan_patch(moved, patch, trust=["name"])


def test_copies_of_a_picture_are_not_guessed_among(home, folders):
    one, _ = make_copies(folders)
    one.set_labels([1], "dog")
    path = str(folders[0] / FILES[0])
    twice = create_dataset("twice", {"filepath": [path, path], "label": ["cat", "cat"]})
    plan = plan_patch(twice, make_patch(one))
    assert (len(plan), [row.why for row in plan.missing]) == (0, ["several samples match"])


def test_two_lines_for_one_sample_that_differ_are_a_conflict(copies):
    one, other = copies
    one.set_labels([1], "dog")
    (change,) = make_patch(one).changes
    second = replace(change, file=None, after="emu")
    plan = plan_patch(other, a_patch(change, second))
    assert (plan.found, len(plan), len(plan.missing)) == ({"path": 1}, 1, 1)  # its path is surer
    second = replace(second, pixels=None, id=int(plan.relabel[0]))
    plan = plan_patch(other, a_patch(change, second), trust=["id"])
    assert len(plan) == 0
    assert [row.why for row in plan.conflicts] == ["two lines contradict each other"] * 2


def test_classes_that_are_not_here_are_added_only_when_told(copies, folders):
    one, _ = copies
    rows = {"filepath": [str(folders[1] / f) for f in FILES], "label": ["cat", "dog", "cat"] * 2}
    few = create_dataset("few", rows)
    patch = make_patch(one)
    assert not len(patch)
    one.set_labels([1, 2], ["emu", "emu"])
    patch = make_patch(one)
    assert plan_patch(few, patch).new_classes == ["emu"]
    with pytest.raises(LabelAuditError, match=r"1 class that dataset 'few' does not have"):
        apply_patch(few, patch)
    assert few.classes == ["cat", "dog"]
    apply_patch(few, patch, add_classes=True)
    assert few.classes == ["cat", "dog", "emu"]
    assert state(few)["cat/0.png"] == state(few)["dog/1.png"] == "emu"


def test_what_was_looked_at_must_still_be_so(copies):
    one, other = copies
    one.set_labels([1, 2], ["dog", "emu"])
    patch = make_patch(one)
    shown = plan_patch(other, patch)
    other.set_labels([shown.relabel[0]], "emu" if shown.after[0] != 0 else "dog")
    with pytest.raises(LabelAuditError, match="labels changed since the preview"):
        apply_patch(other, patch, shown=shown)
    assert len(list_changes(other)) == 1


HEADER = json.dumps({"format": "labelaudit-patch", "version": 1, "dataset": "one", "made": NOW,
                     "classes": CLASSES})  # fmt: skip
LINE = {"file": "cat/0.png", "before": "cat", "change": "relabel", "after": "dog", "by": ["ann"],
        "at": NOW}  # fmt: skip


def line(**values) -> str:
    return json.dumps({k: v for k, v in (LINE | values).items() if v != "-"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "p is empty: create a patch with"),
        ("[1]", r"line 1: \[1\] is not a JSON object"),
        (line(), "line 1: the header is missing"),
        (HEADER.replace('"version": 1', '"version": 2'), "line 1: .* version 2, .* update Label"),
        (HEADER.replace('"version": 1', '"version": true'), "line 1: the version is True"),
        (HEADER.replace('"cat", ', '"cat", "cat", '), 'line 1: "classes" contains a name twice'),
        (HEADER.replace('"cat"', "7"), "line 1: a class name is 7"),
        (HEADER.replace(NOW, "now"), "line 1: \"made\" is 'now'"),
        (f"{HEADER}\n<<<<<<< HEAD", "line 2: git left a merge conflict here"),
        (f"{HEADER}\n\n{{", "line 3: it is not JSON"),
        (f"{HEADER}\n" + "[" * 100_000, "line 2: it is not JSON"),
        (f"{HEADER}\n" + line(id=0).replace("0}", "9" * 5000 + "}"), "line 2: it is not JSON"),
        (f"{HEADER}\n" + line(id=0).replace("0}", "NaN}"), "line 2: NaN is not JSON"),
        (f"{HEADER}\n" + line(id=0).replace("0}", "-Infinity}"), "line 2: -Infinity is not JSON"),
        (f"{HEADER}\n" + line(id=1.5), 'line 2: "id" is 1.5'),
        (f"{HEADER}\n" + line(id=-1), 'line 2: "id" is -1'),
        (f"{HEADER}\n" + line(id=2**63), 'line 2: "id" is 9223372036854775808'),
        (f"{HEADER}\n" + '{"file": "a", "file": "b"}', "line 2: 'file' occurs twice"),
        (f"{HEADER}\n" + line(file="../../etc/passwd"), 'line 2: "file" is .* a relative path'),
        (f"{HEADER}\n" + line(file="/etc/passwd"), 'line 2: "file" is'),
        (f"{HEADER}\n" + line(file="a\\..\\b"), 'line 2: "file" is'),
        (
            f"{HEADER}\n" + line(file="a\x1b[31m"),
            r"line 2: .*'a\\x1b\[31m'.* unprintable characters",
        ),
        (f"{HEADER}\n" + line(file="a\u202egnp"), "line 2: .* unprintable characters"),
        (f"{HEADER}\n" + line(file="\ud800"), "line 2: .* unprintable characters"),
        (f"{HEADER}\n" + line(file="-", pixels="0x12"), 'line 2: "pixels" is'),
        (f"{HEADER}\n" + line(file="-"), "line 2: it names no sample"),
        (f"{HEADER}\n" + line(change="delete"), "line 2: \"change\" is 'delete'"),
        (f"{HEADER}\n" + line(after="-"), 'line 2: "after" is missing'),
        (f"{HEADER}\n" + line(after="dgo"), "line 2: \"after\" is 'dgo', which is not among"),
        (f"{HEADER}\n" + line(before=["cat"]), 'line 2: "before" is'),
        (f"{HEADER}\n" + line(by=[]), 'line 2: "by" is missing'),
        (f"{HEADER}\n" + line(by=["a" * 65]), 'line 2: a name in "by" is longer than 64'),
        (f"{HEADER}\n" + line(at="soon"), "line 2: \"at\" is 'soon'"),
        (f"{HEADER}\n{line()}\n{line(after='emu')}", "line 3: .* another outcome in line 2"),
        (f"{HEADER}\n" + " " * MAX_LINE_BYTES + "x", "line 2: it is longer than 1,048,576 bytes"),
    ],
)
def test_a_malformed_line_is_named_with_its_fix(text, says):
    with pytest.raises(LabelAuditError, match=f"^p(, | is ){says.removeprefix('p is ')}") as raised:
        parse_patch(text.encode("utf-8", "surrogatepass"), "p")
    assert len(str(raised.value)) < 300
    assert str(raised.value).isprintable()


def test_bytes_that_are_no_text_are_named():
    with pytest.raises(LabelAuditError, match="p, line 2: it is not UTF-8"):
        parse_patch(HEADER.encode() + b'\n{"file": "\xff"}', "p")


def test_what_git_merges_line_by_line_is_read(copies):
    """`merge=union` leaves both headers, and both lines where two people want the same."""
    text = "\n".join([HEADER, HEADER.replace("one", "1"), line(), line(by=["bob"]), ""])
    patch = parse_patch(text.encode("utf-8-sig").replace(b"\n", b"\r\n"), "p")
    assert [(c.file, c.by) for c in patch.changes] == [("cat/0.png", ("ann", "bob"))]


def test_a_class_that_no_line_can_hold_is_refused_before_a_file_is_there(copies, tmp_path):
    with pytest.raises(LabelAuditError, match="rename the class"):
        a_patch(classes=["a\nb"]).write(tmp_path / "p")
    assert not list(tmp_path.glob("p*"))


def test_the_same_picture_under_another_name_is_one_sample_unless_a_patch_has_two():
    a = a_patch(a_change("a.png", pixels="0" * 16), name="a")
    b = a_patch(a_change("b/a.png", pixels="0" * 16, by=("bob",)), name="b")
    merged, conflicts = merge_patches([a, b])
    assert [(c.file, c.by) for c in merged.changes] == [("a.png", ("ann", "bob"))]
    assert not conflicts
    two = a_patch(*b.changes, a_change("c.png", pixels="0" * 16, after="emu"), name="b")
    merged, conflicts = merge_patches([a, two])
    assert (len(merged), conflicts) == (3, [])
    other = a_patch(a_change("a.png", pixels="1" * 16), name="b")
    assert len(merge_patches([a, other])[1]) == 1  # another image under the same name
    with pytest.raises(LabelAuditError, match="at least two patches"):
        merge_patches([a, a])
    with pytest.raises(LabelAuditError, match="c is not one of the patches"):
        merge_patches([a, b], prefer="c")


def test_the_commands(copies, tmp_path):
    def cli(*arguments, code=0):
        result = CliRunner().invoke(main, [str(a) for a in arguments])
        assert result.exit_code == code, result.output
        return result.stdout

    one, _ = copies
    a, b, c = (tmp_path / f"{name}.labels.jsonl" for name in "abc")
    assert "0 relabelled, 0 removed written" in cli("patch", "one", "-o", a)
    one.set_labels([1, 2], ["dog", "emu"])
    assert "2 relabelled, 0 removed written" in cli("patch", "one", "-o", a)
    one.set_labels([1], "emu")
    cli("patch", "one", "-o", b)
    text = cli("merge-patches", a, b, "-o", c, code=1)
    assert "1 conflict, nothing written" in text
    assert f"  cat/0.png: dog by root ({a})" in text.replace(one_user(), "root")
    assert not c.exists()
    assert "resolved in favour of" in cli("merge-patches", a, b, "-o", c, "--prefer", b)
    assert json.loads(cli("apply", "other", "--patch", c, "--dry-run", "--json"))["relabelled"] == 2
    assert "2 samples were relabelled, 0 removed; already" in cli("apply", "other", "--patch", c)
    text = cli("apply", "other", "--patch", a)
    assert "0 samples were relabelled, 0 removed; already as in the patch: 1" in text
    assert "1 conflict, not changed:\n  cat/0.png: cat → dog by" in text
    assert "labelled differently as emu" in text
    assert cli("apply", "other", "--patch", a, "--by", "ann", code=2) == ""


def one_user() -> str:
    from labelaudit.dataset.history_log import user

    return user()
