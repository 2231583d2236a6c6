"""The estimate of wrong labels: compared with simulated truth, and as reviewers decide."""

from __future__ import annotations

import numpy as np
import pytest

from labelaudit import (
    LabelAuditError,
    Review,
    apply_verdicts,
    compute_scores,
    estimate_wrong,
    find_duplicates,
    load_arrays,
)
from labelaudit.review.calibration import BINS, SPREAD, binned
from labelaudit.review.estimate import Estimate
from labelaudit.review.estimate_data import AgreedVerdicts, ScoredSamples


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


def suspicion(rng: np.random.Generator, n: int = 3000) -> np.ndarray:
    """Like in a run: most samples are hardly suspicious, some very, some in between."""
    few = n // 12
    return sigmoid(np.concatenate([rng.normal(-5, 1.2, n - few), rng.normal(1.5, 2, few)]))


def look(p: np.ndarray, wrong: np.ndarray, first: int, checks: int, rng) -> Estimate:
    """After reviewing the `first` most suspicious samples, and some of the others at random."""
    bins, at_bin, mean = binned(p)
    n, labels = len(p), np.zeros(len(p), np.int32)
    there = np.ones(n, bool)
    scored = ScoredSamples(
        np.arange(n), labels, bins, there, at_bin, mean, np.ones(n, np.int32), ["a", "b"],
    )  # fmt: skip
    order = np.argsort(-p)
    at = np.sort(np.concatenate([order[:first], rng.permutation(order[first:])[:checks]]))
    found = at[wrong[at]]
    said = AgreedVerdicts(at, at, wrong[at], found, found, np.ones(len(found), np.int64))
    return Estimate(scored, said if len(at) else None)


WORLDS = {
    "as it says": lambda p, rng: p,
    "as uncertain as it says": lambda p, rng: sigmoid(
        rng.normal(0, SPREAD[0]) + rng.normal(1, SPREAD[1]) * logit(p)
    ),
    "far too sure": lambda p, rng: sigmoid(-0.7 + 0.7 * logit(p)),
    "a tired reviewer keeps one wrong label in five": lambda p, rng: np.minimum(p, 0.8),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("first", "checks"), [(0, 0), (150, 8), (300, 15)])
def test_the_interval_holds_the_truth_nine_times_of_ten(world, first, checks):
    inside = []
    for seed in range(100):
        rng = np.random.default_rng([seed, first])
        p = suspicion(rng)
        wrong = rng.random(len(p)) < WORLDS[world](p, rng)
        found = look(p, wrong, first, checks, rng)
        inside.append(found.low <= wrong.sum() <= found.high)
    assert np.mean(inside) >= 0.9


def test_verdicts_sharpen_it_and_correct_what_it_says():
    widths, errors = [], []
    for seed in range(20):
        rng = np.random.default_rng([4, seed])
        p = suspicion(rng)
        wrong = rng.random(len(p)) < WORLDS["as uncertain as it says"](p, rng)
        steps = [look(p, wrong, *many, rng) for many in [(0, 0), (200, 10), (500, 200)]]
        widths.append([each.high - each.low for each in steps])
        errors.append([abs(each.wrong - wrong.sum()) for each in steps])
    before, some, many = np.mean(widths, axis=0)
    assert before > 1.15 * some
    assert some > 1.3 * many
    assert np.mean(errors, axis=0)[2] < np.mean(errors, axis=0)[0] / 2


def test_before_any_verdict_it_is_what_the_suspicions_add_up_to():
    rng = np.random.default_rng(1)
    p = suspicion(rng)
    found = look(p, rng.random(len(p)) < p, 0, 0, rng)
    assert found.wrong == pytest.approx(p.sum(), rel=0.08)
    assert (found.found, found.reviewed, found.open) == (0, 0, len(p))
    assert found.low < p.sum() < found.high
    assert found.next(0) == 0
    # not p.max() each: g allows for lapses, of a hundredth or so
    assert found.next(50) == pytest.approx(np.sort(p)[-50:].sum(), rel=0.06)
    assert found.next(10**9) == pytest.approx(found.expected_in(np.arange(len(p))))


def test_only_random_checks_tell_what_the_ranking_misses():
    """If 10 of 200 randomly drawn samples are wrong, a twentieth of all of them is."""
    rng = np.random.default_rng(2)
    p = suspicion(rng)
    order = np.argsort(-p)
    wrong = rng.random(len(p)) < p
    wrong[order[300:]] = False
    clean = look(p, wrong, 300, 200, np.random.default_rng(5))
    checked = np.random.default_rng(5).permutation(order[300:])[:200]
    wrong[checked[:10]] = True
    hidden = look(p, wrong, 300, 200, np.random.default_rng(5))
    assert hidden.found == clean.found + 10
    assert hidden.left > clean.left + 40
    assert hidden.high > hidden.found + 0.05 * 2500
    assert clean.left < 30
    assert hidden.next(50) < 6  # they are not where suspicion is


def test_one_verdict_against_a_sure_suspicion_does_not_decide_on_all():
    rng = np.random.default_rng(3)
    p = suspicion(rng)
    wrong = rng.random(len(p)) < p
    order = np.argsort(-p)
    wrong[order[:40]] = True
    all_right = look(p, wrong, 40, 0, rng)
    wrong[order[0]] = False
    one_kept = look(p, wrong, 40, 0, rng)
    assert one_kept.found == 39
    assert one_kept.left == pytest.approx(all_right.left, rel=0.1)


@pytest.mark.parametrize("p", [[0.0, 1.0], [0.0] * 50, [1.0] * 50, [0.5], []])
def test_suspicions_at_the_ends_and_none_at_all(p):
    p = np.array(p)
    found = look(p, p > 0.5, 0, 0, np.random.default_rng(0))
    assert found.low <= found.wrong <= found.high <= len(p)
    assert found.wrong == pytest.approx(p.sum(), abs=1)
    assert found.sentence().startswith("An estimated")
    if len(p) > 1:
        done = look(p, p > 0.5, len(p), 0, np.random.default_rng(0))
        assert (done.left, done.open, done.low) == (0, 0, done.high)
        assert done.advice() == (True, "All samples are decided.")


def test_bins_keep_the_sum():
    p = suspicion(np.random.default_rng(0))
    bins, at_bin, mean = binned(p)
    counts = np.bincount(bins, minlength=BINS)
    assert (counts * sigmoid(at_bin)).sum() == pytest.approx(p.clip(1e-6, 0.998).sum())
    assert mean == pytest.approx(p.clip(1e-6, 0.998).mean())
    assert (np.diff(at_bin) > 0).all()


def test_words():
    rng = np.random.default_rng(1)
    p = suspicion(rng)
    found = look(p, rng.random(len(p)) < p, 100, 0, rng)
    found.found, found.wrong, found.low, found.high = 190, 204.6, 195.0, 221.0
    assert found.sentence(6.2) == (
        "You have found 190 of an estimated 205 wrong labels (195 to 221). The next 50 samples are "
        "expected to contain 6."
    )
    assert found.sentence(0.7, who="Together you have").endswith("contain fewer than one.")
    assert ". The next sample is expected" in found.sentence(1, 1)
    assert found.advice(0.7)[0]  # not worth looking at 50
    stop, words = found.advice(20)
    assert (stop, words.split(":")[0]) == (False, "Continue")
    assert found.advice(20, queued=found.until()) == (stop, words)
    few = found.advice(20, queued=3)[1]
    assert few.endswith(" more samples, 3 in this queue and the rest under “All samples”.")
    found.wrong = 195
    assert found.advice(20) == (
        True,
        "You can stop: 95 % of the wrong labels are found; "
        f"about {found.left:,.0f} wrong labels are left among 2,900 samples.",
    )
    assert found.advice(0, 0)[1].startswith("This queue is finished; about")


# --- in a dataset ---


def test_verdicts_count_while_they_stand_and_agree(audited):
    view = audited.view().sort_by("suspicion", reverse=True)
    first, second, third, fourth = view.head(4)
    before = estimate_wrong(audited)
    assert before is estimate_wrong(audited)  # nothing changed
    assert (before.found, before.reviewed) == (0, 0)
    ann, bob = Review(audited, "ann"), Review(audited, "bob")
    ann.decide(first.id, "relabel", first.prediction.label)
    ann.decide(second.id, "remove")
    ann.decide(third.id, "unsure")
    found = estimate_wrong(audited)
    assert (found.found, found.reviewed, found.open) == (2, 2, before.open - 2)
    assert found.expected_in([first.id, second.id]) == 0
    assert found.expected_in([third.id]) > 0.5
    assert found.expected_in([third.id, 10**9]) == found.expected_in([third.id])
    bob.decide(second.id, "keep")  # they disagree
    assert (estimate_wrong(audited).found, estimate_wrong(audited).reviewed) == (1, 1)
    bob.undo()
    ann.decide(fourth.id, "keep")
    kept = estimate_wrong(audited)
    assert (kept.found, kept.reviewed) == (2, 3)
    assert kept.left < found.left
    ann.undo()
    assert estimate_wrong(audited).wrong == found.wrong
    assert estimate_wrong(audited, reviewed=False).wrong == before.wrong


def test_what_is_applied_still_counts_as_found(audited):
    samples = audited.view().sort_by("suspicion", reverse=True).head(30)
    review = Review(audited, "ann")
    for sample in samples[:28]:
        review.decide(sample.id, "relabel", sample.prediction.label)
    review.decide([sample.id for sample in samples[28:]], "remove")
    found = estimate_wrong(audited)
    apply_verdicts(audited)
    after = estimate_wrong(audited)
    for name in ("found", "reviewed", "open", "wrong", "low", "high"):
        assert getattr(after, name) == getattr(found, name), name
    # scored again, these labels are right and decided: neither wrong nor left
    compute_scores(audited)
    again = estimate_wrong(audited)
    assert (again.found, again.open) == (30, found.open)


def test_what_was_taken_out_or_relabelled_by_hand_is_not_waited_for(audited):
    before = estimate_wrong(audited)
    ids = audited.view().sort_by("suspicion", reverse=True).ids
    others = ids[5:8]
    audited.tag(ids[:5], "removed")
    given = audited.view().select(others).values("ground_truth")
    audited.set_labels(others, "1")
    after = estimate_wrong(audited)
    changed = 8 - sum(label == "1" for label in given)
    assert after.open == before.open - changed
    assert after.left < before.left - 3
    assert after.found == 0


def test_by_class_and_pair_it_is_the_same_sum(audited):
    view = audited.view().sort_by("suspicion", reverse=True)
    first = view.head(1)[0]
    Review(audited, "ann").decide(first.id, "relabel", first.prediction.label)
    found = estimate_wrong(audited)
    classes, pairs = found.by_class, found.by_pair
    assert classes["wrong"].sum() == pytest.approx(found.wrong)
    assert classes["samples"].sum() == len(audited)
    assert set(classes["class"]) == set(audited.classes)
    assert (classes["wrong"].diff().dropna() <= 0).all()
    for table in (classes, pairs):
        assert (table["low"] <= table["wrong"] + 1).all()
        assert (table["wrong"] <= table["high"] + 1).all()
        assert table["found"].sum() == 1
    assert pairs["wrong"].sum() == pytest.approx(found.wrong, rel=0.15)
    assert (pairs["given"] != pairs["suggested"]).all()
    row = pairs[(pairs["given"] == first.ground_truth)
                & (pairs["suggested"] == first.prediction.label)]  # fmt: skip
    assert row["found"].tolist() == [1]
    assert classes.set_index("class").loc[first.ground_truth, "found"] == 1


def test_the_verdicts_on_a_class_tell_of_that_class(audited):
    given = estimate_wrong(audited).by_class["class"].iloc[0]
    ids = audited.view().match(label=given).sort_by("suspicion", reverse=True).ids[:20]
    before = estimate_wrong(audited).by_class.set_index("class")["wrong"]
    Review(audited, "ann").decide(ids, "keep")
    after = estimate_wrong(audited).by_class.set_index("class")["wrong"]
    assert after[given] / before[given] < after.drop(given).sum() / before.drop(given).sum()


def test_a_run_without_suspicion_says_so(make_dataset):
    dataset = make_dataset(4)
    run = dataset.new_run().finish({"classes": dataset.classes})
    run.write_predictions([(dataset.view().ids, np.eye(4, dtype=np.float32))])
    with pytest.raises(LabelAuditError, match="has no suspicion yet: score the run"):
        estimate_wrong(dataset)


def test_removing_a_copy_says_nothing_of_its_label(home):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 16, 16, 3), np.uint8)
    images[30:] = images[:30]
    dataset = load_arrays("copies", images, np.arange(60) % 2, classes=["a", "b"])
    ids = dataset.view().ids
    run = dataset.new_run().finish({"classes": dataset.classes})
    run.write_predictions([(ids, np.zeros((60, 2), np.float32))])
    run.write_scores(ids, dataset.view().frame.label, {"suspicion": np.full(60, 0.1)})
    Review(dataset, "ann").decide(ids[30:40], "remove")
    assert estimate_wrong(dataset).found == 10
    find_duplicates(dataset)
    after = estimate_wrong(dataset.__class__("copies"))
    assert after.found == 0


def test_a_sample_without_label_that_a_reviewer_names_breaks_no_table(audited):
    unlabelled = int(audited.view().sort_by("suspicion", reverse=True).ids[0])
    audited.set_labels([unlabelled], None)
    compute_scores(audited)
    Review(audited, "ann").decide(unlabelled, "relabel", "3")
    found = estimate_wrong(audited)
    assert found.by_class["found"].sum() == found.by_pair["found"].sum() == 0
