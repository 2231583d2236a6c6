"""Features that were made elsewhere, imported for the first look."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import labelaudit
from labelaudit import import_features
from labelaudit.core.errors import BadInputError, LabelAuditError, NotFoundError
from labelaudit.features.stored import find_features, stored_features
from tests.test_cli import cli


def stored(dataset, name):
    frame = dataset.view().frame
    there, values = find_features(frame, name).read(frame.ids)
    return there, values.astype(float)


@pytest.fixture
def vectors():
    values = np.random.default_rng(0).normal(size=(20, 3)).round(2)
    return values + 5 * np.eye(4)[np.arange(20) % 4, :3]  # as features of the four classes


def test_arrays_and_files_in_order(make_dataset, vectors, tmp_path):
    dataset = make_dataset(20)
    np.save(tmp_path / "v.npy", vectors)
    np.savez(tmp_path / "v.npz", embeddings=vectors)
    for source in (vectors, tmp_path / "v.npy", str(tmp_path / "v.npz"), pd.DataFrame(vectors)):
        assert import_features(dataset, source, "mine") == 20
        there, values = stored(dataset, "mine")
        assert there.all()
        np.testing.assert_allclose(values, vectors, atol=2e-3)
    assert list(stored_features(dataset.view().frame)) == ["mine"]


def test_rows_are_matched_by_id_and_by_path(make_dataset, vectors, tmp_path):
    dataset = make_dataset(20)
    ids = dataset.view().ids[::-1][:5]
    np.savez(tmp_path / "v.npz", features=vectors[:5], ids=ids)
    assert import_features("plain", tmp_path / "v.npz", "by-id") == 5
    there, values = stored(dataset, "by-id")
    assert np.flatnonzero(there).tolist() == [15, 16, 17, 18, 19]
    np.testing.assert_allclose(values[there], vectors[:5][::-1], atol=2e-3)
    table = pd.DataFrame({"filepath": ["3.png", "1.png"], "features": list(vectors[:2])})
    table.to_parquet(tmp_path / "v.parquet")
    for source in (table, tmp_path / "v.parquet"):
        assert import_features(dataset, source, "by-path") == 2
        there, values = stored(dataset, "by-path")
        assert np.flatnonzero(there).tolist() == [1, 3]
        np.testing.assert_allclose(values[[3, 1]], vectors[:2], atol=2e-3)
    wide = pd.DataFrame({"id": ids, "a": 1.0, "b": np.arange(5)})
    import_features(dataset, wide, "by-path", by="id")  # replaces the earlier ones
    there, values = stored(dataset, "by-path")
    assert there.sum() == 5
    assert values[19].tolist() == [1, 0]


def test_bad_features_are_refused_and_nothing_is_stored(make_dataset, vectors, tmp_path):
    dataset = make_dataset(20)
    bad = vectors.copy()
    bad[6, 1] = np.nan
    with pytest.raises(BadInputError, match="row 7: the features of sample 7 are not all finite"):
        import_features(dataset, bad, "mine")
    with pytest.raises(BadInputError, match="has 19 rows and dataset 'plain' 20 samples"):
        import_features(dataset, vectors[1:], "mine")
    for name in ("pixels", "lite0", "auto"):
        with pytest.raises(BadInputError, match=f"'{name}' is the name of an extractor"):
            import_features(dataset, vectors, name)
    with pytest.raises(BadInputError, match="cannot be a features name"):
        import_features(dataset, vectors, "a+b")
    with pytest.raises(NotFoundError, match="there is no file"):
        import_features(dataset, tmp_path / "none.npy", "mine")
    (tmp_path / "v.txt").write_text("1")
    with pytest.raises(BadInputError, match=r"features are read from \.npy, \.npz, \.parquet"):
        import_features(dataset, tmp_path / "v.txt", "mine")
    np.savez(tmp_path / "v.npz", other=vectors)
    with pytest.raises(LabelAuditError, match="one must be called features or embeddings"):
        import_features(dataset, tmp_path / "v.npz", "mine")
    with pytest.raises(BadInputError, match="of type list"):
        import_features(dataset, vectors.tolist(), "mine")
    assert stored_features(dataset.view().frame) == {}


def test_the_first_look_and_the_command_line_use_them(make_dataset, tmp_path, home):
    dataset = make_dataset(80)
    vectors = np.eye(4)[np.arange(80) % 4] + np.random.default_rng(0).normal(0, 0.1, (80, 4))
    np.save(tmp_path / "v.npy", vectors)
    told = cli("import-features", "plain", tmp_path / "v.npy", "--name", "mine", "--json").stdout
    assert json.loads(told) == {"features": "mine", "samples": 80}
    dataset.set_labels([5], "c3")
    found = json.loads(cli("first-look", "plain", "--features", "mine", "--json").stdout)
    assert found == {"run": "first-look", "suspects": 1}
    assert labelaudit.suspects(dataset).ids.tolist() == [5]
    assert dataset.run("first-look").info["first_look"]["features"] == "mine"
    failed = cli("import-features", "plain", tmp_path / "v.npy", "--name", "lite0", code=1)
    assert "is the name of an extractor" in failed.stderr


def test_rows_in_another_order_are_refused(make_dataset):
    dataset = make_dataset(200)
    rng = np.random.default_rng(0)
    features = np.eye(4)[np.arange(200) % 4] + rng.normal(0, 0.4, (200, 4))
    mixed = rng.permutation(200)
    with pytest.raises(BadInputError, match=r"no more than by guessing .*by='order'"):
        import_features(dataset, features[mixed], "mine")
    assert not stored_features(dataset.view().frame)
    assert import_features(dataset, features[mixed], "mine", by="order") == 200
    assert import_features(dataset, features, "mine") == 200
    by_header = pd.DataFrame({"Sample ID": mixed + 1, "features": list(features[mixed])})
    import_features(dataset, by_header, "mine")
    np.testing.assert_allclose(stored(dataset, "mine")[1], features, atol=2e-3)
