"""Extraction, storage and choice of features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import labelaudit
from labelaudit.core.errors import DamagedError, LabelAuditError, NotFoundError, StoppedError
from labelaudit.core.progress import Task
from labelaudit.features import choice, extraction
from labelaudit.features.choice import candidates, choose_features, named_features
from labelaudit.features.extraction import extract, measure_cost
from labelaudit.features.extractors import Extractor
from labelaudit.features.neighbours import all_nearest
from labelaudit.features.stored import find_features, open_features, stored_features
from labelaudit.scores.outlier import NEIGHBOURS, outlier


class Counted(Extractor):
    """The mean colour of an image. It counts the images that it gets."""

    name, size, width = "counted", 8, 3

    def __init__(self, version: str = "1") -> None:
        self.version, self.images = version, 0

    def of(self, images: torch.Tensor) -> np.ndarray:
        self.images += len(images)
        return images.float().mean((2, 3)).numpy()


@pytest.fixture
def frame(few_digits):
    return few_digits.view().frame


class TestStoredFeatures:
    def test_they_are_extracted_once_and_read_back(self, frame):
        counted = Counted()
        features = extract(frame, counted, frame.ids)
        assert counted.images == 400
        there, values = features.read(frame.ids)
        assert there.all()
        assert (values.shape, values.dtype) == ((400, 3), np.float16)
        assert (values[:, 0] == values[:, 1]).all()  # grey
        again = extract(frame, counted, frame.ids)
        assert (again, counted.images) == (features, 400)

    def test_only_new_samples_are_extracted(self, few_digits, frame):
        counted = Counted()
        extract(frame, counted, frame.ids[:100])
        assert counted.images == 100
        features = extract(frame, counted, frame.ids[50:150])
        assert counted.images == 150
        there, values = features.read(frame.ids)
        assert there.tolist() == [True] * 150 + [False] * 250
        assert not values[150:].any()

    def test_a_few_are_read_without_the_rest(self, frame, monkeypatch):
        features = extract(frame, Counted(), np.setdiff1d(frame.ids, [3, 50]))
        expected = features.read(frame.ids)
        monkeypatch.setattr(features.__class__, "batches", None)
        some = frame.ids[[0, 3, 7, 49, 50, 399]]
        there, values = features.read(some)
        assert there.tolist() == np.isin(some, [3, 50], invert=True).tolist()
        np.testing.assert_array_equal(values, expected[1][frame.positions(some)])

    def test_a_stop_keeps_what_is_finished_and_the_next_call_continues(self, frame):
        counted = Counted()
        with pytest.raises(StoppedError, match="the finished ones are kept"):
            extract(frame, counted, frame.ids, Task(stop=lambda: counted.images >= 100))
        finished = counted.images
        assert 100 <= finished < 400
        assert len(find_features(frame, "counted").ids()) == finished
        reports = []
        features = extract(frame, counted, frame.ids, Task(reports.append))
        assert counted.images == 400
        assert features.read(frame.ids)[0].all()
        assert reports[0].stage == "extracting features with counted"
        assert {report.total for report in reports} == {400}
        assert reports[-1].done == 400

    def test_an_error_keeps_what_is_finished(self, frame, monkeypatch):
        counted, mean = Counted(), Counted.of

        def fail(self, images):
            if self.images >= 128:
                raise RuntimeError("out of memory")
            return mean(self, images)

        monkeypatch.setattr(Counted, "of", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            extract(frame, counted, frame.ids)
        assert len(find_features(frame, "counted").ids()) == 128

    def test_features_are_written_while_others_are_extracted(self, frame, monkeypatch):
        monkeypatch.setattr(extraction, "WRITE_SECONDS", 0.0)
        appended = []
        append = extraction.Features.append
        monkeypatch.setattr(
            extraction.Features,
            "append",
            lambda self, ids, values: (appended.append(len(ids)), append(self, ids, values))[1],
        )
        extract(frame, Counted(), frame.ids)
        assert appended == [64] * 6 + [16]

    def test_another_version_replaces_the_features(self, frame):
        old = extract(frame, Counted("1"), frame.ids)
        newer = Counted("2")
        new = extract(frame, newer, frame.ids[:10])
        assert newer.images == 10
        assert stored_features(frame) == {"counted": new}
        assert new.id != old.id
        assert not frame.store.exists(old.table)
        assert len(new.ids()) == 10

    def test_images_that_cannot_be_read_are_left_out_and_counted(self, few_digits):
        few_digits.add_samples([{"filepath": "broken.png", "image": b"no image", "label": "3"}])
        frame, ids = few_digits.view().frame, few_digits.view().ids
        features = named_features(frame, ids, "pixels")
        features.extract(ids)
        assert features.available(ids).tolist() == [True] * 400 + [False]
        assert features.notes(ids) == ["1 of 401 images could not be read: left out"]
        assert features.notes(ids[:400]) == []

    def test_if_no_image_can_be_read_it_is_an_error(self, make_dataset):
        dataset = make_dataset(10)
        frame = dataset.view().frame
        with pytest.raises(DamagedError, match=r"none of the 10 images can be read \(such as"):
            extract(frame, Counted(), frame.ids)
        with pytest.raises(DamagedError, match="none of the 10 images can be read"):
            measure_cost(frame, Counted(), frame.ids)

    def test_values_beyond_half_precision_are_limited(self, frame):
        features = open_features(frame, "large", "1", 2)
        features.append(frame.ids[:1], np.array([[1e9, -1e9]]))
        assert features.read(frame.ids[:1])[1].tolist() == [[65504, -65504]]

    def test_unknown_features_are_an_error_that_names_the_known_ones(self, frame):
        with pytest.raises(NotFoundError, match="it has none yet"):
            find_features(frame, "mine")
        extract(frame, Counted(), frame.ids[:1])
        with pytest.raises(NotFoundError, match="it has counted"):
            find_features(frame, "mine")


class TestCost:
    def test_it_is_measured_on_some_images_and_stores_nothing(self, frame):
        old = extract(frame, Counted("0"), frame.ids)
        counted = Counted("1")
        cost = measure_cost(frame, counted, frame.ids)
        assert counted.images == extraction.TIMED + extraction.WARM_UP
        assert cost.images == 400
        assert 0 < cost.seconds < 60
        assert cost.images_per_second == pytest.approx(400 / cost.seconds)
        assert stored_features(frame) == {"counted": old}

    def test_only_images_without_features_count(self, frame):
        counted = Counted()
        extract(frame, counted, frame.ids[:370])
        assert measure_cost(frame, counted, frame.ids).images == 30
        extract(frame, counted, frame.ids)
        assert measure_cost(frame, counted, frame.ids).seconds == 0

    def test_a_slow_extractor_takes_longer(self, frame, monkeypatch):
        import time

        class Slow(Counted):
            def of(self, images: torch.Tensor) -> np.ndarray:
                time.sleep(0.005 * len(images))
                return super().of(images)

        cost = measure_cost(frame, Slow(), frame.ids)
        assert cost.seconds > 0.9 * 400 * 0.005


def colour_images(side: int, n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Images of two classes: stripes across or down."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    images = rng.integers(0, 120, (n, side, side, 3), np.uint8)
    images[labels == 0, ::4] += 120
    images[labels == 1, :, ::4] += 120
    return images, labels


class TestChoice:
    def chosen(self, images: np.ndarray, labels: np.ndarray, **options):
        dataset = labelaudit.load_arrays("made", images, labels)
        frame = dataset.view().frame
        return choose_features(frame, frame.ids, frame.label, **options)

    def test_tiny_grey_images_are_represented_by_their_pixels(self, few_digits, monkeypatch):
        frame = few_digits.view().frame
        monkeypatch.setattr(choice, "extract", None)  # there is nothing to compare
        found = choose_features(frame, frame.ids, frame.label)
        assert (found.name, found.weights, found.tried) == ("pixels", [1.0], {})
        assert found.least_deviations == [100.0]

    @pytest.mark.parametrize(
        ("side", "colour", "names"),
        [
            (12, True, ["patches"]),
            (12, False, ["pixels"]),
            (32, True, ["lite0", "patches"]),
            (32, False, ["lite0", "pixels"]),
            (120, True, ["lite0", "patches"]),
        ],
    )
    def test_extractors_that_suit_the_images_are_tried(self, home, side, colour, names):
        images, labels = colour_images(side, 12)
        if not colour:
            images = images[..., 0]
        dataset = labelaudit.load_arrays("made", images, labels)
        assert candidates(dataset.view().frame, dataset.view().ids) == names

    def test_those_that_predict_labels_best_are_chosen(self, home):
        found = self.chosen(*colour_images(32))
        assert set(found.tried) == {"lite0", "patches", "lite0+patches"}
        best = min(found.tried, key=found.tried.get)
        assert found.name == best or found.tried[found.name] < found.tried[best] / 0.98
        assert found.tried[found.name] < np.log(2) / 2  # better than chance

    def test_imported_features_take_part(self, home):
        images, labels = colour_images(12)
        dataset = labelaudit.load_arrays(
            "made", images, np.random.default_rng(0).permutation(labels)
        )
        frame = dataset.view().frame
        mine = open_features(frame, "mine", "imported", 4)
        codes = frame.label[:, None]
        mine.append(frame.ids, codes * 4 + np.random.default_rng(1).normal(0, 1, (80, 4)))
        found = choose_features(frame, frame.ids, frame.label)
        assert set(found.tried) == {"patches", "mine", "patches+mine"}
        assert found.name == "mine"
        found.extract(frame.ids)  # there is nothing to extract
        assert found.available(frame.ids).all()

    @pytest.mark.parametrize("covered", [0, 20, 79])
    def test_imported_features_of_a_part_do_not_replace_those_of_all(self, home, covered):
        images, labels = colour_images(12)
        labels = np.random.default_rng(0).permutation(labels)
        dataset = labelaudit.load_arrays("made", images, labels)
        frame = dataset.view().frame
        mine = open_features(frame, "mine", "imported", 2)
        mine.append(frame.ids[80 - covered :], np.eye(2)[labels[80 - covered :]])
        found = choose_features(frame, frame.ids, frame.label)
        if covered == 79:  # nearly all
            assert found.name == "mine"
            notes = ["1 of 80 samples without features mine: left out"]
        else:
            assert found.name == "patches"
            notes = [
                f"features mine were not compared, because {80 - covered} of 80 samples lack them"
            ]
        found.extract(frame.ids)
        assert found.notes(frame.ids) == notes
        named = named_features(frame, frame.ids, "mine")  # of those that have them
        assert named.available(frame.ids).sum() == covered

    def test_a_stop_ends_it(self, home):
        stops = iter([False] * 3)
        with pytest.raises(StoppedError):
            self.chosen(*colour_images(32), task=Task(stop=lambda: next(stops, True)))

    def test_a_second_extractor_without_weights_is_left_out(self, home, monkeypatch):
        original = extraction.extract

        def fail(frame, extractor, ids, task, compute):
            if extractor.name == "patches":
                raise LabelAuditError("no weights")
            return original(frame, extractor, ids, task, compute)

        monkeypatch.setattr(choice, "extract", fail)
        found = self.chosen(*colour_images(32, 40))
        assert found.name == "lite0"
        assert found.left_out == ["features patches were not compared: no weights"]

    def test_without_two_classes_the_first_extractor_is_used(self, home):
        images, labels = colour_images(32, 20)
        assert self.chosen(images, np.zeros_like(labels)).name == "lite0"


def outlier_scores(vectors: np.ndarray, labels: np.ndarray, _: int) -> np.ndarray:
    near, cosines = all_nearest(vectors, labels >= 0, NEIGHBOURS)
    return outlier(labels, np.where(near >= 0, labels[near], -1), 1 - cosines)


class TestOutliers:
    def test_images_that_are_like_no_other_come_first(self):
        rng = np.random.default_rng(0)
        labels = np.arange(300) % 3
        vectors = 4 * np.eye(3, 20)[labels] + rng.normal(0, 0.5, (300, 20))
        planted = [5, 100, 250]
        vectors[planted] = 3 * np.eye(20)[[10, 12, 14]] + rng.normal(0, 0.5, (3, 20))
        scores = outlier_scores(vectors.astype(np.float32), labels, 3)
        assert set(np.argsort(-scores)[:3]) == set(planted)
        assert (scores[planted] > 4).all()
        assert np.median(scores) == pytest.approx(0, abs=0.3)

    def test_a_class_that_varies_more_is_not_an_outlier(self):
        rng = np.random.default_rng(1)
        labels = np.arange(400) % 2
        spread = np.where(labels == 0, 0.2, 0.8)[:, None]
        vectors = 4 * np.eye(2, 20)[labels] + rng.normal(0, 1, (400, 20)) * spread
        scores = outlier_scores(vectors.astype(np.float32), labels, 2)
        assert (scores > 4).mean() < 0.02

    def test_images_without_features_have_no_score(self):
        vectors = np.random.default_rng(2).normal(size=(50, 5)).astype(np.float32)
        vectors[3], vectors[4] = 0, np.nan
        labels = np.zeros(50, int)
        labels[7] = -1
        scores = outlier_scores(vectors, labels, 1)
        assert np.isnan(scores[[3, 4]]).all()
        assert np.isfinite(np.delete(scores, [3, 4, 7])).all()
