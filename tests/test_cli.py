from __future__ import annotations

import json
import re
import shlex

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import labelaudit
from labelaudit.cli import main


def cli(*arguments, code: int = 0, **options):
    result = CliRunner().invoke(main, [str(a) for a in arguments], **options)
    assert result.exit_code == code, result.output
    return result


def test_every_command_and_option_is_documented_with_an_example_that_parses():
    for name, command in main.all_commands().items():
        text = cli(name, "--help").stdout
        example = re.search(r"Example:\n\s+labelaudit (.+)", text)
        assert example, name
        words = shlex.split(example[1])
        assert words[0] == name
        command.make_context(name, words[1:])  # raises on an unknown option
        assert command.help, name
        for option in command.params:
            if option.param_type_name == "option":
                assert option.help, f"{name} {option.name}"
        assert "--json" in text or name == "app", name
    assert "Exit codes: 0" in cli("--help").stdout


def test_an_audit_step_by_step(tmp_path, home):
    assert "no datasets yet" in cli("datasets").stdout
    assert "1,797 samples (1,437 train, 360 test), 10 classes" in cli("load", "digits").stdout
    assert "359 of 1,797" in cli("noise", "digits", "--rate", 0.2).stdout
    trained = json.loads(cli("train", "digits", "--epochs", 2, "--run", "mine", "--json").stdout)
    assert trained["epochs"] == 2
    assert "1,797 samples predicted" in cli("predict", "digits").stdout
    assert "mistakenness" in cli("score", "digits", "--run", "mine").stdout
    found = cli("suspects", "digits", "--given", "3", "--csv", tmp_path / "s.csv", "--json")
    data = json.loads(found.stdout)
    table = pd.read_csv(tmp_path / "s.csv")
    assert len(table) == data["suspects"]
    assert set(table.ground_truth) == {3}
    assert [row["id"] for row in data["top"]] == table.id.tolist()[:20]
    exported = cli("export", "digits", tmp_path / "labels.csv")
    assert "1,797 labels" in exported.stdout
    assert "359 of these labels are planted mistakes" in exported.stderr
    assert len(pd.read_csv(tmp_path / "labels.csv")) == 1797
    assert "359 labels restored" in cli("noise", "digits", "--restore").stdout
    listed = json.loads(cli("datasets", "--json").stdout)
    assert listed["datasets"][0]["runs"] == ["mine"]
    assert "deleted" in cli("delete", "digits", "--yes").stdout
    assert labelaudit.list_datasets() == []


def test_audit_prints_what_it_found_and_writes_the_suspects(tmp_path, few_digits):
    result = cli("audit", "digits", "--noise", 0.2, "--epochs", 2, "--csv", tmp_path / "s.csv",
                 "-k", 100)  # fmt: skip
    for part in ("400 samples", "10 classes", "Validation accuracy",
                 "suspects by Suspicion", "Mistakes among the first 100 of each ranking",
                 "average_precision", "0 samples have a duplicate; 0 groups of duplicates with",
                 "so the ranking is shown without them.",  # 40 images of a class are few
                 "Next: review the suspects in the app (labelaudit app)"):  # fmt: skip
        assert part in result.stdout, part
    written = int(re.search(r"([\d,]+) suspects written", result.stdout)[1].replace(",", ""))
    assert len(pd.read_csv(tmp_path / "s.csv")) == written
    data = json.loads(cli("audit", "digits", "--epochs", 1, "--no-first-look", "--json").stdout)
    assert data["run"] == "run-2"
    assert "weakness" in data
    assert {row["score"] for row in data["evaluation"]} >= {"aum", "hardness"}


def test_of_tiny_data_the_ranking_is_printed_without_probabilities(make_dataset):
    dataset = make_dataset(8, classes=2)
    labels = dataset.view().frame.label
    logits = 3 * np.eye(2, dtype=np.float32)[np.where(np.arange(8) == 3, 1 - labels, labels)]
    run = dataset.new_run("r").finish({"classes": dataset.classes})
    run.write_predictions([(dataset.view().ids, logits)])
    labelaudit.compute_scores(dataset)
    listed = cli("suspects", "plain").stdout
    assert listed.startswith("1 suspect\nHalf of the classes have 4 or fewer labelled samples")
    assert "suspicion" not in listed.partition("\n")[2].partition("\n")[2]
    estimated = cli("estimate", "plain").stdout
    assert "The number of wrong labels cannot be estimated either" in estimated
    assert "random check" not in estimated
    assert "0 wrong labels in 0 samples with a verdict, of 8." in estimated
    data = json.loads(cli("estimate", "plain", "--json").stdout)
    assert data["note"].startswith("Half of the classes")
    assert "Random checks so far: 0 of at least 8." in data["advice"]


def test_load_of_own_data_says_what_was_left_out(tmp_path, picture):
    for i in range(3):
        picture(tmp_path / "pets" / f"c{i % 2}" / f"{i}.png")
    (tmp_path / "pets/c0/bad.jpg").write_bytes(b"?")
    text = cli("load", tmp_path / "pets").stdout
    assert "pets: 3 samples, 2 classes" in text
    assert "1 image was skipped:" in text
    assert "bad.jpg: cannot identify" in text


def test_predictions_and_models_of_the_user_are_scored_at_once(tmp_path, digits):
    view = digits.view()
    p = np.full((1797, 10), 0.01)
    p[np.arange(1797), view.frame.label] = 0.91
    p[0] = np.roll(p[0], 3)
    (tmp_path / "names.txt").write_text("".join(f"{name}\n" for name in digits.classes))
    np.savez(tmp_path / "p.npz", probabilities=p[:1000], ids=view.ids[:1000])
    text = cli("import-predictions", "digits", tmp_path / "p.npz", "--classes",
               tmp_path / "names.txt", "--out-of-sample").stdout  # fmt: skip
    for part in ("imported: probabilities of 1,000 samples, out of sample",
                 "1,000 rows of probabilities, matched by id",
                 "Not predicted: 797 of 1,797 samples",
                 "1 suspect; list them with `labelaudit suspects digits"):  # fmt: skip
        assert part in text, part
    np.save(tmp_path / "mixed.npy", p[np.random.default_rng(0).permutation(1797)])
    failed = cli("import-predictions", "digits", tmp_path / "mixed.npy", code=1)
    assert "or --in-order on the command line" in failed.stderr
    stated = cli("import-predictions", "digits", tmp_path / "mixed.npy", "--in-order", "--json")
    assert json.loads(stated.stdout)["by"] == "order"
    both = ["--in-order", "--by", "id"]
    failed = cli("import-predictions", "digits", tmp_path / "mixed.npy", *both, code=2)
    assert "--in-order contradicts --by id" in failed.stderr
    failed = cli("import-predictions", "digits", tmp_path / "p.npz", "--by", "order", code=1)
    assert "p.npz has 1,000 rows and dataset 'digits' 1,797 samples" in failed.stderr
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 10)).eval()
    exported = torch.export.export(model, (torch.zeros(500, 3, 8, 8),))
    torch.export.save(exported, tmp_path / "m.pt2")
    made = cli("predict", "digits", "--model", tmp_path / "m.pt2", "--split", "test", "--json")
    data = json.loads(made.stdout)
    assert (data["run"], data["rows"], data["kind"]) == ("own", 360, "logits")
    assert "suspicion" in data["scores"]
    assert "--kind needs --model" in cli("predict", "digits", "--kind", "logits", code=2).stderr


def test_classes_are_listed_and_changed(few_digits):
    assert "3  " in cli("classes", "digits").stdout
    change = ("classes", "digits", "--rename", "3=three", "--merge", "1=7", "--add", "x")
    assert "Nothing was changed" in cli(*change, "--dry-run").stdout
    assert few_digits.offered_classes == list("0123456789")
    assert "1 merged into 7" in cli(*change, "--who", "ann").stdout
    assert few_digits.offered_classes == ["0", "2", "three", *"456789", "x"]
    failed = cli("classes", "digits", "--rename", "three", code=1)
    assert "write OLD=NEW" in failed.stderr


def test_noise_by_matrix_and_by_pair(tmp_path, home):
    np.savetxt(tmp_path / "m.csv", np.eye(10, k=1), delimiter=",")
    cli("load", "digits")
    cli("noise", "digits", "--rate", 0.1, "--kind", "confusion", "--confusion", tmp_path / "m.csv")
    view = labelaudit.load_dataset("digits").view().match_tag("mistake")
    given, before = view.values("ground_truth"), view.values("original_label")
    assert (given.astype(int) == before.astype(int) + 1).all()
    data = cli("noise", "digits", "--rate", 0.5, "--kind", "pair", "--pair", "3", "8", "--json")
    assert json.loads(data.stdout)["pair"] == ["3", "8"]
    (tmp_path / "bad.csv").write_text("a,b")
    failed = cli("noise", "digits", "--rate", 0.1, "--kind", "confusion", "--confusion",
                 tmp_path / "bad.csv", code=1)  # fmt: skip
    assert "not a matrix of numbers" in failed.stderr


def test_a_training_cut_short_is_resumed_by_name(few_digits):
    def cut(report) -> None:
        if report.epoch == 3:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        labelaudit.train(few_digits, "cut", labelaudit.TrainConfig(epochs=4, threads=1),
                         labelaudit.Task(cut))  # fmt: skip
    assert "cut: 4 epochs" in cli("train", "digits", "--resume", "cut").stdout
    assert few_digits.run("cut").info["config"]["epochs"] == 4
    failed = cli("train", "digits", "--resume", "cut", code=1)
    assert "no run 'cut' that can be resumed" in failed.stderr


def test_jobs_are_listed_and_stopped(few_digits, jobs_in_threads):
    from labelaudit.jobs import manager

    assert "no jobs yet" in cli("jobs").stdout
    job = manager.start("train", "digits", run="mine", split=None,
                     config={"epochs": 5000, "threads": 1})  # fmt: skip
    assert f"{job.id}  running  train digits" in cli("jobs", "digits").stdout
    assert cli("jobs", "pets", "--json").stdout == "[]\n"
    (stopped,) = json.loads(cli("jobs", "--stop", job.id, "--json").stdout)
    assert stopped["status"] in ("stopped", "done")  # done: it had finished an epoch
    assert (stopped["id"], stopped["run"], job.status) == (job.id, "mine", stopped["status"])
    assert "no job 'x'" in cli("jobs", "--stop", "x", code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["load", "/nowhere/at/all"], 1, "does not exist"),
        (["train", "pets"], 1, "no dataset 'pets'"),
        (["suspects", "digits"], 1, "has no predictions yet: take a first look"),
        (["export", "digits", "out.doc"], 1, ".csv"),
        (["noise", "digits", "--rate", "7"], 1, "7.0"),
        (["train", "digits", "--epochs", "0"], 1, "epochs=0"),
        (["predict", "digits"], 1, "train first"),
        (["noise", "digits"], 2, "--rate"),
        (["train", "digits", "--model", "gpt"], 2, "gpt"),
        (["frobnicate"], 2, "No such command"),
        (["delete", "digits"], 1, "Aborted"),
    ],
)
def test_exit_codes_and_one_clear_line_on_stderr(digits, arguments, code, says):
    result = cli(*arguments, code=code, input="")
    assert says in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_import_is_light():
    """`import labelaudit` and `--help` must not load torch."""
    import subprocess
    import sys

    code = "import sys, labelaudit.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_duplicates_are_listed_and_written(tmp_path, picture):
    paths = [
        picture(tmp_path / "p" / split / name / "1.png", seed=seed)
        for split, name, seed in (("train", "a", 1), ("train", "b", 1), ("test", "b", 2))
    ]
    labelaudit.load_dataset("p", tmp_path / "p")
    text = cli("duplicates", "p", "--csv", tmp_path / "d.csv").stdout
    for part in ("with a duplicate: 2 of 3 samples", "1 group with different labels; 1 of exact "
                 "copies", "0 groups in different splits", "2 written to"):  # fmt: skip
        assert part in text, part
    assert re.search(r"conflicts:\n  exact  \d a \(train\), \d b \(train\)", text)
    assert pd.read_csv(tmp_path / "d.csv").filepath.tolist() == [str(path) for path in paths[:2]]
    labelaudit.load_dataset("p").add_samples({"filepath": [str(paths[0])], "label": ["b"],
                                              "split": ["test"]})  # fmt: skip
    data = json.loads(cli("duplicates", "p", "--json", "--limit", 1).stdout)
    assert (data["searched"], data["in_groups"], data["certain"], data["splits"]) == (4, 3, 1, 1)
    assert data["top_conflicts"][0]["labels"] == ["a", "b", "b"]


def test_verdicts_are_listed_applied_and_taken_back(audited):
    first, second = labelaudit.suspects(audited).head(2)
    review = labelaudit.Review(audited, "ann")
    review.decide(first.id, "relabel", first.prediction.label)
    review.decide(second.id, "remove")
    listed = json.loads(cli("verdicts", "digits", "--json").stdout)
    assert [(r["reviewer"], r["relabel"], r["remove"]) for r in listed["reviewers"]] == [
        ("ann", 1, 1)
    ]
    pair = {"ground_truth": first.ground_truth, "becomes": first.prediction.label, "count": 1}
    assert listed["relabel"] == [pair]
    text = cli("apply", "digits", "--dry-run").stdout
    assert "1 sample would be relabelled, 1 removed" in text
    assert labelaudit.Dataset("digits")[first.id].ground_truth == first.ground_truth
    assert "0 samples would be" in cli("apply", "digits", "--by", "bob", "--dry-run").stdout
    applied = json.loads(cli("apply", "digits", "--who", "Bo", "--json").stdout)
    assert (applied["applied"], applied["relabelled"], applied["removed"]) == (True, 1, 1)
    assert labelaudit.Dataset("digits")[first.id].ground_truth == first.prediction.label
    text = cli("history", "digits").stdout
    assert re.search(r"Bo +2  verdicts applied \(1 relabelled, 1 removed\)", text)
    assert (
        "2 samples restored to their state after change 1"
        in cli("history", "digits", "--return-to", 1).stdout
    )
    assert labelaudit.Dataset("digits")[first.id].ground_truth == first.ground_truth
    assert "no change 9" in cli("history", "digits", "--return-to", 9, code=1).output


def test_the_estimate_is_printed_before_and_after_review(audited):
    text = cli("estimate", "digits").stdout
    assert re.match(r"About \d+ \(\d+ to \d+\) of 1,797 labels are wrong; 0 found.\nContinue", text)
    assert "- Nothing is reviewed yet: the number follows from suspicion alone" in text
    assert "Before any review" not in text
    ids = audited.view().sort_by("suspicion", reverse=True).ids
    labelaudit.Review(audited, "ann").decide(ids[:7], "remove")
    assert "of 1,797 labels are wrong; 7 found." in cli("estimate", "digits").stdout
    data = json.loads(cli("estimate", "digits", "--run", "run-1", "--json").stdout)
    assert (data["found"], data["reviewed"], data["open"], data["stop"]) == (7, 7, 1790, False)
    assert data["low"] < data["wrong"] < data["high"] <= data["at_most"]
    assert data["headline"] == labelaudit.estimate_wrong(audited, "run-1").headline()
    assert (data["checks"], data["warning"]) == (0, None)
    assert data["before_review"]["low"] < data["before_review"]["wrong"]
    assert sum(row["found"] for row in data["by_class"]) == 7
    assert {"given", "suggested", "found", "wrong", "low", "high"} == set(data["by_pair"][0])
    assert (data["controls"], len(data["by_class"])) == ({}, 10)


def test_a_list_of_images_by_its_own_label_and_root_then_cleanlabs_issues(tmp_path, picture):
    for i in range(3):
        picture(tmp_path / "far" / f"{i}.png")
    path = tmp_path / "pets/metadata.csv"
    path.parent.mkdir()
    path.write_text("file_name,breed,mood\n0.png,pug,a\n1.png,manx,b\n2.png,pug,a\n")
    assert "name the column with the labels" in cli("load", path, code=1).stderr
    loaded = cli("load", path, "--label", "breed", "--root", tmp_path / "far")
    assert "pets: 3 samples, 2 classes" in loaded.stdout  # named after the folder
    issues = tmp_path / "issues.csv"
    issues.write_text("id,is_label_issue,given_label\n1,True,pug\n2,False,pug\n9,True,pug\n")
    text = cli("import-issues", "pets", issues).stdout
    assert "3 rows, 1 sample changed\n  label_issue: 1 sample\n" in text
    assert "1 sample was relabelled since, and not tagged" in text
    assert "1 row matches no sample: 3" in text
    assert labelaudit.load_dataset("pets").view().match_tag("label_issue").ids.tolist() == [1]
    assert "COCO" in cli("load", "--help").stdout


def test_the_headline_says_how_many_labels_were_corrected(audited):
    ids = audited.view().sort_by("suspicion", reverse=True).ids
    labelaudit.Review(audited, "ann").decide(ids[:7], "remove")
    assert "labels are wrong; 7 found." in cli("estimate", "digits").stdout
    cli("apply", "digits")
    assert "labels were wrong; 7 found, 7 corrected." in cli("estimate", "digits").stdout
