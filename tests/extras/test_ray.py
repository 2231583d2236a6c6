"""The same audit by the workers of a Ray cluster: equal to one process, also when some are lost."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from labelaudit.core.progress import QUIET, Task

# else Ray looks for a cluster of 127.0.0.1 at this machine's other addresses
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
pytest.importorskip("ray")

import labelaudit
from labelaudit import cluster
from labelaudit.__main__ import main
from labelaudit.cluster import connection, extracting, nearest, predicting, scoring, training
from labelaudit.core.errors import LabelAuditError, StoppedError
from labelaudit.features.extraction import extract, open_for
from labelaudit.features.stored import find_features
from labelaudit.jobs import files, manager
from labelaudit.learn import first_look

pytestmark = pytest.mark.timeout(300)
NODE = {"num_cpus": 1, "include_dashboard": False, "node_ip_address": connection.LOCAL}
REPO = Path(__file__).resolve().parents[2]
CIFAR = [
    Path(os.environ.get("LABELAUDIT_CIFAR10", "")) / "train.zip",
    *(up / "shared/data/cifar10/train.zip" for up in Path(__file__).resolve().parents),
]


@pytest.fixture(scope="module")
def nodes():
    """A cluster of three nodes with a core each, all on this machine."""
    connection.set_defaults()
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args=NODE)
    for _ in range(2):
        made.add_node(**NODE)
    ray.init(address=made.address, log_to_driver=False, logging_level=logging.ERROR)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def workers(nodes):
    """Three nodes, even if the test before removed some."""
    while len(nodes.list_all_nodes()) < 3:
        nodes.add_node(**NODE)
    nodes.wait_for_nodes()
    return nodes


@pytest.fixture
def twins(home, monkeypatch):
    """A dataset and its copy with the same run: one for a single process, one for Ray."""
    monkeypatch.setattr(scoring, "LEAST_ROWS", 400)  # some blocks of so few samples
    monkeypatch.setattr(nearest, "TASK_CELLS", 200_000)
    return _twins(labelaudit.load_dataset("digits"), home, epochs=3)


def _twins(dataset, home, epochs: int):
    labelaudit.inject_noise(dataset, rate=0.2, seed=51)
    config = labelaudit.TrainConfig(epochs=epochs, threads=1)
    labelaudit.train(dataset, "mine", config)
    shutil.copytree(home / "datasets" / dataset.name, home / "datasets" / "copy")
    return dataset, labelaudit.Dataset("copy")


def _processes(word: str) -> list[psutil.Process]:
    """Return the workers of this test's cluster that are busy."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if word in " ".join(process.cmdline()):
                found.append(process)
    return found


def _node_of(nodes, process: psutil.Process):
    """Return the node of a process, unless it is the first node or the driver's."""
    from ray._private.worker import global_worker

    parents = {parent.pid for parent in process.parents()}
    for node in nodes.list_all_nodes():
        raylet = node.all_processes["raylet"][0].process.pid
        own = node.raylet_socket_name == global_worker.node.raylet_socket_name
        if raylet in parents and not node.head and not own:
            return node
    return None


FITTED = ("suspicion",)  # rounding of the logits moves where their fit ends


def _same(alone, by_ray, ranks: bool = True) -> None:
    """Labels, probabilities, scores and the order of suspects by each are equal."""
    mine, theirs = (each.view().to_pandas().sort_values("id") for each in (alone, by_ray))
    assert mine["predicted"].equals(theirs["predicted"])
    np.testing.assert_allclose(mine["confidence"], theirs["confidence"], atol=1e-5)
    names = [name for name in labelaudit.scores.SCORES if name in mine]
    assert names == [name for name in labelaudit.scores.SCORES if name in theirs]
    equal_logits = np.array_equal(_logits(alone)[1], _logits(by_ray)[1])
    for name in names if ranks else ():
        if name in FITTED and not equal_logits:
            np.testing.assert_allclose(mine[name], theirs[name], rtol=0.05, atol=1e-3, err_msg=name)
            continue
        np.testing.assert_allclose(mine[name], theirs[name], atol=1e-9, err_msg=name)
        order = [np.argsort(t[name].to_numpy(), kind="stable") for t in (mine, theirs)]
        assert np.array_equal(*order), name


def _logits(dataset) -> tuple[np.ndarray, np.ndarray]:
    ids, logits = map(np.concatenate, zip(*dataset.run().logits(), strict=True))
    order = np.argsort(ids)
    return ids[order], logits[order]


def _same_logits(alone, by_ray) -> None:
    (ids, mine), (others, theirs) = _logits(alone), _logits(by_ray)
    assert np.array_equal(ids, others)
    np.testing.assert_allclose(mine, theirs, atol=1e-4)
    for run in (alone.run(), by_ray.run()):
        assert run.has_embeddings()
    vectors = [each.run().embeddings(ids) for each in (alone, by_ray)]
    np.testing.assert_allclose(*vectors, atol=1e-2)


# --- predictions and scores ---


def test_predictions_and_scores_are_those_of_one_process(workers, twins):
    alone, by_ray = twins
    reports = []
    assert labelaudit.predict(alone) == 1_797
    assert cluster.predict(by_ray, task=Task(reports.append)) == 1_797
    _same_logits(alone, by_ray)
    assert len(by_ray.view().match_tag("processed")) == 1_797
    assert reports[-2].stage == "predicting"
    assert max(r.done for r in reports) == reports[0].total == 1_797
    stored = by_ray.run().predicted_ids()
    assert (np.diff(stored) > 0).all()  # in order, as one process writes them

    names = labelaudit.compute_scores(alone)
    assert cluster.compute_scores(by_ray) == names
    assert {"suspicion", "confident_learning", "neighbours", "aum"} <= set(names)
    _same(alone, by_ray)

    # one process continues what the workers wrote, and the workers continue what it wrote
    labelaudit.predict(by_ray)
    cluster.predict(alone.view().limit(700))
    _same_logits(alone, by_ray)
    cluster.compute_scores(alone)
    labelaudit.compute_scores(by_ray)
    _same(alone, by_ray)


def test_features_are_those_of_one_process(workers, home, monkeypatch):
    monkeypatch.setattr(extracting, "ROWS", 300)
    frame = labelaudit.load_dataset("digits").view().frame
    extractor = open_for(frame, "pixels", frame.ids)
    expected = extract(frame, extractor, frame.ids).read(frame.ids)
    frame.store.drop(find_features(frame, "pixels").table)
    reports = []
    task = Task(reports.append, interval=0)
    found = extract(frame, extractor, frame.ids, task, cluster.compute_features)
    assert found.read(frame.ids)[0].all()
    np.testing.assert_array_equal(found.read(frame.ids)[1], expected[1])
    assert reports[-1].done == len(frame.ids)
    frame.store.drop(found.table)
    stop = Task(stop=lambda: True)
    with pytest.raises(StoppedError):
        extract(frame, extractor, frame.ids, stop, cluster.compute_features)


def test_a_first_look_beyond_memory_is_that_of_one_process(workers, home, monkeypatch):
    monkeypatch.setattr(first_look, "MOST_HELD", 600)
    monkeypatch.setattr(first_look, "BLOCK_ROWS", 250)
    labelaudit.load_dataset("digits")
    shutil.copytree(home / "datasets/digits", home / "datasets/copy")
    alone, by_ray = labelaudit.Dataset("digits"), labelaudit.Dataset("copy")
    labelaudit.first_look(alone, features="pixels")
    backend = cluster.steps("ray").first_look
    labelaudit.first_look(by_ray, features="pixels", backend=backend)
    assert len(by_ray.run().predicted_ids()) == 1797
    _same_logits(alone, by_ray)


def test_of_many_samples_the_same_are_drawn_to_fit_the_noise_model(workers, home, make_dataset):
    """It is fitted to about 20,000 samples, the same ones for any number of workers."""
    alone = make_dataset(n=50_000, classes=3, name="many")
    logits = np.random.default_rng(0).normal(0, 2, (50_000, 3)).astype(np.float32)
    logits[np.arange(50_000), np.arange(50_000) % 3] += 2
    labelaudit.import_predictions(alone, logits, "brought", kind="logits")
    shutil.copytree(home / "datasets/many", home / "datasets/copy")
    by_ray = labelaudit.Dataset("copy")
    assert labelaudit.compute_scores(alone) == cluster.compute_scores(by_ray)
    _same(alone, by_ray)


def test_images_that_are_gone_are_left_out_too(workers, home, tmp_path, picture, caplog):
    for i in range(300):
        picture(tmp_path / f"in/{'ab'[i % 2]}/{i:03}.png", seed=i)
    dataset = labelaudit.load_dataset("files", tmp_path / "in")
    alone, by_ray = _twins(dataset, home, epochs=1)
    (tmp_path / "in/a/100.png").unlink()
    (tmp_path / "in/b/201.png").write_bytes(b"no picture")
    counts = []
    for predict, each in ((labelaudit.predict, alone), (cluster.predict, by_ray)):
        caplog.clear()
        counts.append(predict(each))
        assert "2 of 300 images could not be read" in caplog.text
    assert counts == [298, 298]
    _same_logits(alone, by_ray)

    shutil.rmtree(tmp_path / "in")
    with pytest.raises(LabelAuditError, match=r"^none of the 300 images can be read"):
        cluster.predict(by_ray)
    _same_logits(alone, by_ray)  # what was there is unchanged


def test_nothing_readable_leaves_a_run_without_predictions(workers, home, tmp_path, picture):
    for i in range(20):
        picture(tmp_path / f"in/{'ab'[i % 2]}/{i:03}.png", seed=i)
    _, by_ray = _twins(labelaudit.load_dataset("files", tmp_path / "in"), home, epochs=1)
    shutil.rmtree(tmp_path / "in")
    with pytest.raises(LabelAuditError, match=r"^none of the 20 images can be read"):
        cluster.predict(by_ray)
    assert not by_ray.run("mine").has_predictions()


def test_many_photographs(workers, home, tmp_path):
    archive = next((path for path in CIFAR if path.exists()), None)
    if archive is None:
        pytest.skip("there is no shared/data/cifar10/train.zip beside the repository")
    rows = pd.read_csv(archive.with_suffix(".csv"), nrows=10_000)
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(tmp_path / "few.zip", "w") as few:
        for name in rows["filepath"]:
            few.writestr(name, source.read(name))
    alone, by_ray = _twins(labelaudit.load_dataset("photos", tmp_path / "few.zip"), home, epochs=1)
    assert labelaudit.predict(alone, augment=False) == 10_000
    assert cluster.predict(by_ray, augment=False) == 10_000
    _same_logits(alone, by_ray)
    assert labelaudit.compute_scores(alone) == cluster.compute_scores(by_ray)
    _same(alone, by_ray)


def test_a_stop_ends_it_and_keeps_nothing(workers, twins):
    _, by_ray = twins
    asked = []
    with pytest.raises(StoppedError, match=r"^predicting was stopped"):
        cluster.predict(by_ray, task=Task(lambda r: asked.append(r.done), lambda: bool(asked)))
    assert not by_ray.run("mine").has_predictions()
    labelaudit.predict(by_ray)
    with pytest.raises(StoppedError, match="scoring was stopped"):
        cluster.compute_scores(by_ray, task=Task(stop=lambda: True))
    assert not by_ray.run().score_names()


# --- training ---


def _config(**options) -> labelaudit.TrainConfig:
    return labelaudit.TrainConfig(epochs=6, threads=1, **options)


def _found(dataset, run: str, by=cluster) -> float:
    """Average precision of the planted mistakes by AUM."""
    labelaudit.predict(dataset, run)
    labelaudit.compute_scores(dataset, run)
    table = labelaudit.evaluate(dataset.view(run)).set_index("score")
    return table.loc["aum", "average_precision"]


def _dynamics(dataset, run: str) -> np.ndarray:
    return dataset.run(run).dynamics(dataset.view().ids).margin


def test_training_by_workers_finds_as_much_as_by_one(workers, twins):
    alone, by_ray = twins
    labelaudit.train(alone, "long", _config())
    reports = []
    run = cluster.train(by_ray, "long", _config(), task=Task(reports.append))
    assert run.info["workers"] == 3
    assert run.info["epochs"] == len(run.info["curves"]) == 6
    assert run.info["learned"] == alone.run("long").info["learned"]
    assert reports[-1].epochs == 6
    assert reports[-1].run["name"] == "long"
    assert np.isfinite(_dynamics(by_ray, "long")).all()
    assert by_ray.run("long").info["curves"][-1]["train_accuracy"] > 0.7
    assert _dynamics(by_ray, "long").shape == (6, 1_797)
    assert not by_ray.unfinished_runs
    assert not list((Path(os.environ["LABELAUDIT_HOME"]) / "ray").glob("*"))
    mine, theirs = (_found(each, "long") for each in twins)
    assert theirs > mine - 0.02, (mine, theirs)
    assert cluster.predict(by_ray, "long") == 1_797


def test_training_obeys_a_stop_and_says_what_it_cannot(workers, twins):
    _, by_ray = twins
    reports = []

    def stop() -> bool:
        return bool(reports) and len(reports[-1].curves) >= 2

    run = cluster.train(by_ray, "short", _config(), task=Task(reports.append, stop))
    assert run.info["stopped"]
    assert 2 <= run.info["epochs"] < 6
    with pytest.raises(StoppedError, match="stopped"):
        cluster.train(by_ray, "none", _config(), task=Task(stop=lambda: True))
    with pytest.raises(LabelAuditError, match="folds=2: on Ray one model learns all"):
        cluster.train(by_ray, "folds", _config(folds=2))
    assert by_ray.runs == ["mine", "short"]
    assert not by_ray.unfinished_runs


def test_images_that_no_worker_can_read_end_a_training(workers, tmp_path, picture):
    for i in range(60):
        picture(tmp_path / f"in/{'ab'[i % 2]}/{i:03}.png", seed=i)
    dataset = labelaudit.load_dataset("files", tmp_path / "in")
    shutil.rmtree(tmp_path / "in")
    with pytest.raises(LabelAuditError, match=r"^none of the \d+ images can be read"):
        cluster.train(dataset, "none", _config(image_size=16))
    assert not dataset.runs
    assert not dataset.unfinished_runs


# --- workers that are lost ---


@pytest.fixture
def slow(twins, monkeypatch):
    """Slow enough to be interrupted: there are many blocks, each takes a few tenths of a second."""
    monkeypatch.setattr(predicting, "LEAST_ROWS", 60)
    monkeypatch.setattr(predicting, "ROWS", 60)
    return twins


@pytest.mark.parametrize("lost", ["worker", "node"])
def test_a_loss_while_predicting_changes_nothing(workers, slow, lost):
    alone, by_ray = slow
    labelaudit.predict(alone)
    killed = []

    def kill(report) -> None:
        if killed or report.done < 200:
            return
        at_it = _processes("MapWorker(MapBatches(Predictor))")
        if lost == "worker":
            killed.append(at_it[0].pid)
            os.kill(at_it[0].pid, signal.SIGKILL)
        else:
            node = next(filter(None, (_node_of(workers, process) for process in at_it)))
            killed.append(node)
            workers.remove_node(node, allow_graceful=False)

    assert cluster.predict(by_ray, task=Task(kill)) == 1_797
    assert killed
    _same_logits(alone, by_ray)


def test_a_worker_lost_while_training_changes_nothing(workers, twins):
    """With two workers: the last digits of a sum over more depend on their order."""
    alone, by_ray = twins
    two = _config(batch_size=40)
    cluster.train(alone, "whole", two)
    killed = []

    def kill(report) -> None:
        if not killed and len(report.curves) >= 2:
            killed.append(_processes("RayTrainWorker")[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    run = cluster.train(by_ray, "whole", two, task=Task(kill))
    assert killed
    assert run.info["workers"] == 2
    assert run.info["epochs"] == 6
    np.testing.assert_allclose(_dynamics(by_ray, "whole"), _dynamics(alone, "whole"), atol=1e-3)


def test_a_node_lost_while_training_leaves_it_to_the_others(workers, twins):
    _, by_ray = twins
    killed = []

    def kill(report) -> None:
        if killed or len(report.curves) < 2:
            return
        nodes = (_node_of(workers, process) for process in _processes("RayTrainWorker"))
        killed.append(next(filter(None, nodes)))
        workers.remove_node(killed[0], allow_graceful=False)

    run = cluster.train(by_ray, "fewer", _config(), task=Task(kill))
    assert killed
    assert run.info["epochs"] == 6
    assert run.info["workers"] == 2
    assert np.isfinite(_dynamics(by_ray, "fewer")).all()
    assert _found(by_ray, "fewer") > 0.9


# --- the ways to it ---


def test_an_audit_on_ray_and_its_job(workers, home, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", workers.address)
    result = labelaudit.audit("digits", noise=0.2, config=_config(), on="ray", first_look=False)
    table = result.evaluation.set_index("score")
    assert table.loc["suspicion", "average_precision"] > 0.95
    assert result.dataset.run(result.run).info["workers"] >= 2

    job = manager.start("predict", "digits", run=result.run, split=None, on="ray").wait(240)
    assert job.status == files.DONE, job.log
    assert job.result["predicted"] == 1_797
    assert job.progress["stage"]

    job = manager.start("train", "digits", run="stopped", split=None, on="ray",
                     config={"epochs": 2_000})  # fmt: skip
    while not (job.progress or {}).get("curves"):
        assert job.status == files.RUNNING, job.log
    job.stop()
    assert job.wait(60).status == files.DONE, job.error
    assert job.result["stopped"]


def test_the_command_line_says_where(workers, home, monkeypatch, capsys):
    monkeypatch.setenv("RAY_ADDRESS", workers.address)
    labelaudit.load_dataset("digits")
    main(["train", "digits", "--epochs", "2", "--on", "ray"], standalone_mode=False)
    main(["predict", "digits", "--on", "ray", "--no-augment"], standalone_mode=False)
    main(["score", "digits", "--on", "ray"], standalone_mode=False)
    assert "1,797 samples predicted" in capsys.readouterr().out


def test_a_home_in_object_storage(workers, tmp_path, monkeypatch):
    pytest.importorskip("moto")
    from s3_server import BUCKET, S3Server

    server = S3Server()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LABELAUDIT_HOME", f"s3://{BUCKET}/home")
    try:
        images = np.random.default_rng(0).integers(0, 256, (200, 16, 16, 3), np.uint8)
        images[::2, :8] //= 4
        dataset = labelaudit.load_arrays("stored", images, ["dark", "light"] * 100)
        run = cluster.train(dataset, "mine", labelaudit.TrainConfig(epochs=2, batch_size=64))
        assert run.info["workers"] == 3
        assert cluster.predict(dataset, "mine") == 200
        names = cluster.compute_scores(dataset, "mine")
        theirs = _logits(dataset)[1], dataset.view().to_pandas()
        labelaudit.predict(dataset, "mine")
        assert labelaudit.compute_scores(dataset, "mine") == names
        mine = _logits(dataset)[1], dataset.view().to_pandas()
        np.testing.assert_allclose(mine[0], theirs[0], atol=1e-4)
        for name in names:
            np.testing.assert_allclose(mine[1][name], theirs[1][name], atol=1e-4, err_msg=name)
    finally:
        server.close()


def test_a_node_that_does_not_see_the_dataset_is_named(workers, twins, tmp_path):
    _, by_ray = twins
    pipeline = predicting._Pipeline(
        predicting.request_predictions(by_ray, None), "cpu", False, QUIET
    )
    pipeline.arguments = replace(pipeline.arguments, home=str(tmp_path / "elsewhere"))
    with pytest.raises(LabelAuditError, match="a node of the Ray cluster, has no /"):
        pipeline.execute()


def test_a_cluster_that_does_not_answer_is_named(home):
    """In a separate process, because this one is connected."""
    import subprocess
    import sys

    code = (
        "import labelaudit\n"
        "from labelaudit.cluster import predict\n"
        "d = labelaudit.load_dataset('digits')\n"
        "try:\n    predict(d)\nexcept labelaudit.LabelAuditError as error:\n    print(error)\n"
    )
    environment = {**os.environ, "RAY_ADDRESS": "127.0.0.1:1", "PYTHONPATH": str(REPO)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert "no Ray cluster could be reached at RAY_ADDRESS=127.0.0.1:1" in done.stdout, done.stderr


assert training  # its names are what the processes are called by
