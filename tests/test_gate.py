"""The gate decides by the whole interval, and accepted suspects count while they are unchanged."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from test_cli import cli

import labelaudit
from labelaudit import check_labels
from labelaudit.cli import main
from labelaudit.core.errors import BadInputError, NotFoundError
from labelaudit.dataset.history import return_to
from labelaudit.living.accepted import AcceptedImage, accept, match_accepted, read_accepted
from labelaudit.living.current_errors import JudgedRun
from labelaudit.living.gate import percent
from labelaudit.living.gate_reports import junit_xml, markdown

REPO = Path(__file__).resolve().parents[1]


def test_a_gate_decides_by_the_whole_interval(audited):
    open_ = check_labels(audited, 0.2)
    errors = open_.errors
    low, high = errors.share(errors.low), errors.share(errors.high)
    assert 0 < low < 0.2 < high  # 359 of 1,797 are planted
    assert open_.status == "undecided"
    assert "too few to decide" in open_.why
    assert check_labels(audited, low - 0.001).status == "failed"
    assert check_labels(audited, high).status == "passed"
    assert check_labels(audited, high - 0.001).status == "undecided"
    narrow = check_labels(audited, 0.2, confidence=0.5).errors
    assert errors.low < narrow.low < narrow.wrong < narrow.high < errors.high
    estimate = labelaudit.estimate_wrong(audited)
    assert (errors.low, errors.wrong, errors.high) == (estimate.low, estimate.wrong, estimate.high)
    assert (errors.labels, errors.not_judged, errors.reviewed) == (1797, 0, 0)


def test_corrected_labels_are_no_longer_wrong(audited):
    true = labelaudit.load_dataset("digits", split=None)
    before = check_labels(audited, 0.02).errors
    ids = true.view().match_tag("mistake").ids
    noise = {
        row["id"]: row["label"] for row in true.view().frame.read_rows("noise", ["id", "label"])
    }
    names = true.classes
    review = labelaudit.Review(audited, "ann")
    for code, name in enumerate(names):
        review.decide([i for i in ids.tolist() if noise[i] == code], "relabel", name)
    pending = check_labels(audited, 0.02)
    assert pending.errors.wrong > len(ids) - 1  # nothing is applied yet
    assert pending.worst[0].id in set(ids.tolist())
    labelaudit.apply_verdicts(audited)
    after = check_labels(audited, 0.02)
    assert after.errors.wrong < before.wrong / 10
    assert after.errors.low < 10
    assert not {image.id for image in after.worst} & set(ids.tolist())
    assert after.errors.labels == 1797


def test_labels_that_nobody_judged_may_be_wrong(audited):
    before = check_labels(audited, 0.3).errors
    ids = audited.view().sort_by("suspicion").ids[:100]
    ids.sort()
    labels = audited.view().select(ids).values("ground_truth")
    audited.set_labels(ids, ["0" if label != "0" else "1" for label in labels])
    result = check_labels(audited, 0.3)
    assert result.errors.not_judged == 100
    assert result.errors.high == pytest.approx(before.high + 100, abs=15)
    assert result.errors.low < before.low + 1


def test_the_parts_of_a_dataset_add_up(audited):
    splits = audited.view().count_values("split")
    with audited.steady():
        judged = JudgedRun(audited)
        whole = judged.errors()
        code, names = judged.frame.split()
        parts = [judged.errors(code == names.index(name)) for name in splits]
    assert sum(part.labels for part in parts) == whole.labels
    assert sum(part.wrong for part in parts) == pytest.approx(whole.wrong, rel=0.1)
    test = check_labels(audited, 0.02, split="test")
    assert test.errors.labels == splits["test"]
    with pytest.raises(BadInputError, match="no labels to check"):
        check_labels(audited, 0.02, tag="nothing")


def test_an_accepted_suspect_counts_until_its_image_or_label_changes(tmp_path, picture, home):
    rng = np.random.default_rng(0)
    for i in range(6):
        picture(tmp_path / "pets" / "ab"[i % 2] / f"{i}.png", seed=i)
    dataset = labelaudit.load_dataset("pets", tmp_path / "pets")
    file = tmp_path / "accepted.csv"
    ids = dataset.view().ids
    assert accept(dataset, ids[:3], file, why="a small\ndog", by="=ann") == 3
    assert accept(dataset, ids[:2], file, why="a small dog", by="=ann") == 0
    text = file.read_text().splitlines()
    assert text[0] == "path,label,sha256,by,why"
    assert text[1].startswith("a/0.png,a,")
    assert text[1].endswith("'=ann,a small dog")
    lines = read_accepted(file)
    assert [line.by for line in lines] == ["=ann"] * 3
    frame = dataset.view().frame
    assert match_accepted(frame, lines).ids.tolist() == ids[:3].tolist()
    # it is moved, all relative paths change, and its class gets another name
    (tmp_path / "pets/a/4.png").rename(tmp_path / "pets/a/moved.png")
    labelaudit.apply_sync(dataset, labelaudit.plan_sync(dataset))
    dataset.add_samples([{"filepath": str(picture(tmp_path / "far.png", seed=81))}])
    change = labelaudit.plan_classes(dataset, rename={"a": "b", "b": "c"})
    labelaudit.change_classes(dataset, change)
    matched = match_accepted(frame, lines)
    assert (matched.ids.tolist(), matched.stale) == (ids[:3].tolist(), [])
    assert accept(dataset, ids[2:3], file, why="a small dog") == 1
    assert [(line.path, line.label) for line in read_accepted(file)] == [
        ("a/0.png", "a"), ("a/2.png", "a"), ("pets/a/moved.png", "b"),
    ]  # fmt: skip
    return_to(dataset, 0)
    picture(tmp_path / "pets/a/0.png", seed=int(rng.integers(100, 200)))
    dataset.set_labels([int(ids[1])], "b")
    gone = AcceptedImage("a/no.png", "a", "0" * 64, "ann", "")
    matched = match_accepted(frame, [*lines, gone])
    assert matched.ids.tolist() == [ids[2]]
    assert dict(matched.stale) == {
        "a/0.png": "has another image now",
        "a/2.png": "is no longer labelled 'a'",
        "a/no.png": "is not in the dataset",
    }
    for bad, says in (
        ("path,label\n", "no column 'sha256'"),
        ("path,label,sha256,by,why\na,b,c\n", "line 2: it has more or fewer cells"),
        ("path,label,sha256,by,why\na,b,c,d,e\n", "line 2: sha256 is 'c'"),
        ("path,label,sha256,by,why\n<<<<<<< HEAD\n", "line 2 is '<<<<<<< HEAD': resolve"),
        ("path,label,sha256,by,why,seen\n", "has the column 'seen'"),  # `accept` would drop it
    ):
        file.write_text(bad)
        with pytest.raises(BadInputError, match=says):
            read_accepted(file)
    with pytest.raises(NotFoundError, match="has no predictions yet: take a first look"):
        check_labels(dataset, 0.1)


def test_the_commands_of_the_gate(audited, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed = cli("check", "digits", "--max-wrong", "2%", "--junit", "a.xml", "--markdown", "a.md",
                 "--json", code=3)  # fmt: skip
    data = json.loads(failed.stdout)
    assert (data["status"], data["passes"], len(data["worst"])) == ("failed", False, 20)
    root = ElementTree.parse(tmp_path / "a.xml").getroot()
    assert root.find("testsuite/testcase/failure").get("message") == data["why"]
    assert (tmp_path / "a.md").read_text().count("\n| ") == 22
    (tmp_path / "a.json").write_text(failed.stdout)
    for name in ("a.xml", "a.md", "a.json"):
        assert labelaudit.verify(audited, tmp_path / name).equal, name
    assert data["labelaudit"]["settings"]["max_wrong"] == 0.02
    assert "Undecided" in cli("check", "digits", "--max-wrong", "0.2", code=3).stdout
    cli("check", "digits", "--max-wrong", "20%", "--undecided", "pass")
    exact = cli("check", "digits", "--max-wrong", "2.55%", "--confidence", "0.975", code=3).stdout
    assert "(97.5% confidence" in exact
    assert "limit of 2.55 %" in exact
    assert cli("check", "digits", "--max-wrong", "40%").stdout.startswith("Passed: ")
    assert "write 2% for per cent" in cli("check", "digits", "--max-wrong", "2", code=2).stderr
    worst = [image["id"] for image in data["worst"]]
    cli("accept", "digits", *worst, "--why", "checked")
    again = json.loads(cli("check", "digits", "--max-wrong", "2%", "--json", code=3).stdout)
    assert again["accepted"] == 20
    assert not {image["id"] for image in again["worst"]} & set(worst)
    assert again["errors"]["wrong"] < data["errors"]["wrong"] - 15
    assert "give ids, or --kept" in cli("accept", "digits", code=2).stderr
    assert "keep no sample" in cli("accept", "digits", "--kept", code=1).stderr
    labelaudit.Review(audited, "ann").decide(audited.view().ids[:5], "keep")
    assert "5 lines" in cli("accept", "digits", "--kept", "--accepted", "b.csv").stdout


def test_reports_show_hostile_names_as_text(audited):
    result = check_labels(audited, 0.02)
    image = replace(result.worst[0], path="a|<script>\x08`x`\n.png", label="]]>&*b*")
    result = replace(result, worst=[image])
    text = markdown(result)
    assert "<script>" not in text
    assert r"a\|&lt;script&gt;" in text
    assert text.splitlines()[-3].count(" | ") == 4
    assert "]]>&*b*" in ElementTree.fromstring(junit_xml(result)).find(".//failure").text
    shown = [percent(share) for share in (0, 1e-6, 0.012, 0.5, 1)]
    assert shown == ["0 %", "under 0.01 %", "1.2 %", "50 %", "100 %"]


def steps(path) -> list[str]:
    """The shell commands of an example."""
    yaml = pytest.importorskip("yaml")
    content = yaml.safe_load(path.read_text())
    if "jobs" in content:
        return [step["run"] for step in content["jobs"]["labels"]["steps"] if "run" in step]
    if "repos" in content:
        return [content["repos"][0]["hooks"][0]["entry"]]
    return content["labels"]["script"]


@pytest.mark.parametrize(
    "path", sorted((REPO / "examples/gate").glob("*.y*ml")), ids=lambda p: p.name
)
def test_the_commands_of_each_example_are_understood(path, tmp_path):
    """bash runs the example with programs that write down how they are called."""
    calls = tmp_path / "calls"
    for program in ("labelaudit", "pip"):
        script = tmp_path / program
        script.write_text(f'#!/bin/bash\nprintf "%q " {program} "$@" >> {calls}\necho >> {calls}\n')
        script.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": "summary.md"}
    for command in steps(path):
        subprocess.run(["bash", "-e", "-c", command], env=env, check=True)
    called = [shlex.split(line) for line in calls.read_text().splitlines()]
    called = [words[1:] for words in called if words[0] == "labelaudit"]
    assert [words[0] for words in called][:3] == ["load", "audit", "check"]
    for name, *words in called:
        main.get_command(None, name).make_context(name, words)  # raises on an unknown option
