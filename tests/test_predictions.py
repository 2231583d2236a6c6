"""Predictions of models from elsewhere, read from files and arrays."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

import labelaudit
from labelaudit.core.errors import LabelAuditError, StoppedError
from labelaudit.core.progress import Task
from labelaudit.dataset import run_files
from labelaudit.predictions import arrays, import_predictions, inspect_source
from labelaudit.predictions.numbers import FLOOR
from labelaudit.scores.probability import probabilities

N, CLASSES = 60, ["c0", "c1", "c2", "c3"]
IDS = np.arange(1, N + 1)
LOGITS = np.random.default_rng(0).normal(0, 3, (N, 4)).astype(np.float32)
LOGITS[np.arange(N), np.arange(N) % 4] += 3  # of a model that has learned something
PATHS = [f"/nowhere/{i}.png" for i in range(N)]


@pytest.fixture
def plain(make_dataset):
    return make_dataset(N, 4)


def stored(dataset, run: str = "imported") -> tuple[np.ndarray, np.ndarray]:
    """Ids, sorted, and logits of a run."""
    ids, logits = map(np.concatenate, zip(*dataset.run(run).logits(), strict=True))
    order = np.argsort(ids)
    return ids[order], logits[order]


def frame_of(values: np.ndarray, **columns) -> pd.DataFrame:
    return pd.DataFrame(values, columns=CLASSES).assign(**columns)


def as_npy(path):
    np.save(path / "p.npy", LOGITS)
    return path / "p.npy"


def as_npz(path):
    mixed = np.random.default_rng(1).permutation(N)
    np.savez(path / "p.npz", logits=LOGITS[mixed][:, ::-1], ids=IDS[mixed], classes=CLASSES[::-1])
    return path / "p.npz"


def as_csv(path):
    frame_of(LOGITS, id=IDS)[["c2", "c0", "id", "c1", "c3"]][::-1].to_csv(path / "p.csv")
    return path / "p.csv"


def as_tsv(path):
    frame_of(LOGITS, filepath=PATHS).to_csv(path / "p.tsv", sep="\t", index=False)
    return path / "p.tsv"


def as_parquet(path):
    frame_of(LOGITS, filename=[f"{i}.png" for i in range(N)]).to_parquet(path / "p.parquet")
    return path / "p.parquet"


def as_lists(path):
    table = pa.table({"id": IDS, "logits": pa.array(LOGITS.tolist(), pa.list_(pa.float32())),
                      "label": ["x"] * N})  # fmt: skip
    parquet.write_table(table, path / "lists.parquet", row_group_size=7)
    return path / "lists.parquet"


def as_frame(_):
    return frame_of(LOGITS, id=IDS, note="x")


def as_array(_):
    return LOGITS.astype(np.float64)


FORMS = [as_npy, as_npz, as_csv, as_tsv, as_parquet, as_lists, as_frame, as_array]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("batch_bytes", [arrays.BATCH_BYTES, 8 * 4 * 7, 1])
def test_every_form_keeps_the_same_logits_however_it_is_cut(
    plain, tmp_path, monkeypatch, form, batch_bytes
):
    monkeypatch.setattr(arrays, "BATCH_BYTES", batch_bytes)  # 7 rows at a time; one
    run = import_predictions(plain, form(tmp_path))
    ids, logits = stored(plain)
    assert np.array_equal(ids, IDS)
    assert np.array_equal(logits, LOGITS)
    brought = run.info["brought"]
    assert (brought["kind"], brought["rows"], brought["samples"]) == ("logits", N, N)
    assert brought["out_of_sample"] is False
    assert len(plain.view().match_tag("processed")) == N
    assert (plain.runs, plain.trained_runs, run.is_imported) == (["imported"], [], True)


def test_rows_out_of_order_are_not_taken_for_rows_in_order(plain, tmp_path):
    mixed = np.random.default_rng(1).permutation(N)
    by_id = pd.DataFrame(LOGITS, pd.Index(IDS, name="id"), CLASSES).iloc[mixed]
    import_predictions(plain, by_id)
    assert np.array_equal(stored(plain)[1], LOGITS)
    unnamed = frame_of(LOGITS).iloc[mixed]
    unnamed.to_csv(tmp_path / "p.csv")
    unnamed.to_parquet(tmp_path / "p.parquet")
    for source in (unnamed, tmp_path / "p.csv", tmp_path / "p.parquet"):
        with pytest.raises(LabelAuditError, match="an index that is not 0, 1, 2 …"):
            import_predictions(plain, source)
    assert inspect_source(plain, unnamed, by="order").by == "order"
    frame_of(LOGITS).to_csv(tmp_path / "p.csv")
    assert inspect_source(plain, tmp_path / "p.csv").by == "order"


def test_exported_logits_of_a_trained_run_have_its_scores(audited, tmp_path):
    ids, logits = stored(audited, "run-1")
    np.savez(tmp_path / "a.npz", ids=ids, logits=logits)
    np.save(tmp_path / "b.npy", probabilities(logits))
    import_predictions("digits", tmp_path / "a.npz", "a")
    import_predictions("digits", tmp_path / "b.npy", "b", out_of_sample=True)
    labelaudit.compute_scores(audited, "a")
    computed = labelaudit.compute_scores(audited, "b")
    assert computed == ["suspicion", "self_confidence", "normalized_margin", "mistakenness",
                        "confident_learning", "hardness"]  # fmt: skip
    names = ["self_confidence", "normalized_margin", "mistakenness", "confident_learning",
             "hardness"]  # fmt: skip
    for name in names:
        trained, same, close = (
            audited.view(run).values(name) for run in ("run-1", "a", "b")
        )  # fmt: skip
        assert np.array_equal(trained, same), name
        assert np.allclose(trained, close, atol=1e-5), name
    # sharpness is fitted too, because LabelAudit did not train the model
    mistakes = audited.view().frame.tags["mistake"]
    wrong = audited.view("b").values("suspicion")
    assert 0.9 < wrong.sum() / mistakes.sum() < 1.1
    assert audited.run("b").info["brought"]["out_of_sample"] is True
    table = labelaudit.evaluate(audited.view("b")).set_index("score")
    assert table.average_precision["suspicion"] > 0.97
    assert labelaudit.estimate_wrong(audited, "b").wrong == pytest.approx(wrong.sum(), rel=0.1)


def test_probabilities_are_kept_as_their_logarithms(plain):
    p = probabilities(LOGITS)
    p[0] = [1, 0, 0, 0]
    p[1] = [0.504, 0.5, 0, 0]  # rounded: within the tolerance
    run = import_predictions(plain, p.astype(np.float16))
    assert run.info["brought"]["kind"] == "probabilities"
    _, logits = stored(plain)
    assert logits[0].tolist() == pytest.approx([0, *[np.log(FLOOR)] * 3])
    assert np.allclose(probabilities(logits)[2:], p[2:], atol=2e-3)
    import_predictions(plain, p, kind="logits")
    assert stored(plain)[1][0].tolist() == [1, 0, 0, 0]
    assert plain.runs == ["imported"]  # the earlier one was replaced


def test_samples_that_no_row_is_about_have_no_prediction(plain):
    run = import_predictions(plain, LOGITS[5:], ids=IDS[5:])
    assert "Not predicted: 5 of 60 samples." in run.info["notes"]
    labelaudit.compute_scores(plain)
    assert np.isnan(plain.view().values("self_confidence")[:5]).all()
    assert np.isfinite(plain.view().values("self_confidence")[5:]).all()
    assert plain[1].prediction is None
    assert plain[6].prediction.label == CLASSES[LOGITS[5].argmax()]
    assert len(plain.view().match_tag("processed")) == 55
    from labelaudit.ranking.evidence import gather

    (evidence,) = gather(plain, "imported", [6])
    assert (evidence.p_given, evidence.neighbours) == (None, [])
    assert "epochs" not in evidence.why


def test_embeddings_give_neighbours(plain, tmp_path):
    vectors = np.random.default_rng(3).normal(size=(N, 6))
    vectors[1] = vectors[0] * 2
    np.save(tmp_path / "e.npy", vectors)
    import_predictions(plain, LOGITS, "parameter", embeddings=tmp_path / "e.npy")
    np.savez(tmp_path / "p.npz", predictions=LOGITS, embeddings=vectors)
    import_predictions(plain, tmp_path / "p.npz", "array")
    table = pa.table({"logits": LOGITS.tolist(), "embedding": vectors.tolist(), "id": IDS})
    parquet.write_table(table, tmp_path / "p.parquet")
    import_predictions(plain, tmp_path / "p.parquet", "column")
    for run in plain.runs:
        near, cosine = plain.run(run).neighbours([1], 1)
        assert (near[0, 0], cosine[0, 0]) == (2, pytest.approx(1, abs=1e-3)), run
        assert "neighbours" in labelaudit.compute_scores(plain, run)


def test_classes_by_name_whatever_their_order_and_whatever_else_there_is(plain):
    more = np.hstack([LOGITS[:, ::-1], np.full((N, 1), 9, np.float32)])
    run = import_predictions(plain, more, classes=[*CLASSES[::-1], "moon"])
    assert np.array_equal(stored(plain)[1], np.hstack([LOGITS, more[:, -1:]]))
    assert run.info["brought"]["extra"] == run.unknown_classes == ["moon"]
    p = probabilities(more)
    table = pd.DataFrame(p, columns=[*CLASSES[::-1], "moon"])
    kept = [*range(len(CLASSES))[::-1], len(CLASSES)]
    for classes in (None, [*CLASSES[::-1], "moon"]):  # the sums show that the moon is a class
        run = import_predictions(plain, table, classes=classes)
        assert run.unknown_classes == ["moon"]
        assert np.allclose(probabilities(stored(plain)[1]), p[:, kept], atol=1e-5)


def test_places_stand_for_classes_where_the_names_are_numbers(plain):
    table = pd.DataFrame(LOGITS, columns=[0, 1, 2, 3])
    import_predictions(plain, table)
    assert np.array_equal(stored(plain)[1], LOGITS)
    import_predictions(plain, LOGITS, classes=[0, 1, 2, 3])
    assert np.array_equal(stored(plain)[1], LOGITS)


def test_a_class_without_column_may_lack_where_no_sample_has_it(plain):
    with pytest.raises(LabelAuditError, match=r"no column for class 'c3', with which 15 samples"):
        import_predictions(plain, LOGITS[:, :3], classes=CLASSES[:3])
    plain.set_labels(plain.view().match(label="c3").ids, "c0")
    run = import_predictions(plain, LOGITS[:, :3], classes=CLASSES[:3])
    assert run.info["brought"]["missing"] == ["c3"]
    p = probabilities(stored(plain)[1])
    assert p[:, 3] == pytest.approx(FLOOR, rel=1e-2)
    assert np.allclose(p[:, :3], probabilities(LOGITS[:, :3]), atol=1e-6)


BAD = [
    (LOGITS[:59], {}, "has 59 rows and dataset 'plain' 60 samples"),
    (LOGITS[:, :3], {}, "has 3 columns and dataset 'plain' 4 classes"),
    (LOGITS[0], {}, r"an array of float32 \(4,\)"),
    (LOGITS[:0], {}, "has no rows"),
    (LOGITS.astype(str), {}, "must be numbers"),
    (LOGITS, {"ids": [*IDS[:-1], 1]}, "rows 1 and 60 are both of id 1"),
    (LOGITS, {"ids": [*IDS[:-1], 99]}, "row 60: dataset 'plain' has no sample with id 99:"),
    (LOGITS, {"ids": IDS + 58}, r"row 3: .* id 61 \(58 rows match no sample\)"),
    (LOGITS, {"ids": IDS[:4]}, r"the ids have the shape \(4,\), but the number of rows is 60"),
    (LOGITS, {"ids": IDS / 2}, "must be whole numbers"),
    (LOGITS, {"by": "id"}, "has no id of its rows"),
    (LOGITS, {"by": "name"}, "by='name': match rows by id, filepath, order"),
    (LOGITS, {"kind": "odds"}, "kind='odds': use logits or probabilities"),
    (LOGITS, {"classes": CLASSES[:3]}, "3 classes are named and the array has 4 columns"),
    (LOGITS, {"classes": ["c0", *CLASSES[:3]]}, "class 'c0' stands for two columns"),
    (LOGITS, {"classes": list("abcd")}, r"none of the classes of the array \(a, b, c, d\)"),
    (LOGITS, {"kind": "probabilities"}, r"row 1 \(id 1\) contains -.*not a probability"),
    (LOGITS, {"embeddings": LOGITS[:4]}, "the embeddings have the shape"),
    (probabilities(LOGITS) * 100, {}, r"row 1 \(id 1\) sums to 100,"),
    (1 / (1 + np.exp(-LOGITS)), {}, r"row 1 \(id 1\) sums to .*look like probabilities"),
    (frame_of(LOGITS, id=[*IDS[:-1], None]), {}, "row 60: the id is empty"),
    (frame_of(LOGITS, filepath=[*PATHS[:-1], "other/59.png"]), {},
     "row 60: no sample .* filepath other/59.png; its first is /nowhere/0.png"),
    (frame_of(LOGITS, filepath=[*PATHS[:-1], None]), {}, "row 60: the filepath is empty"),
    (frame_of(LOGITS, c1="x"), {}, "column 'c1' holds .*string"),
    (pd.DataFrame({"a": [1.0]}), {}, "no column with the name of a class"),
    (pd.DataFrame(LOGITS, columns=["c0", "c0", "c1", "c2"]), {}, "the column 'c0' twice"),
    (frame_of(LOGITS), {"classes": ["c0", "cat"]}, "has no column 'cat'"),
    ("/nowhere/p.npy", {}, "there is no file /nowhere/p.npy"),
    ([1, 2], {}, "predictions of type list"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "options", "says"), BAD, ids=[says for *_, says in BAD])
def test_what_cannot_be_understood_is_one_sentence_and_stores_nothing(plain, source, options, says):
    with pytest.raises(LabelAuditError, match=says) as raised:
        import_predictions(plain, source, **options)
    assert "\n" not in str(raised.value)
    assert plain.runs == []
    assert not plain.view().frame.tags
    assert not [t for t in plain.view().store.tables() if t.startswith("predictions")]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_named_late_in_the_file_too(plain, monkeypatch, value):
    monkeypatch.setattr(arrays, "BATCH_BYTES", 8 * 4 * 7)
    import_predictions(plain, LOGITS)
    bad = LOGITS.copy()
    bad[50, 2] = value
    with pytest.raises(LabelAuditError, match=rf"row 51 \(id 51\): .*column 3 is {value}"):
        import_predictions(plain, bad[:, [0, 1, 2, 3]], classes=CLASSES)
    assert np.array_equal(stored(plain)[1], LOGITS)  # the earlier import is whole
    p = probabilities(LOGITS)
    p[40] *= 1.1
    with pytest.raises(LabelAuditError, match=r"row 41 \(id 41\) sums to 1.1,"):
        import_predictions(plain, p)
    assert plain.runs == ["imported"]


@pytest.mark.parametrize(
    ("name", "encoding", "delimiter", "decimal", "before"),
    [
        ("p.csv", "utf-16", ";", ",", ""), ("p.csv", "utf-8-sig", "\t", ".", ""),
        ("p.tsv", "utf-8", ";", ",", ""), ("p.csv", "utf-16-le", "|", ".", "sep=|\n"),
    ],
)  # fmt: skip
def test_tables_are_read_as_spreadsheets_write_them(
    plain, tmp_path, name, encoding, delimiter, decimal, before
):
    table = frame_of(LOGITS, id=IDS).to_csv(sep=delimiter, decimal=decimal, index=False)
    (tmp_path / name).write_bytes((before + table).encode(encoding))
    run = import_predictions(plain, tmp_path / name)
    assert run.unknown_classes == []
    assert np.allclose(stored(plain)[1], LOGITS)


@pytest.mark.parametrize("form", ["csv", "parquet", "frame"])
def test_a_column_of_a_class_that_the_dataset_lacks_is_not_dropped(plain, tmp_path, form):
    def given(table):
        path = tmp_path / f"p.{form}"
        if form == "frame":
            return table
        (table.to_csv if form == "csv" else table.to_parquet)(path, index=False)
        return path

    logits = frame_of(LOGITS, id=IDS)
    p = probabilities(np.column_stack([LOGITS, LOGITS[:, :1]]))
    table = frame_of(p[:, :4], id=IDS).assign(bird=p[:, 4], note="x", fold=1)
    run = import_predictions(plain, given(table), "p")
    assert run.unknown_classes == ["bird"]
    for odd in (logits.assign(bird=LOGITS[:, 0]), table.assign(loss=0.5)):
        with pytest.raises(LabelAuditError, match=r"bird.*name all classes of the model"):
            import_predictions(plain, given(odd))
    more = logits.assign(bird=LOGITS[:, 0], loss=0.5)
    named = import_predictions(plain, given(more), classes=["c0", "c1", "c2", "c3", "bird"])
    assert named.unknown_classes == ["bird"]
    # what is no class is not read
    alone = frame_of(probabilities(LOGITS), id=IDS).assign(confidence=0.5, label=1)
    assert not import_predictions(plain, given(alone), "alone").unknown_classes
    with pytest.raises(LabelAuditError, match=r"sums to 0.*\(note, fold\).*--classes on the"):
        import_predictions(plain, given(table.drop(columns="bird")))


def test_files_that_are_broken_or_hold_pickles_are_not_read(plain, tmp_path):
    np.save(tmp_path / "pickle.npy", np.array([[{}]]), allow_pickle=True)
    np.savez(tmp_path / "pickle.npz", logits=np.array([[{}]]))
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "text.npz").write_text("no zip")
    (tmp_path / "text.parquet").write_text("no parquet")
    (tmp_path / "words.csv").write_text("id,c0,c1,c2,c3\n1,0.5,x,0,0\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "holes.csv").write_text("id,c0,c1,c2,c3\n7,0.5,,0,0\n")
    (tmp_path / "p.pkl").write_text("")
    np.savez(tmp_path / "two.npz", logits=LOGITS, probabilities=LOGITS)
    for name, says in [
        ("pickle.npy", "holds pickled objects"), ("pickle.npz", "holds pickled objects"),
        ("text.npy", "text.npy"), ("text.npz", "text.npz"),
        ("text.parquet", "cannot be read as Parquet"), ("words.csv", "csv.*invalid value 'x'"),
        ("empty.csv", "empty.csv cannot be read"), ("p.pkl", "ends in '.pkl'"),
        ("holes.csv", r"row 1 \(id 7\): the number in column 2 is nan"),
        ("two.npz", "one must be called logits, probabilities or predictions"),
    ]:  # fmt: skip
        with pytest.raises(LabelAuditError, match=says):
            import_predictions(plain, tmp_path / name)
    assert plain.runs == []


def test_paths_match_by_their_last_parts_where_these_name_one_sample(make_dataset):
    paths = ["/data/train/cat/1.png", "/data/train/dog/1.png", "/data/test/cat/2.png"]
    dataset = make_dataset(3, 2, "pets", filepath=paths)
    values = np.eye(3, 2)
    table = pd.DataFrame(values, columns=["c0", "c1"])
    given = ["2.png", "./train/dog/1.png", "cat\\1.png"]
    import_predictions(dataset, table.assign(filepath=given), kind="logits")
    assert np.array_equal(stored(dataset)[1], values[[2, 1, 0]])
    with pytest.raises(LabelAuditError, match=r"the paths of 2 samples end in 1\.png"):
        import_predictions(dataset, table.assign(filepath=["2.png", "1.png", "cat/1.png"]))
    with pytest.raises(LabelAuditError, match=r"rows 1 and 3 are both of filepath cat/2\.png"):
        import_predictions(dataset, table.assign(filepath=["2.png", "dog/1.png", "cat/2.png"]))
    both = table.assign(filepath=given, id=[1, 2, 3])
    with pytest.raises(LabelAuditError, match=r"row 1: the id is 1, but 2\.png is sample 3"):
        inspect_source(dataset, both, kind="logits")
    assert inspect_source(dataset, both, kind="logits", by="id").by == "id"
    agreed = table.assign(filepath=given, id=[3, 2, 1])
    assert inspect_source(dataset, agreed, kind="logits").by == "id"
    assert inspect_source(dataset, both, kind="logits", by="filepath").by == "filepath"


def test_a_run_that_was_made_here_is_not_replaced(audited):
    logits = stored(audited, "run-1")[1]
    with pytest.raises(LabelAuditError, match=r"run 'run-1' .* was created here"):
        import_predictions(audited, logits, "run-1")
    assert not audited.run("run-1").is_imported
    import_predictions(audited, logits)
    with pytest.raises(LabelAuditError, match="has no model, only predictions"):
        labelaudit.predict(audited, "imported")
    assert audited.run().name == "imported"  # the latest
    assert labelaudit.load_model(audited)[1]["name"] == "run-1"  # the latest that has a model


def test_a_stop_and_a_kill_leave_what_was_there(plain, monkeypatch):
    import_predictions(plain, LOGITS)
    with pytest.raises(StoppedError):
        import_predictions(plain, -LOGITS, by="order", task=Task(stop=lambda: True))
    assert np.array_equal(stored(plain)[1], LOGITS)
    # killed when all was written and nothing counted yet
    left = plain.new_run("imported")
    left.write_predictions([(IDS, LOGITS)], classes=4)
    run_files._held.pop(left._files.begun).close()  # as the system does when a process dies
    assert plain.runs == ["imported"]
    import_predictions(plain, -LOGITS, by="order")
    assert not left.has_predictions()
    assert left.state == "gone"
    assert np.array_equal(stored(plain)[1], -LOGITS)


def test_labels_changed_since_are_judged_again_by_scoring_again(plain):
    import_predictions(plain, LOGITS)
    labelaudit.compute_scores(plain)
    plain.set_labels([1], "c2")
    from labelaudit.ranking.ranking import outdated

    assert outdated(plain.view()) == 1
    assert np.isnan(plain.view().values("self_confidence")[0])
    labelaudit.compute_scores(plain)
    assert outdated(plain.view()) == 0  # it learned nothing here that would be of another label
    expected = 1 - probabilities(LOGITS[:1])[0, 2]
    assert plain.view().values("self_confidence")[0] == pytest.approx(expected)


def test_understanding_stores_nothing(plain):
    said = inspect_source(plain, frame_of(LOGITS[:9], id=IDS[:9], note=1)).sentences()
    assert said == [
        "9 rows of logits, matched by id.", "Not predicted: 51 of 60 samples.",
        "Not read: note.",
    ]  # fmt: skip
    assert plain.runs == []


def test_columns_without_names_say_what_they_were_taken_for(plain):
    assert inspect_source(plain, frame_of(LOGITS, id=IDS)).placed == []
    said = inspect_source(plain, LOGITS).sentences()
    assert "The columns have no names; taken in this order: c0, c1, c2, c3." in said


def test_a_model_that_fits_no_better_than_by_chance_is_doubted(plain):
    right = np.where(np.arange(4) == plain.view().frame.label[:, None], 5.0, 0.0)
    assert inspect_source(plain, right).doubt is None
    half = np.where(np.arange(N)[:, None] % 2, right, right[:, [1, 2, 3, 0]])  # kappa 1/3
    assert inspect_source(plain, half).doubt is None
    turned = inspect_source(plain, right[:, [1, 2, 3, 0]], by="order")
    assert turned.doubt.startswith(
        "The model agrees with 0% of the labels, and guessing would with 25%"
    )
    assert turned.sentences()[-1] == turned.doubt
    few = {"ids": IDS[:19], "by": "id"}
    assert inspect_source(plain, right[:19, [1, 2, 3, 0]], **few).doubt is None
    enough = {"ids": IDS[:20], "by": "id"}
    assert inspect_source(plain, np.roll(right, 1, 1)[:20], **enough).doubt is not None
    plain.set_labels(IDS.tolist(), "c0")  # all say c0: so does chance
    assert inspect_source(plain, np.tile([5.0, 0, 0, 0], (N, 1))).doubt is None


# --- rows that are matched by the wrong key ---


def right_logits(n: int = 400, classes: int = 4, noise: float = 1.0) -> np.ndarray:
    """Of a model that agrees with most labels."""
    values = np.random.default_rng(5).normal(0, noise, (n, classes)).astype(np.float32)
    values[np.arange(n), np.arange(n) % classes] += 3
    return values


def table_of(values: np.ndarray, **columns) -> pd.DataFrame:
    names = [f"c{i}" for i in range(values.shape[1])]
    return pd.DataFrame(values, columns=names).assign(**columns)


MIXED = np.random.default_rng(9).permutation(N)
FORMS_OF_FILES = {"csv": "to_csv", "parquet": "to_parquet"}


@pytest.mark.parametrize("form", ["csv", "parquet", "frame", "npz"])
@pytest.mark.parametrize(
    ("header", "values", "by"),
    [
        ("ID", IDS, "id"),
        (" id ", IDS, "id"),
        ("sample_id", IDS, "id"),
        ("Sample ID", IDS.astype(float), "id"),
        ("image_id", IDS, "id"),
        ("image_id", [f"{i}.png" for i in range(N)], "filepath"),
        ("image_id", [f"{i:02d}" for i in range(N)], None),  # neither ids nor names of files
        ("Id", [f"x{i}.png" for i in range(N)], None),
        ("files", PATHS, "filepath"),
        ("image", [f"nowhere/{i}.png" for i in range(N)], "filepath"),
        ("File Name", [f"{i}.png" for i in range(N)], "filepath"),
        ("IMAGE-PATH", [f"./nowhere/{i}" for i in range(N)], "filepath"),  # without suffix
        ("img", [f"a{i}" for i in range(N)], None),
    ],
)
def test_the_key_is_found_whatever_its_name(plain, tmp_path, form, header, values, by):
    """Rows are shuffled: a key that is not read would give wrong predictions."""
    keys = np.asarray(values)[MIXED]
    source = table_of(LOGITS[MIXED]).assign(**{header: keys})
    if form == "npz":
        np.savez(tmp_path / "p.npz", **{"logits": LOGITS[MIXED], header: keys})
        source = tmp_path / "p.npz"
    elif form != "frame":
        path = tmp_path / f"p.{form}"
        getattr(source, FORMS_OF_FILES[form])(path, index=False)
        source = path
    if by is None:
        with pytest.raises(LabelAuditError, match="has the filepath"):
            import_predictions(plain, source)
        return
    assert import_predictions(plain, source).info["brought"]["by"] == by
    assert np.array_equal(stored(plain)[1], LOGITS)


def test_numbers_that_are_ids_and_names_of_files_are_asked_about(plain):
    numbers = np.arange(1, N)  # id 1 is the file 0.png
    source = table_of(LOGITS[1:], image=numbers)
    with pytest.raises(
        LabelAuditError, match="column 'image' may be ids or the names of the files"
    ):
        import_predictions(plain, source)
    import_predictions(plain, source, by="filepath")
    assert np.array_equal(stored(plain)[1], LOGITS[1:])
    assert stored(plain)[0].tolist() == IDS[1:].tolist()
    assert inspect_source(plain, table_of(LOGITS[:-1], image=numbers), by="id").by == "id"


@pytest.mark.parametrize(
    "change", ["shuffled", "sorted by class", "of other rows", "90 % one class"]
)
def test_rows_in_another_order_are_refused(make_dataset, tmp_path, change):
    dataset = make_dataset(400)
    values = right_logits()
    if change == "90 % one class":
        dataset.set_labels(list(range(1, 361)), "c0")
        values[:360] = [3, 0, 0, 0]
        values += np.random.default_rng(0).normal(0, 0.1, values.shape)
    order = np.random.default_rng(1).permutation(400)
    if change == "sorted by class":
        order = np.argsort(np.arange(400) % 4, kind="stable")
    if change == "of other rows":
        values = np.random.default_rng(3).normal(size=values.shape)
    table_of(values[order]).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(LabelAuditError, match=r"no more than by guessing .* --in-order"):
        import_predictions(dataset, tmp_path / "p.csv")
    assert dataset.runs == []
    import_predictions(dataset, tmp_path / "p.csv", by="order")  # as the caller states
    import_predictions(dataset, values if change != "of other rows" else right_logits())


def test_a_weak_model_and_labels_of_one_class_are_no_proof_of_another_order(make_dataset):
    dataset = make_dataset(400)
    import_predictions(dataset, right_logits(noise=12.0))
    one = make_dataset(50, 1, "one")
    import_predictions(one, np.zeros((50, 1)))
    few = make_dataset(12, 4, "few")
    import_predictions(few, right_logits(12)[::-1])  # too few labels to tell


def test_ids_that_match_but_are_of_other_samples_are_asked_about(make_dataset):
    dataset = make_dataset(400)
    ids = np.random.default_rng(4).permutation(np.arange(1, 401))
    with pytest.raises(
        LabelAuditError, match=r"matched by id, .* no more than by guessing \(25%\)"
    ):
        import_predictions(dataset, table_of(right_logits(), id=ids))
    run = import_predictions(dataset, table_of(right_logits(), id=ids), by="id")
    assert run.info["brought"]["doubt"]


@pytest.mark.parametrize("sorted_by_class", [False, True])
@pytest.mark.parametrize(("first", "last"), [(0, 120), (280, 400), (130, 260)])
def test_a_block_of_rows_in_another_order_is_warned_about(
    make_dataset, sorted_by_class, first, last
):
    labels = np.arange(400) % 8
    labels = np.sort(labels) if sorted_by_class else labels
    dataset = make_dataset(400, label=[f"c{i}" for i in labels])
    values = np.random.default_rng(5).normal(0, 1, (400, 8))
    values[np.arange(400), labels] += 3
    good = import_predictions(dataset, values, kind="logits")
    assert not any("much less" in note for note in good.info["notes"])
    mixed = np.arange(400)
    mixed[first:last] = np.random.default_rng(2).permutation(np.arange(first, last))
    for source in (values[mixed], table_of(values[mixed], id=np.arange(1, 401))):
        run = import_predictions(dataset, source, kind="logits")
        (note,) = [n for n in run.info["notes"] if "agree with the labels much less" in n]
        start, end = (int(part.replace(",", "")) for part in note.split()[1:4:2])
        assert abs(start - 1 - first) <= 60
        assert abs(end - last) <= 60


def test_a_hard_class_at_one_place_is_no_block_in_another_order(make_dataset):
    labels = np.sort(np.arange(400) % 8)
    dataset = make_dataset(400, label=[f"c{i}" for i in labels])
    values = np.random.default_rng(5).normal(0, 1, (400, 8))
    values[np.arange(400), labels] += np.where(labels == 3, 0.3, 3)
    run = import_predictions(dataset, values, kind="logits")
    assert not any("much less" in note for note in run.info["notes"])


def test_ids_that_are_positions_are_asked_about(make_dataset, tmp_path):
    dataset = make_dataset(400)
    values = right_logits()
    table = table_of(values, id=np.arange(400))
    table.to_csv(tmp_path / "p.csv", index=False)
    np.savez(tmp_path / "p.npz", logits=values, ids=np.arange(400))
    says = r"the ids are 0 to 399, and those of dataset 'plain' are 1 to 400: .* add 1 to them"
    for source in (table, tmp_path / "p.csv", tmp_path / "p.npz"):
        with pytest.raises(LabelAuditError, match=says):
            import_predictions(dataset, source)
        with pytest.raises(LabelAuditError, match=says):
            labelaudit.import_issues(
                dataset, table.assign(is_label_issue=False)[["id", "is_label_issue"]]
            )
    with pytest.raises(LabelAuditError, match=says):
        labelaudit.import_features(dataset, table, "mine")
    part = table.iloc[100:300]  # all are ids of samples, but of others
    with pytest.raises(
        LabelAuditError, match=r"with the next ids better .* positions counted from 0"
    ):
        import_predictions(dataset, part)
    import_predictions(dataset, part, by="id")
    import_predictions(dataset, part.assign(id=part["id"] + 1), replace=True)
    zero = make_dataset(60, id=list(range(60)), name="zero")
    with pytest.raises(LabelAuditError, match="subtract 1 from them"):
        import_predictions(zero, table_of(LOGITS, id=IDS))


def test_categories_are_keys_and_columns_too(plain):
    for key, values in (("id", IDS), ("file", PATHS)):
        source = table_of(LOGITS[MIXED], **{key: pd.Categorical(np.asarray(values)[MIXED])})
        import_predictions(plain, source)
        assert np.array_equal(stored(plain)[1], LOGITS)
    columns = pd.CategoricalIndex(CLASSES[::-1], CLASSES)
    by_index = pd.DataFrame(LOGITS[MIXED][:, ::-1], pd.Index(IDS[MIXED], name="ID"), columns)
    import_predictions(plain, by_index)
    assert np.array_equal(stored(plain)[1], LOGITS)
    import_predictions(plain, LOGITS[:, ::-1], classes=pd.Categorical(CLASSES[::-1], CLASSES))
    assert np.array_equal(stored(plain)[1], LOGITS)
    issues = pd.DataFrame({"is_label_issue": [True], "given_label": pd.Categorical(["c0"])})
    assert labelaudit.import_issues(plain, issues.assign(ID=[1]))["tags"] == {"label_issue": 1}
    wrong = pd.DataFrame({"Image ID": [2, 3, 4, 5], "is_label_issue": True})
    wrong["given_label"] = ["c0", "c1", "c2", "c3"]
    with pytest.raises(LabelAuditError, match="given_label is not the label of the sample in 4 of"):
        labelaudit.import_issues(plain, wrong)


def test_a_table_in_another_encoding_is_refused_in_one_sentence(plain, tmp_path):
    (tmp_path / "p.csv").write_bytes("id,café,b\n1,0.5,0.5\n".encode("cp1252"))
    with pytest.raises(LabelAuditError, match=r"p\.csv cannot be read: it is not UTF-8; save it"):
        import_predictions(plain, tmp_path / "p.csv")
