"""What `export` writes for FiftyOne, opened by the real FiftyOne."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelaudit import load_arrays
from labelaudit.export import export_dataset
from labelaudit.scores.suspicion import FINDINGS


@pytest.fixture(scope="module")
def fo(tmp_path_factory):
    os.environ["FIFTYONE_DATABASE_DIR"] = str(tmp_path_factory.mktemp("mongo"))
    os.environ["FIFTYONE_DO_NOT_TRACK"] = "true"
    return pytest.importorskip("fiftyone")


def test_fiftyone_opens_it_and_all_is_equal(fo, audited, tmp_path):
    audited.tag([1, 2], "hard")
    audited.set_labels([3], None)
    view = audited.view().limit(40)
    export_dataset(view, tmp_path / "out", "fiftyone")
    opened = fo.Dataset.from_dir(str(tmp_path / "out"), fo.types.FiftyOneDataset)
    try:
        assert len(opened) == 40
        assert opened.default_classes == audited.classes
        assert opened.info["labelaudit_run"] == audited.run().name
        for sample, found in zip(view, opened.sort_by("labelaudit_id"), strict=True):
            assert found["labelaudit_id"] == sample.id
            assert (found["split"], tuple(found.tags)) == (sample.split, sample.tags)
            label = found["ground_truth"]
            assert (label.label if label else None) == sample.ground_truth
            assert found["original_label"].label == sample.original_label
            assert found["prediction"].label == sample.prediction.label
            assert found["prediction"].confidence == sample.prediction.confidence
            for name, score in sample.scores.items():
                assert found[name] == score
            with Image.open(Path(found.filepath)) as image:
                assert image.tobytes() == sample.image.tobytes()
        assert opened.exists("suggested").count() == 39
        assert set(opened.distinct("finding")) <= set(FINDINGS)
        # it can be worked with: filtered, changed, and drawn from
        assert opened.match(fo.ViewField("suspicion") > 0.5).count() == sum(
            (s.scores["suspicion"] or 0) > 0.5 for s in view
        )
        opened.compute_metadata()
        assert opened.first().metadata.width == 8
        assert len(opened.take(5, seed=51)) == 5
        first = opened.first()
        first.tags.append("seen")
        first.save()
        assert len(opened.match_tags("seen")) == 1
    finally:
        opened.delete()


def test_without_a_run_and_from_a_zip_twice(fo, home, tmp_path):
    import zipfile

    images = np.random.default_rng(0).integers(0, 255, (3, 5, 4, 3), np.uint8)
    dataset = load_arrays("odd", images, ["=x", "日本", None])
    export_dataset(dataset, tmp_path / "o.zip", "fiftyone")
    zipfile.ZipFile(tmp_path / "o.zip").extractall(tmp_path / "out")
    made = [fo.Dataset.from_dir(str(tmp_path / "out"), fo.types.FiftyOneDataset) for _ in range(2)]
    try:
        for opened in made:
            labels = opened.values("ground_truth.label")
            assert labels == ["=x", "日本", None]
            assert opened.values("prediction.label") == [None] * 3
    finally:
        for opened in made:
            opened.delete()
