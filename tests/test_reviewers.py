"""Several reviewers: their shares, and how their verdicts are decided."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from labelaudit import (
    LabelAuditError,
    QueueFilter,
    Review,
    apply_verdicts,
    assign,
    list_changes,
    make_queue,
    pending_decisions,
)
from labelaudit.cli import main
from labelaudit.dataset.history import describe
from labelaudit.review.shares import Shares, read_shares

IDS = np.arange(1, 20_001)


def test_each_sample_is_in_one_share_and_the_overlap_in_all():
    shares = Shares(("ann", "ben", "cleo"), 0.2)
    masks = np.stack([shares.mask(name, IDS) for name in shares.reviewers])
    times = masks.sum(0)
    assert set(times) == {1, 3}
    assert (times == 3).mean() == pytest.approx(0.2, abs=0.01)
    assert np.allclose(masks.mean(1), 0.2 + 0.8 / 3, atol=0.015)
    assert (Shares(("ann", "ben"), 0).mask("ann", IDS).sum()) == (
        len(IDS) - Shares(("ann", "ben"), 0).mask("ben", IDS).sum()
    )
    assert Shares(("ann", "ben"), 1).mask("ann", IDS).all()


def test_another_reviewer_takes_samples_and_moves_no_others():
    two, three = Shares(("ann", "ben"), 0.1), Shares(("ann", "ben", "cleo"), 0.1)
    for name in two.reviewers:
        assert not (three.mask(name, IDS) & ~two.mask(name, IDS)).any()


def test_shares_are_stored_and_make_queues(audited):
    whole = make_queue(audited, QueueFilter(checks=True), "ann")
    with pytest.raises(LabelAuditError, match="'ann' has no share of dataset 'digits'"):
        make_queue(audited, QueueFilter(share="ann"), "ann")
    assign("digits", ["ben", "ann"])
    queues = [make_queue(audited, QueueFilter(checks=True, share=n), n) for n in ("ann", "ben")]
    assert sorted([*queues[0].ids, *queues[1].ids]) == sorted(whole.ids)
    place = {sample: at for at, sample in enumerate(whole.ids.tolist())}
    for queue in queues:
        assert queue.checks  # random checks are divided too
        assert queue.checks <= whole.checks
        assert (np.diff([place[sample] for sample in queue.ids.tolist()]) > 0).all()
    with pytest.raises(LabelAuditError, match="reviewers with one are ann, ben"):
        make_queue(audited, QueueFilter(share="cleo"), "cleo")
    assign(audited, [])
    assert read_shares(audited.view().frame) is None


@pytest.mark.parametrize(
    ("names", "overlap", "why"),
    [
        (["ann"], 0, "only reviewer"),
        (["ann", "ben", "ann"], 0, "'ann' is given twice"),
        (["ann", " "], 0, "cannot be a reviewer's name"),
        ("ann", 0, "give a list"),
        (None, 0, "empty list to end"),
        (["ann", "ben"], 1.5, "from 0 to 1"),
        (["ann", "ben"], True, "from 0 to 1"),
        (["ann", "ben"], float("nan"), "from 0 to 1"),
    ],
)
def test_what_cannot_be_shares_is_refused(make_dataset, names, overlap, why):
    with pytest.raises(LabelAuditError, match=why):
        assign(make_dataset(5), names, overlap)


def test_shares_on_the_command_line(make_dataset):
    make_dataset(50)

    def cli(*args) -> dict:
        found = CliRunner().invoke(main, ["assign", "plain", *args, "--json"])
        return json.loads(found.stdout) if found.exit_code == 0 else {"error": found.output}

    data = cli("ann", "ben", "--overlap", "0.2")
    assert list(data["shares"]) == ["ann", "ben"]
    assert data == cli()
    assert sum(data["shares"].values()) > data["samples"] == 50
    assert "--overlap needs the names" in cli("--overlap", "0.5")["error"]
    assert cli("--clear")["shares"] == {} == cli()["shares"]


@pytest.fixture
def judged(make_dataset):
    """Three reviewers on samples 1 to 5, which are c0, c1, c2, c3, c0."""
    dataset = make_dataset(8)
    ann, ben, cleo = (Review(dataset, name) for name in ("ann", "ben", "cleo"))
    ann.decide(1, "relabel", "c3")
    ann.decide(2, "relabel", "c3")
    cleo.decide(1, "relabel", "c3")
    ben.decide([1, 2], "keep")
    ann.decide(3, "remove")
    ben.decide(3, "remove")
    cleo.decide(3, "unsure")  # does not count
    ann.decide(4, "keep")
    ben.decide(4, "relabel", "c0")
    cleo.decide(4, "remove")
    return dataset


@pytest.mark.parametrize(
    ("rule", "relabel", "remove", "open_"),
    [
        ("unanimous", {}, [3], [1, 2, 4]),
        ("majority", {1: "c3"}, [3], [2, 4]),
        ("latest", {}, [3, 4], []),
    ],
)
def test_the_rule_decides_between_reviewers(judged, rule, relabel, remove, open_):
    wanted = pending_decisions(judged, rule=rule)
    becomes = [judged.classes[code] for code in wanted.after]
    assert dict(zip(wanted.relabel.tolist(), becomes, strict=True)) == relabel
    assert (wanted.remove.tolist(), wanted.disagreed.tolist()) == (remove, open_)
    assert apply_verdicts(judged, rule=rule).equals(wanted)
    assert judged.view().match_tag("removed").ids.tolist() == remove
    said = describe(list_changes(judged)[-1])
    assert said.endswith("removed)" if rule == "unanimous" else f"decided by the rule {rule!r})")
    assert {sample: judged[sample].ground_truth for sample in relabel} == relabel


def test_the_disagreements_are_those_that_the_rule_leaves_open(audited):
    first, second = make_queue(audited, QueueFilter(), "ann").ids[:2].tolist()
    for name, verdicts in (("ann", "kk"), ("ben", "xk"), ("cleo", "xx")):
        for sample, verdict in zip((first, second), verdicts, strict=True):
            Review(audited, name).decide(sample, {"k": "keep", "x": "remove"}[verdict])

    def open_(**wanted) -> list[int]:
        return make_queue(audited, QueueFilter(status="disagreed", **wanted), "ann").ids.tolist()

    assert sorted(open_()) == sorted([first, second])
    assert open_(rule="majority") == open_(rule="latest") == []
    with pytest.raises(LabelAuditError, match="no rule 'loudest'"):
        open_(rule="loudest")


def test_a_verdict_on_an_earlier_label_does_not_decide(make_dataset):
    dataset = make_dataset(8)
    Review(dataset, "ann").decide(1, "relabel", "c3")
    dataset.set_labels([1], "c2")
    Review(dataset, "ben").decide(1, "keep")  # c2
    assert pending_decisions(dataset, rule="latest").outdated.tolist() == []
    Review(dataset, "cleo").decide(1, "relabel", "c1")
    dataset.set_labels([1], "c0")
    assert pending_decisions(dataset, rule="latest").outdated.tolist() == [1]
