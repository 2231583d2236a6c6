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
    suspects,
)
from labelaudit.review.blind_controls import Answers
from labelaudit.review.checks import Population, random_order, with_checks
from labelaudit.review.estimate import Estimate
from labelaudit.review.estimate_data import AgreedVerdicts, ScoredSamples
from labelaudit.review.proof import LEAST_CHECKS
from labelaudit.review.reviewer_errors import ReviewerErrors
from labelaudit.scores.self_test import SelfTest


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def suspicion(rng: np.random.Generator, n: int = 2000) -> np.ndarray:
    """Like in a run: most samples are hardly suspicious, some very, some in between."""
    few = n // 12
    return sigmoid(np.concatenate([rng.normal(-5, 1.2, n - few), rng.normal(1.5, 2, few)]))


class Simulated:
    """A review of samples with suspicions p, of which those in `wrong` have a wrong label."""

    def __init__(self, p: np.ndarray, wrong: np.ndarray, seed: int = 0, test=None) -> None:
        n = len(p)
        self.p, self.wrong, self.test = p, wrong, test
        ids, labels = np.arange(n), np.zeros(n, np.int32)
        order = random_order(ids, seed)
        self.scored = ScoredSamples(
            ids, labels, p, np.ones(n, bool), np.ones(n, np.int32), ["a", "b"], order,
            p > 0.1, np.full(n, -1),
        )  # fmt: skip
        suspects = np.flatnonzero(p > 0.1)
        suspects = suspects[np.argsort(-p[suspects], kind="stable")]
        self.queue, self.is_check = with_checks(suspects, order)
        self.before = Estimate(self.scored, None, self_test=test)

    def said_of(self, at: np.ndarray, said=None, errors=None, undecided=()) -> Estimate:
        at = np.sort(at)
        wrong = (self.wrong if said is None else said)[at]
        found = at[wrong]
        verdicts = AgreedVerdicts(
            at, at, wrong, found, found, found * 0, found * 0 + 1,
            np.array(undecided, np.int64),
        )  # fmt: skip
        return Estimate(self.scored, verdicts, errors, self.test, self.before)

    def after(self, verdicts: int, **more) -> Estimate:
        return self.said_of(self.queue[:verdicts], **more)

    def hide(self, share: float, rng) -> Simulated:
        """The same, where suspicion does not see a share of the wrong labels."""
        at = rng.permutation(np.flatnonzero(self.wrong))
        at = at[: round(share * len(at))]
        p = self.p.copy()
        p[at] = rng.choice(self.p[~self.wrong], len(at))
        return Simulated(p, self.wrong)


WORLDS = {
    "as it says": lambda p, rng: p,
    "far too sure": lambda p, rng: sigmoid(-0.7 + 0.7 * np.log(p / (1 - p))),
    "all labels are right": lambda p, rng: np.minimum(p, 0.0),
    "three times as many wrong": lambda p, rng: np.minimum(3 * p, 1),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("verdicts", [50, 400])
def test_the_interval_holds_the_truth_nine_times_of_ten(world, verdicts):
    inside = []
    for seed in range(30):
        rng = np.random.default_rng([seed, verdicts])
        p = suspicion(rng)
        wrong = rng.random(len(p)) < WORLDS[world](p, rng)
        found = Simulated(p, wrong, seed).after(verdicts)
        inside.append(found.low <= wrong.sum() <= found.high)
    assert np.mean(inside) >= 0.9


def test_the_interval_holds_after_100_checks_where_suspicion_sees_nothing():
    inside = []
    for seed in range(30):
        rng = np.random.default_rng([seed, 9])
        p = suspicion(rng)
        wrong = rng.random(len(p)) < p
        hidden = Simulated(p, wrong, seed).hide(0.5, rng)
        found = hidden.said_of(hidden.scored.order[:100])
        inside.append(found.low <= wrong.sum() <= found.high)
        assert found.high <= hidden.before.high
    assert np.mean(inside) >= 0.9


def test_the_interval_ends_no_lower_than_the_checks_allow():
    p = np.where(np.arange(2000) < 100, 0.97, 1e-4)
    review = Simulated(p, p > 0.5)
    low = review.scored.order[p[review.scored.order] <= 0.1]
    for checks in (100, 300, 1000):
        found = review.said_of(np.union1d(np.flatnonzero(p > 0.5), low[:checks]))
        bound = min((1 - 0.025 ** (1 / checks)) * (1900 - checks), review.before.high - 100)
        assert found.high - found.found == pytest.approx(bound, rel=0.05)


def test_verdicts_narrow_it_down():
    widths, errors = [], []
    for seed in range(10):
        rng = np.random.default_rng([4, seed])
        p = suspicion(rng)
        wrong = rng.random(len(p)) < sigmoid(0.5 + np.log(p / (1 - p)))
        review = Simulated(p, wrong, seed)
        steps = [review.before, review.after(200), review.after(900)]
        widths.append([each.high - each.low for each in steps])
        errors.append([abs(each.wrong - wrong.sum()) for each in steps])
    before, some, many = np.mean(widths, axis=0)
    assert before > 1.5 * some > 3 * many
    assert np.mean(errors, axis=0)[2] < np.mean(errors, axis=0)[0] / 2


def test_before_any_verdict_it_is_about_what_the_suspicions_add_up_to():
    rng = np.random.default_rng(1)
    p = suspicion(rng)
    found = Simulated(p, rng.random(len(p)) < p).before
    assert found.wrong == pytest.approx(p.sum(), rel=0.15)
    assert (found.found, found.reviewed, found.open, found.checks) == (0, 0, len(p), 0)
    assert found.low < p.sum() < found.high
    assert found.by_stratum["left"].sum() == pytest.approx(found.wrong, rel=0.2)
    assert found.by_stratum["samples"].sum() == len(p)


def test_random_checks_tell_what_suspicion_misses():
    """If 10 of 200 random checks are wrong, a twentieth of all unsuspected labels is."""
    rng = np.random.default_rng(2)
    p = suspicion(rng)
    wrong = (rng.random(len(p)) < p) & (p > 0.1)
    clean = Simulated(p, wrong)
    at = clean.scored.order[:200]
    clean = clean.said_of(at)
    wrong[at[p[at] <= 0.1][:10]] = True
    hidden = Simulated(p, wrong).said_of(at)
    assert hidden.found == clean.found + 10
    assert hidden.left > clean.left + 40
    # chosen samples are no evidence about the others of low suspicion
    chosen = np.setdiff1d(np.flatnonzero(wrong & (p <= 0.1)), at[:1])
    assert Simulated(p, wrong).said_of(chosen).left < clean.left + 30


def test_only_the_beginning_of_the_order_counts_however_it_was_reached():
    rng = np.random.default_rng(3)
    p = suspicion(rng)
    review = Simulated(p, rng.random(len(p)) < p)
    order = review.scored.order
    assert review.said_of(order[:70]).checks == 70
    assert review.said_of(np.delete(order[:70], 20)).checks == 20  # one was skipped, or undone
    assert review.said_of(order[100:]).checks == 0
    assert review.said_of(np.delete(order[:70], 20), undecided=[order[20]]).checks == 69
    assert review.said_of(order).checks == len(p)
    skipped = review.said_of(np.delete(order[:70], 20))
    assert "A random check is still open (you skipped it" in skipped.advice()[1]
    assert "skipped" not in review.after(100).advice()[1]


def test_every_fifth_of_the_queue_is_a_check_and_only_checks_follow_the_suspects():
    suspects, order = np.arange(100, 140), np.concatenate([[139, 100], np.arange(60)])
    queue, is_check = with_checks(suspects, order)
    assert len(set(queue.tolist())) == len(queue) == 40 + 60
    assert queue[:10].tolist() == [100, 101, 102, 103, 139, 104, 105, 106, 107, 108]
    assert is_check[:14].tolist() == [False] * 4 + [True] + [False] * 8 + [True]
    assert queue[13] == 0  # the suspect 100 had been shown already
    assert set(queue[~is_check].tolist()) == set(range(101, 139)) | {100}
    assert is_check[-40:].all()
    assert with_checks(suspects[:0], order)[0].tolist() == order.tolist()


# --- what the checks prove ---


def test_the_bound_of_the_checks_holds_whenever_somebody_looks():
    """Hidden errors, and a reviewer who stops at the best moment: 1 of 20 may be wrong."""
    broken, population = 0, Population(600, 0.003)
    for seed in range(60):
        rng = np.random.default_rng([5, seed])
        hits = np.cumsum(rng.permutation(np.arange(600) < 24))
        most = [population.most_wrong(n, int(hits[n - 1])) for n in range(10, 600, 15)]
        broken += min(most) < 24
    assert broken <= 5


def test_stopping_needs_checks_and_what_they_prove():
    p = np.where(np.arange(1500) < 300, 0.97, 0.002)
    wrong = np.arange(1500) < 290
    review = Simulated(p, wrong)
    suspects = np.flatnonzero(p > 0.1)
    order = review.scored.order
    some = review.said_of(suspects)  # all are found, but nobody knows
    stop, words = some.advice()
    assert not stop
    assert some.proof.share < 0.5
    assert f"of at least {LEAST_CHECKS}" in words
    stops = [review.said_of(np.union1d(suspects, order[:n])).advice()[0] for n in (59, 200, 900)]
    assert stops == [False, False, True]
    # as many more checks as it says are enough, and fewer are not
    part = review.said_of(np.union1d(suspects, order[:150]))
    more = part.proof.needed
    low = order[p[order] <= 0.1]
    done = int((p[order[:150]] <= 0.1).sum())
    assert review.said_of(np.union1d(suspects, low[: done + more])).proof.is_enough
    assert not review.said_of(np.union1d(suspects, low[: done + more - 1])).proof.is_enough
    assert f"if about {-(-more // 50) * 50:,} more random checks find no wrong" in part.advice()[1]


def test_without_suspects_it_never_says_stop_before_all_is_seen():
    p = np.full(400, 0.01)
    review = Simulated(p, np.zeros(400, bool))
    assert review.before.advice()[1].startswith("Continue: at least 60 more random checks")
    found = review.said_of(review.scored.order[:200])
    stop, words = found.advice()
    assert not stop
    assert words.startswith(
        "Continue: if about 50 more random checks find no wrong label, at most 1"
    )
    assert any(f"at most {found.proof.most} labels are wrong" in s for s in found.explanation())
    assert 1 <= found.proof.most <= 8
    clean = review.said_of(review.scored.order[:300])
    assert clean.advice() == (
        True,
        "You can stop: at most 4 of 400 labels (1%) are wrong, with 95% confidence (300 random "
        "checks).",
    )
    assert clean.proof.most <= 4
    some = Simulated(p, np.arange(400) < 5)  # not clean: 5 are wrong
    assert not some.said_of(np.union1d(np.arange(5), review.scored.order[:390])).advice()[0]
    assert review.said_of(review.scored.order).advice() == (True, "All samples are decided.")


def test_the_number_of_further_checks_does_not_jump():
    p = np.where(np.arange(2000) < 400, 0.9, 0.004)
    review = Simulated(p, p > 0.5)
    suspects = 400
    needed = [review.after(suspects + n).proof.needed for n in range(80, 130)]
    assert None not in needed
    assert (np.abs(np.diff(needed)) <= 1).all()


def test_a_large_population_is_bounded_quickly():
    large = Population(1_000_000, 0.001)
    assert large.most_wrong(0, 0) == 1_000_000
    most = [large.most_wrong(1000, hits) for hits in (0, 1, 10, 100)]
    assert most == sorted(most)
    assert 3_000 < most[0] < 8_000
    assert 110_000 < most[3] < 140_000
    for hits in (0, 10):
        assert large.excludes(large.most_wrong(500, hits), 500, hits)
        assert not large.excludes(large.most_wrong(500, hits) - 1, 500, hits)
    assert Population(0, 0.0).most_wrong(0, 0) == 0


# --- reviewers who err ---


def test_measured_mistakes_of_the_reviewer_are_allowed_for():
    rng = np.random.default_rng(10)
    p = np.where(np.arange(2000) < 200, 0.9, 0.005)
    wrong = rng.random(2000) < p
    said = np.where(wrong, rng.random(2000) > 0.1, rng.random(2000) < 0.05)
    review = Simulated(p, wrong)
    blind = review.after(600, said=said)
    errors = ReviewerErrors.of([Answers(40, 4, 40, 2, 0), Answers(20, 2, 20, 1, 1)])
    measured = review.after(600, said=said, errors=errors)
    assert not blind.low <= wrong.sum() <= blind.high
    assert measured.low <= wrong.sum() <= measured.high
    assert measured.proof.share < blind.proof.share
    stop, words = measured.advice()
    assert not stop
    assert "95% cannot be shown: 6 of 60 wrong labels in blind controls were missed" in words
    assert any("assumed to make no mistakes" in line for line in blind.explanation())
    assert any("6 of 60 wrong labels were missed" in line for line in measured.explanation())


def test_keeping_everything_is_noticed():
    p = np.where(np.arange(1000) < 100, 0.9, 0.002)
    review = Simulated(p, p > 0.5)
    kept = review.after(500, said=np.zeros(1000, bool))
    stop, words = kept.advice()
    assert not stop
    assert words.startswith("100 of 100 labels that suspicion calls wrong were kept")
    errors = ReviewerErrors.of([Answers(25, 25, 25, 0, 0)])
    measured = review.after(500, said=np.zeros(1000, bool), errors=errors)
    assert measured.low <= 100 <= measured.high
    assert errors.missed.mean() > 0.9
    assert errors.alarms.mean() < 0.05


# --- the self-test ---


def test_a_failed_self_test_widens_the_interval():
    rng = np.random.default_rng(11)
    p = suspicion(rng)
    wrong = rng.random(len(p)) < p
    good = Simulated(p, wrong, test=SelfTest(1000, 900.0, 980, 0.9)).before
    missed = Simulated(p, wrong, test=SelfTest(1000, 500.0, 900, 0.9)).before
    doubt = Simulated(p, wrong, test=SelfTest(1000, 900.0, 980, 0.2)).before
    assert good.warning is None
    assert "50% on average, less than the 90%" in missed.warning
    assert missed.high > good.high
    assert doubt.low < good.low
    assert any(line.startswith("Self-test: of 1,000 labels") for line in good.explanation())


# --- words ---


@pytest.mark.parametrize("p", [[0.0, 1.0], [0.0] * 50, [1.0] * 50, [0.5], []])
def test_suspicions_at_the_ends_and_none_at_all(p):
    p = np.array(p)
    review = Simulated(p, p > 0.5)
    found = review.before
    assert 0 <= found.low <= found.wrong <= found.high <= len(p)
    assert found.headline().startswith("About ")
    assert found.explanation()
    if len(p) > 1:
        done = review.said_of(np.arange(len(p)))
        assert (done.left, done.open, done.low) == (0, 0, done.high)
        assert done.advice() == (True, "All samples are decided.")


def test_words():
    rng = np.random.default_rng(1)
    p = suspicion(rng)
    found = Simulated(p, rng.random(len(p)) < p).after(100)
    found.found, found.wrong, found.low, found.high = 190, 1204.6, 195.0, 2210.0
    assert found.headline() == "About 1,205 (195 to 2,210) of 2,000 labels are wrong; 190 found."
    assert repr(found) == f"Estimate({found.headline()})"
    found.wrong = 1.2
    assert "of 2,000 labels is wrong" in found.headline()
    words = found.advice()[1]
    assert words.startswith("Continue: ")
    assert " suspects left, mixed with random checks. Random checks so far: 2" in words


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
    for table, key in (("by_class", ["class"]), ("by_pair", ["given", "suggested"])):
        counts = [getattr(each, table).set_index(key)["found"] for each in (found, again)]
        counts = [each[each > 0].sort_index().to_dict() for each in counts]
        assert counts[0] == counts[1], table


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
    before = estimate_wrong(audited).by_class.set_index("class")["wrong"]
    right, wrong = before.index[:2]
    for given, verdict in ((right, "keep"), (wrong, "remove")):
        ids = audited.view().match(label=given).sort_by("suspicion", reverse=True).ids[:15]
        Review(audited, "ann").decide(ids, verdict)
    table = estimate_wrong(audited).by_class.set_index("class")
    left = (table["wrong"] - table["found"]) / before
    assert left[right] < left.drop([right, wrong]).mean()


def test_a_run_without_suspicion_says_so(make_dataset):
    dataset = make_dataset(4)
    run = dataset.new_run().finish({"classes": dataset.classes})
    run.write_predictions([(dataset.view().ids, np.eye(4, dtype=np.float32))])
    with pytest.raises(LabelAuditError, match="has no suspicion yet: score the run"):
        estimate_wrong(dataset)


def copies(labels: np.ndarray):
    """60 images, of which 30 are copies of the others, with a run that suspects none of them."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 16, 16, 3), np.uint8)
    images[30:] = images[:30]
    dataset = load_arrays("copies", images, labels, classes=["a", "b", "c"])
    ids = dataset.view().ids
    run = dataset.new_run().finish({"classes": dataset.classes})
    run.write_predictions([(ids, np.eye(3, dtype=np.float32)[labels])])
    run.write_scores(ids, dataset.view().frame.label, {"suspicion": np.full(60, 0.001)})
    return dataset, ids


def test_copies_under_different_labels_are_certain_errors(home):
    labels = np.zeros(60, np.int64)
    labels[30:36] = 1  # six of the copies
    dataset, ids = copies(labels)
    assert estimate_wrong(dataset).low == 0
    find_duplicates(dataset)
    found = estimate_wrong(dataset)
    assert (found.certain, found.low) == (6, 6)
    assert found.low <= found.wrong <= found.high
    assert "6 labels that nobody has reviewed are certainly wrong" in " ".join(found.explanation())
    review = Review(dataset, "ann")
    review.decide(ids[30], "relabel", "a")
    review.decide(ids[1], "keep")
    found = estimate_wrong(dataset)
    assert (found.found, found.certain, found.low) == (1, 4, 5)
    apply_verdicts(dataset)
    assert estimate_wrong(dataset).low == 5


def test_suspects_are_counted_as_the_ranking_lists_them_and_samples_without_suspicion_are_named(
    home,
):
    labels = np.arange(60) % 3
    dataset, ids = copies(labels)
    run, p = dataset.run(), np.full(60, 0.001)
    p[:10], p[10:14] = 0.5, np.nan
    logits = np.eye(3, dtype=np.float32)[labels]
    logits[5:20] = logits[5:20][:, [1, 2, 0]]  # predicted as another class
    run.write_predictions([(ids, logits)])
    run.write_scores(ids, dataset.view().frame.label, {"suspicion": p})
    listed = suspects(dataset)
    found = estimate_wrong(dataset)
    assert len(listed) == found.proof.suspects == 16
    assert found.advice()[1].startswith("Continue: 16 suspects left")
    assert set(listed.to_pandas()["finding"]) == {"ambiguous"}
    assert (found.samples, found.missing) == (56, 4)
    assert "Not counted: 4 labelled samples without a suspicion" in " ".join(found.explanation())


def test_removing_a_copy_says_nothing_of_its_label(home):
    dataset, ids = copies(np.arange(60) % 2)
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
