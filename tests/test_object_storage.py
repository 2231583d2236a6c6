"""Datasets and sources in object storage, on an S3 server of this machine."""

from __future__ import annotations

import io
import json
import signal
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from forks import Program
from PIL import Image
from s3_server import BUCKET, S3Server
from test_lease import is_held

import labelaudit
from labelaudit import Dataset, LabelAuditError
from labelaudit.cli import main
from labelaudit.dataset import dataset as datasets
from labelaudit.dataset import recovery
from labelaudit.jobs import manager
from labelaudit.storage import database, lease, object_store, snapshot, writer_lock
from labelaudit.storage import paths as homes

pytestmark = pytest.mark.system

REPO = Path(__file__).resolve().parents[1]
CONFIG = labelaudit.TrainConfig(epochs=2, threads=1)


@pytest.fixture(scope="module")
def server():
    server = S3Server()
    yield server
    server.close()


@pytest.fixture
def s3(server, tmp_path, monkeypatch):
    """A home in object storage for this test only, with a separate folder for local files."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path / "local"))
    uri = f"s3://{BUCKET}/{tmp_path.name}"
    monkeypatch.setenv("LABELAUDIT_HOME", f"{uri}/home")
    server.counts()
    return uri


@pytest.fixture
def small(s3):
    """200 digits with one scored run."""
    dataset = make()
    labelaudit.first_look(dataset, features="pixels")
    labelaudit.compute_scores(dataset)
    return dataset


@cache
def digits():
    from sklearn.datasets import load_digits

    return load_digits()


def make(name: str = "small", n: int = 200, **options) -> Dataset:
    images = (digits().images[:n] * 15).astype(np.uint8)
    labels = [str(label) for label in digits().target[:n]]
    splits = ["train" if i % 5 else "test" for i in range(n)]
    return labelaudit.load_arrays(name, images, labels, splits=splits, **options)


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (10, 12, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def cli(*arguments, code: int = 0):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result


# --- a complete audit ---


def test_an_audit_through_the_library(s3, server, tmp_path):
    dataset = make()
    assert labelaudit.inject_noise(dataset, rate=0.2, seed=1).changed == 40
    run = labelaudit.train(dataset, config=CONFIG)
    assert run.info["epochs"] == 2
    labelaudit.predict(dataset)
    labelaudit.compute_scores(dataset)
    found = dataset.view().sort_by("suspicion", reverse=True).limit(50)
    first, second = found.head(2)
    assert first.image.size == (8, 8)
    review = labelaudit.Review(dataset, "me")
    review.decide(first.id, "relabel", first.prediction.label)
    review.decide(second.id, "remove")
    review.undo()
    review.decide(second.id, "remove")
    assert labelaudit.apply_verdicts(dataset).ids.tolist() == sorted([first.id, second.id])
    again = Dataset("small")
    assert again[first.id].ground_truth == first.prediction.label
    assert again.info["tags"]["removed"] == 1
    assert labelaudit.write_suspects(found, tmp_path / "s.csv") == len(
        pd.read_csv(tmp_path / "s.csv")
    )
    labelaudit.export_dataset(dataset, tmp_path / "labels.csv")
    assert len(pd.read_csv(tmp_path / "labels.csv")) == 199
    labelaudit.export_dataset(dataset, tmp_path / "out", format="folders")
    assert len(list((tmp_path / "out").rglob("*.png"))) == 199
    assert labelaudit.list_datasets() == ["small"]
    assert not list((tmp_path / "local").rglob("*.lance"))
    labelaudit.delete_dataset("small")
    assert labelaudit.list_datasets() == []
    left = list(object_store.names_below(f"{s3}/home"))
    assert left == ["locks/small.json"]
    assert not is_held(f"{s3}/home/locks/small.json")


def test_an_audit_through_the_command_line_and_another_process(s3, tmp_path):
    for i in range(60):
        object_store.write(f"{s3}/pets/{('cat', 'dog')[i % 2]}/{i}.png", png(i))
    audited = json.loads(
        cli("audit", f"{s3}/pets", "--epochs", 1, "--no-first-look", "--json").stdout
    )
    assert audited["dataset"] == "pets"
    assert Dataset("pets").runs[-1] == "run-1"
    assert "labelaudit audit pets" in cli("audit", f"{s3}/pets", code=1).output
    loaded = cli("load", f"{s3}/pets", "--overwrite")
    assert "60 samples, 2 classes" in loaded.stdout
    assert "12 of 60" in cli("noise", "pets", "--rate", 0.2).stdout
    cli("train", "pets", "--epochs", 2)
    cli("predict", "pets")
    cli("score", "pets")
    listed = json.loads(cli("suspects", "pets", "--csv", tmp_path / "s.csv", "--json").stdout)
    assert len(pd.read_csv(tmp_path / "s.csv")) == listed["suspects"]
    ids = Dataset("pets").view().ids[:3]
    other = Program(
        "import sys, labelaudit\n"
        "d = labelaudit.load_dataset('pets')\n"
        "labelaudit.Review(d, 'other').decide(list(map(int, sys.argv[1:])), 'keep')\n"
        "print(len(d), d.runs, d.view().head(1)[0].image.size)",
        *ids,
    )
    assert other.communicate() == "60 ['run-1'] (12, 10)\n"
    assert other.wait() == 0
    (counted,) = json.loads(cli("verdicts", "pets", "--json").stdout)["reviewers"]
    assert (counted["reviewer"], counted["keep"]) == ("other", 3)
    cli("apply", "pets")
    cli("export", "pets", tmp_path / "labels.csv")
    assert len(pd.read_csv(tmp_path / "labels.csv")) == 60
    refused = cli("export", "pets", f"{s3}/labels.csv", code=1).output
    assert "is in object storage: write to a folder on this machine" in refused
    assert "60 samples" in cli("load", f"{s3}/pets", "--overwrite").stdout
    assert Dataset("pets").runs == []
    assert "pets" in cli("datasets").stdout
    cli("delete", "pets", "--yes")
    assert labelaudit.list_datasets() == []


def test_jobs_work_on_it_and_stay_local(s3, tmp_path):
    for i in range(6):
        object_store.write(f"{s3}/pets/{('cat', 'dog')[i % 2]}/{i}.png", png(i))
    job = manager.start("load", "pets", source=f"{s3}/pets", within=[f"{s3}/pets"]).wait(300)
    assert job.summary == "6 samples"
    assert job.folder.is_relative_to(tmp_path / "local")
    assert len(Dataset("pets")) == 6


# --- two writers ---

WRITER = """
import sys, numpy as np, labelaudit
from labelaudit.storage.lease import Lease
who, ids = sys.argv[1], [int(i) for i in sys.argv[2:]]
dataset = labelaudit.Dataset("small")
run = dataset.run()
review = labelaudit.Review(dataset, who)
for i in ids:
    review.decide(i, "keep")
    print(i, flush=True)
    dataset.tag([i], who)
    if i % 4 == 0:
        everyone = dataset.view().ids
        label, score = dataset.view().frame.label, {'one': 'hardness', 'two': 'aum'}[who]
        run.write_scores(everyone, label, {score: np.full(len(everyone), i / 10)})
"""


def test_two_machines_write_at_once_and_nothing_is_lost(small, tmp_path):
    ids = {"one": range(1, 7), "two": range(1, 7)}
    writers = {who: Program(WRITER, who, *of, HOME=str(tmp_path / who)) for who, of in ids.items()}
    printed = {who: writer.communicate().split() for who, writer in writers.items()}
    assert all(writer.wait() == 0 for writer in writers.values())
    for who, of in ids.items():
        assert printed[who] == [str(i) for i in of]
        assert sorted(labelaudit.Review(small, who).judged().tolist()) == list(of)
        assert small.view().match_tag(who).ids.tolist() == list(of)
    for score in ("hardness", "aum"):
        assert set(small.view().values(score)) == {0.4}
    log = small.view().store.read("verdicts", ["id"])["id"].to_numpy()
    assert len(log) == 12
    assert len(np.unique(log)) == 12
    rows = small.view().store.read("annotations", ["id"])["id"].to_numpy()
    assert len(np.unique(rows)) == len(rows) == 200
    assert all((tmp_path / who / ".labelaudit").is_dir() for who in ids)


HOLDER = """
import labelaudit, time
from labelaudit.storage import lease
lease.EXPIRY, lease.RENEWALS = 3.0, 12  # some may be late on a busy machine
with labelaudit.Dataset("small").view().store.transaction():
    print("held", flush=True)
    time.sleep(1000)
"""


def test_a_lease_is_kept_while_its_holder_lives_and_expires_with_it(s3, tmp_path, monkeypatch):
    dataset = make()
    holder = Program(HOLDER, HOME=str(tmp_path / "other"))
    assert holder.stdout.readline() == "held\n"
    monkeypatch.setattr(writer_lock, "LOCK_SECONDS", 5.0)  # longer than it takes to expire
    with pytest.raises(LabelAuditError) as caught:
        dataset.tag([1], "x")
    words = str(caught.value)
    assert f"'small' has been written to by process {holder.pid} on " in words
    assert "for over 5 s: wait for it to finish" in words
    holder.kill()
    monkeypatch.setattr(writer_lock, "LOCK_SECONDS", 300.0)
    monkeypatch.setattr(lease, "EXPIRY", 1000.0)  # the holder's counts
    began = time.monotonic()
    assert dataset.tag([1], "x") == 1
    assert time.monotonic() - began > 2.5
    assert Dataset("small").info["tags"] == {"x": 1}


def test_who_lost_the_lease_writes_nothing(s3, monkeypatch):
    dataset = make()
    monkeypatch.setattr(lease, "EXPIRY", 1.0)
    monkeypatch.setattr(lease, "RENEWALS", 1e-6)  # never renewed, as without a network
    uri = f"{s3}/home/locks/small.json"
    with dataset.view().store.transaction():
        other = lease.Lease(uri)
        other.acquire(300)
        with pytest.raises(LabelAuditError, match="others may write to it by now"):
            dataset.tag([1], "x")
        monkeypatch.setattr(lease, "EXPIRY", 300.0)
        assert other.is_sure
    assert is_held(uri)  # the other's: it was not given back for it
    other.release()
    assert dataset.tag([1], "x") == 1
    assert Dataset("small").info["tags"] == {"x": 1}


# --- replaced, deleted, killed ---


class Killed(BaseException):
    """Simulate the end of the process: none of its work continues."""


CHANGES = ("write", "write_if", "delete", "delete_below")


def kill_at(monkeypatch, step: int) -> None:
    """The process dies just before its change number `step` to the storage."""
    made = 0

    def dying(change):
        def call(*arguments):
            nonlocal made
            made += 1
            if made > step:
                raise Killed
            return change(*arguments)

        return call

    for name in CHANGES:
        monkeypatch.setattr(object_store, name, dying(getattr(object_store, name)))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("copied", [False, True], ids=["", "copied here from a disk"])
def test_killed_anywhere_in_a_replacement_one_of_the_two_is_whole(s3, monkeypatch, copied):
    folder, sizes = f"{s3}/home/datasets/small", [0]
    for step in range(20):
        if sizes[-1] != 20:
            old = make(n=20, overwrite=True)
            if copied:
                copy_out(folder, old)
        with monkeypatch.context() as patch:
            kill_at(patch, step)
            try:
                make(n=30, overwrite=True)
                over = True
            except Killed:
                over = False
        object_store.delete(f"{s3}/home/locks/small.json")  # as if it had expired
        found = Dataset("small")
        sizes.append(len(found))
        assert found.view().head(1)[0].image.size == (8, 8)
        assert "small" in labelaudit.list_datasets()
        assert found.tag([1], f"killed at {step}") == 1
        recovery.clean_up_folders()
        assert not homes.has_leftovers("small")
        assert len(Dataset("small")) == sizes[-1]
        if over:
            break
    assert over
    assert sizes == sorted(sizes)
    assert set(sizes) == {0, 20, 30}


def copy_out(folder: str, dataset: Dataset) -> None:
    """Like `aws s3 cp --recursive` of a local dataset of format 1: the tables are directly in the
    folder."""
    tables = dataset.view().store.location("meta")[0].rpartition("/")[0]
    for name in object_store.names_below(tables):
        object_store.write(f"{folder}/{name}", object_store.read(f"{tables}/{name}")[0])
    object_store.delete(f"{folder}/current")
    object_store.delete_below(tables)
    dataset.refresh()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_killed_anywhere_in_a_deletion_it_is_there_or_gone(s3, monkeypatch):
    for step in range(20):
        make(n=20, overwrite=True)
        with monkeypatch.context() as patch:
            kill_at(patch, step)
            try:
                labelaudit.delete_dataset("small")
                over = True
            except Killed:
                over = False
        object_store.delete(f"{s3}/home/locks/small.json")  # as if it had expired
        if labelaudit.list_datasets():
            assert len(Dataset("small").view().head(20)) == 20
        else:
            with pytest.raises(LabelAuditError, match="no dataset 'small'"):
                Dataset("small")
        if labelaudit.list_datasets() or homes.has_leftovers("small"):
            labelaudit.delete_dataset("small")
        names = [n for n in object_store.names_below(f"{s3}/home/datasets") if n != "small/current"]
        assert names == []
        if over:
            break
    assert over


def test_a_load_that_fails_or_was_killed_leaves_nothing(s3, monkeypatch):
    def rows():
        yield {"image": png(0), "label": "x"}
        raise LabelAuditError("the source broke")

    with pytest.raises(LabelAuditError, match="the source broke"):
        datasets.create_dataset("small", rows())
    assert list(object_store.names_below(f"{s3}/home/datasets")) == []

    killed = Program(
        "import os\nfrom labelaudit.storage import lease\n"
        "from labelaudit.dataset.dataset import create_dataset\n"
        "lease.EXPIRY, lease.RENEWALS = 2.0, 10\n"
        "def rows():\n"
        "    for i in range(100_000):\n"
        "        if i == 50_000: print('begun', flush=True); os.kill(os.getpid(), 9)\n"
        "        yield {'filepath': f'/{i}', 'label': 'x'}\n"
        "create_dataset('small', rows())"
    )
    assert killed.communicate() == "begun\n"
    assert killed.wait() == -signal.SIGKILL
    object_store.write(f"{s3}/home/datasets/small/0123456789ab/samples.lance/data/1.lance", b"half")
    assert labelaudit.list_datasets() == []
    assert "small deleted" in cli("delete", "small", "--yes").output
    assert list(object_store.names_below(f"{s3}/home/datasets")) == []
    assert "no dataset 'small'" in cli("delete", "small", "--yes", code=1).output


def test_a_reader_follows_a_replacement(s3):
    reader = make(n=20)
    view = reader.view()
    assert len(view) == 20
    make(n=30, overwrite=True)
    assert len(view) == len(reader) == 30
    assert reader.tag([30], "x") == 1
    assert view.head(1)[0].image.size == (8, 8)
    labelaudit.delete_dataset("small")
    with pytest.raises(LabelAuditError, match="'small' has been deleted"):
        reader.info  # noqa: B018


# --- what can go wrong ---


def wrong_bucket(patch, server):
    patch.setenv("LABELAUDIT_HOME", "s3://nowhere-at-all/home")


def wrong_credentials(patch, server):
    server.put("/moto-api/reset-auth", b"0", "POST")  # from now on it looks at them
    patch.setenv("AWS_ACCESS_KEY_ID", "somebody")


def no_credentials(patch, server):
    patch.delenv("AWS_ACCESS_KEY_ID")
    patch.delenv("AWS_SECRET_ACCESS_KEY")
    patch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")


def endpoint_down(patch, server):
    patch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")


def no_http(patch, server):
    patch.delenv("AWS_ALLOW_HTTP")


def no_package(patch, server):
    patch.setitem(sys.modules, "obstore", None)


def no_bucket_named(patch, server):
    patch.setenv("LABELAUDIT_HOME", "s3://")


def unknown_scheme(patch, server):
    patch.setenv("LABELAUDIT_HOME", "https://example.org/home")


def one_slash(patch, server):
    patch.setenv("LABELAUDIT_HOME", "s3:/bucket/home")


@pytest.mark.parametrize(("break_it", "said"), [
    (wrong_bucket, "s3://nowhere-at-all at http://127.0.0.1:.* does not exist: check the bucket's"),
    (wrong_credentials, "refuses the credentials: check AWS_ACCESS_KEY_ID"),
    (no_credentials, "there are no credentials: set AWS_ACCESS_KEY_ID"),
    (endpoint_down, "s3://bucket at http://127.0.0.1:9 cannot be reached: check the network"),
    (no_http, "uses http, which is not allowed by default: set AWS_ALLOW_HTTP=true"),
    (no_package, "needs the package obstore: pip install obstore"),
    (no_bucket_named, "names no bucket: write s3://bucket/prefix"),
    (unknown_scheme, "cannot be used: give a folder, or s3://bucket/prefix"),
    (one_slash, "cannot be used: give a folder, or s3://bucket/prefix"),
])  # fmt: skip
def test_what_is_wrong_is_one_sentence(s3, server, monkeypatch, break_it, said):
    import re

    break_it(monkeypatch, server)
    try:
        for command in (["datasets"], ["load", "digits"], ["suspects", "pets"]):
            output = cli(*command, code=1).output.strip()
            assert re.search(said, output), output
            assert output.startswith("Error: ")
            assert "\n" not in output
            assert len(output) < 300
    finally:
        if break_it is wrong_credentials:
            server.put("/moto-api/reset-auth", b"inf", "POST")


def test_a_source_in_a_bucket_that_does_not_exist_is_one_sentence(s3):
    with pytest.raises(LabelAuditError, match=r"s3://nowhere-at-all at .* does not exist"):
        labelaudit.load_dataset("x", "s3://nowhere-at-all/pets")
    assert labelaudit.list_datasets() == []


def test_a_home_in_an_empty_prefix_is_empty(s3):
    assert labelaudit.list_datasets() == []
    assert "no datasets yet" in cli("datasets").stdout
    with pytest.raises(LabelAuditError, match="nor any other: load one first"):
        Dataset("pets")


def raising(error: Exception):
    def call(*_, **__):
        raise error

    return call


def test_storage_that_goes_down_meanwhile_is_one_sentence(small, monkeypatch):
    (sample,) = small.view().head(1)
    small.view().store.refresh()
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    broken = RuntimeError("lance error: HttpError: error sending request for url")
    monkeypatch.setattr(database.lancedb.table.LanceTable, "take_offsets", raising(broken))
    with pytest.raises(LabelAuditError, match="cannot be reached"):
        sample.image  # noqa: B018
    for act in (lambda: labelaudit.Dataset("small"),
                lambda: labelaudit.Review(small, "me").decide(1, "keep")):  # fmt: skip
        with pytest.raises(LabelAuditError, match="cannot be reached"):
            act()


def test_what_a_page_and_a_verdict_ask_for_is_bounded(small, server):
    dataset = Dataset("small")
    view = labelaudit.suspects(dataset)
    server.counts()
    view.head(12)
    assert sum(server.counts().values()) < 30  # all scores are read at once
    for sample in view.skip(3).head(12):
        assert sample.image.size == (8, 8)
    assert sum(server.counts().values()) < 40
    review = labelaudit.Review(dataset, "me")
    review.decide(1, "keep")
    server.counts()
    review.decide(2, "keep")
    asked = server.counts()
    assert sum(asked.values()) <= 8
    assert asked["PUT"] == 6  # the lease twice; rows, transaction and version; the snapshot


def test_all_epochs_of_a_sample_are_read_as_one_row(s3, server):
    dataset = make(n=20)
    ids, run = dataset.view().ids, dataset.new_run()
    margin = np.arange(60, dtype=np.float32).reshape(3, 20)
    for epoch in range(3):
        run.append_dynamics(epoch + 1, ids, ids % 2, margin[epoch], margin[epoch])
    run.finish({"classes": dataset.classes})
    opened = Dataset("small").run("run-1")
    server.counts()
    assert opened.dynamics_of([2]).margin.tolist() == [[1], [21], [41]]
    assert sum(server.counts().values()) < 20


def test_file_uris_are_folders(home, monkeypatch):
    monkeypatch.setenv("LABELAUDIT_HOME", f"file://{home}/else%20where")
    assert homes.home() == f"{home}/else where"
    assert not homes.is_remote()


def test_what_another_process_writes_is_seen_within_seconds(small):
    assert small.info["tags"] == {"processed": 200}
    other = Program(
        "import labelaudit; d = labelaudit.Dataset('small')\n"
        "for tag in 'xy': input(); print(d.tag([1], tag), flush=True)"
    )

    def let_it_tag() -> None:
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "1\n"

    let_it_tag()
    small.view().store.refresh()  # as a page of the app begins
    assert small.info["tags"] == {"processed": 200, "x": 1}
    let_it_tag()
    assert other.wait() == 0
    time.sleep(snapshot.FRESH_SECONDS)
    assert small.info["tags"] == {"processed": 200, "x": 1, "y": 1}
    Dataset("small").tag([1], "z")  # of this process at once
    assert small.info["tags"] == {"processed": 200, "x": 1, "y": 1, "z": 1}


def test_a_page_of_the_app_asks_for_little(small, server):
    from streamlit.testing.v1 import AppTest

    app = AppTest.from_file(str(REPO / "app.py"), default_timeout=300).run()
    app.switch_page(str(REPO / "pages/suspects/results.py")).run()
    server.counts()
    app.run()
    assert not app.exception
    assert not app.error
    assert sum(server.counts().values()) < 60


def test_a_copy_that_is_not_yet_whole_is_left_alone(s3):
    object_store.write(f"{s3}/home/datasets/pets/samples.lance/data/1.lance", b"half")
    make(n=20)
    assert labelaudit.list_datasets() == ["small"]
    assert object_store.size(f"{s3}/home/datasets/pets/samples.lance/data/1.lance") == 4


def test_jobs_of_two_homes_do_not_meet(s3, monkeypatch):
    here = homes.jobs_folder()
    monkeypatch.setenv("LABELAUDIT_HOME", f"{s3}/other")
    assert homes.jobs_folder() != here
    assert homes.jobs_folder().is_relative_to(homes.local_home())
