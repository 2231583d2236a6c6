"""Issues that cleanlab's Datalab finds become tags. Datalab needs the package `datasets`."""

from __future__ import annotations

import numpy as np
import pytest

import labelaudit

pytest.importorskip("datasets")


def test_datalab(tmp_path, make_dataset):
    from cleanlab import Datalab

    dataset = make_dataset(60, 3)
    given = dataset.view().values("ground_truth").tolist()
    p = np.full((60, 3), 0.05)
    p[np.arange(60), np.arange(60) % 3] = 0.9
    p[[7, 31]] = np.roll(p[[7, 31]], 1, axis=1)
    lab = Datalab({"label": given}, label_name="label", verbosity=0)
    lab.find_issues(pred_probs=p, features=np.random.default_rng(0).normal(size=(60, 4)))
    lab.get_issues().to_csv(tmp_path / "all.csv")
    lab.get_issues("label").query("is_label_issue").to_csv(tmp_path / "label.csv")
    report = labelaudit.import_issues(dataset, tmp_path / "all.csv")
    assert report["tags"]["label_issue"] == 2
    assert {"outlier_issue", "near_duplicate_issue"} <= report["tags"].keys()
    assert dataset.view().match_tag("label_issue").ids.tolist() == [8, 32]
    report = labelaudit.import_issues(dataset, tmp_path / "label.csv")
    assert report == {"rows": 2, "tags": {"label_issue": 2}, "changed": 0, "outdated": 0,
                      "unmatched": {"count": 0, "rows": []}}  # fmt: skip
