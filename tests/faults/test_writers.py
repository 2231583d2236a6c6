"""Two processes change the same dataset at the same time: every change is stored, once."""

from __future__ import annotations

import os
from collections import Counter

import killing
import numpy as np
import pytest
from operations import NAME

import labelaudit
from labelaudit import Dataset, Review
from labelaudit.dataset import verdict_log

pytestmark = pytest.mark.system

ROUNDS = 6


def work(folder: str, who: int, start, pipe) -> None:
    """Odd and even samples: labels, tags, verdicts, scores and new samples, all mixed."""
    os.environ["LABELAUDIT_HOME"] = folder
    dataset = Dataset(NAME)
    review, own = Review(dataset, f"r{who}"), np.arange(1 + who, 41, 2)
    start.wait()
    added, batches = [], []
    for i in range(ROUNDS):
        dataset.tag(own, f"t{who}-{i}")
        dataset.set_labels(own[i * 3 : i * 3 + 3], ["flat", "tall"][i % 2])
        batches.append(review.decide(own[:4].tolist(), "keep"))
        added += dataset.add_samples(
            {"filepath": [f"/{who}/{i}.png"], "label": [f"class {who}-{i}"], "tags": [["new"]]}
        )
        if i % 3 == who:
            labelaudit.compute_scores(dataset, "run-1", [("aum", "hardness")[who]])
    pipe.send((added, batches))


def test_nothing_is_lost_and_no_id_is_given_twice(prepared, tmp_path, monkeypatch):
    folder = killing.copy(prepared, tmp_path / "home")
    monkeypatch.setenv("LABELAUDIT_HOME", str(folder))
    dataset = Dataset(NAME)
    labels_before, history_before = dataset.view().values("ground_truth"), len(history(dataset))
    start = killing.CONTEXT.Barrier(2)
    pipes = [killing.CONTEXT.Pipe(duplex=False) for _ in range(2)]
    workers = [
        killing.CONTEXT.Process(target=work, args=(str(folder), who, start, pipes[who][1]))
        for who in range(2)
    ]
    for worker in workers:
        worker.start()
    said = []
    for worker, (here, _) in zip(workers, pipes, strict=True):
        assert here.poll(killing.WAIT)
        said.append(here.recv())
        worker.join(killing.WAIT)
        assert worker.exitcode == 0

    dataset = Dataset(NAME)
    ids = dataset.view().ids
    added = said[0][0] + said[1][0]
    assert sorted(added) == list(range(41, 41 + 2 * ROUNDS))
    assert ids.tolist() == list(range(1, 41 + 2 * ROUNDS))
    store = dataset.view().store
    for table in ("samples", "annotations", "verdicts", "history", "scores-2", "runs", "meta"):
        stored = Counter(store.read(table, ["id"])["id"].to_pylist())
        assert max(stored.values()) == 1, table
    for who in range(2):
        for i in range(ROUNDS):
            name = f"class {who}-{i}"
            sample = dataset[said[who][0][i]]
            assert (sample.ground_truth, sample.filepath) == (name, f"/{who}/{i}.png")
            tagged = dataset.view().match_tag(f"t{who}-{i}").ids
            assert tagged.tolist() == list(range(1 + who, 41, 2))
    wanted = labels_before.copy()
    for who in range(2):
        for i in range(ROUNDS):
            wanted[np.arange(1 + who, 41, 2)[i * 3 : i * 3 + 3] - 1] = ["flat", "tall"][i % 2]
    assert dataset.view().values("ground_truth")[:40].tolist() == wanted.tolist()
    log = verdict_log.read(dataset.view().frame)
    for who, (_, batches) in enumerate(said):
        assert len(set(batches)) == ROUNDS
        for batch in batches:
            rows = log.batch == batch
            assert log.sample[rows].tolist() == [1 + who, 3 + who, 5 + who, 7 + who]
            assert {log.reviewers[code] for code in log.reviewer[rows]} == {f"r{who}"}
    lines = history(dataset)[history_before:]
    kinds = Counter(line.kind for line in lines)
    assert kinds["tag"] == 2 * ROUNDS
    assert [line.id for line in lines] == list(
        range(history_before + 1, history_before + 1 + len(lines))
    )
    # and each change can be taken back to the state before all
    labelaudit.return_to(dataset, history_before)
    assert dataset.view().values("ground_truth")[:40].tolist() == labels_before.tolist()


def history(dataset: Dataset) -> list:
    return labelaudit.list_changes(dataset)
