"""Eight weeks of a dataset that changes, with kills, compared with one that is loaded at once."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from forks import CONTEXT, warm_up
from PIL import Image

import labelaudit
from labelaudit.dataset.history import list_changes
from labelaudit.learn.earlier_runs import earlier_training
from labelaudit.living.sync import apply_sync
from labelaudit.living.sync_plan import plan_sync
from labelaudit.living.write_back import write_back
from labelaudit.storage import snapshot
from labelaudit.storage.tables import Store

CLASSES = ("cat", "dog", "pig")


class Folder:
    """A folder of class folders that somebody else changes every week."""

    def __init__(self, root: Path) -> None:
        self.root, self.rng, self.number = root, np.random.default_rng(5), 0

    def paths(self) -> list[Path]:
        return sorted(self.root.rglob("*.png"))

    def some(self, count: int) -> list[Path]:
        paths = self.paths()
        return [paths[i] for i in self.rng.permutation(len(paths))[:count]]

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = self.rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)

    def add(self, count: int) -> None:
        for _ in range(count):
            self.number += 1
            self.write(self.root / CLASSES[self.number % 3] / f"{self.number:03}.png")

    def change(self) -> None:
        self.add(4)
        for path in self.some(2):
            self.number += 1
            path.rename(path.with_name(f"renamed-{self.number}.png"))
        for path in self.some(2):  # relabelled
            self.number += 1
            other = CLASSES[(CLASSES.index(path.parent.name) + 1) % 3]
            path.rename(self.root / other / f"{path.stem}-{self.number}.png")
        for path in self.some(1):
            self.write(path)  # replaced
        for path in self.some(2):
            path.unlink()
        for path in self.some(3):  # a checkout changes times
            os.utime(path, ns=(self.number, self.number))


def follow(name: str) -> None:
    dataset = labelaudit.Dataset(name)
    apply_sync(dataset, plan_sync(dataset), prefer="source")


def give_back(name: str) -> None:
    write_back(labelaudit.Dataset(name), in_place=True)


def killed(action, at: int) -> bool:
    """Do it in a process that is killed before the at-th write. Returns whether it was."""
    process = CONTEXT.Process(target=_do, args=(action, at, os.environ["LABELAUDIT_HOME"]))
    process.start()
    process.join(300)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def _do(action, at: int, home: str) -> None:
    os.environ["LABELAUDIT_HOME"] = home
    passed = iter(range(1, 1_000_000))

    def counted(real):
        def call(*arguments, **options):
            if next(passed) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return call

    os.rename, os.replace = counted(os.rename), counted(os.replace)
    snapshot.Pointer.swap = counted(snapshot.Pointer.swap)
    Store._once = counted(Store._once)
    action("pets")


def state(dataset) -> dict[str, str]:
    table = dataset.view().exclude_tag("removed").to_pandas()
    return dict(zip(table.filepath, table.ground_truth, strict=True))


@pytest.mark.system
def test_eight_weeks_are_the_same_as_one_load(tmp_path, home):
    warm_up()
    folder = Folder(tmp_path / "pets")
    folder.add(24)
    dataset = labelaudit.load_dataset("pets", folder.root)
    rng, decided, kills = np.random.default_rng(6), {}, 0
    for week in range(8):
        folder.change()
        before = (state(dataset), len(list_changes(dataset)))
        kills += killed(follow, 1 + 2 * week % 7)
        dataset = labelaudit.Dataset("pets")
        if len(list_changes(dataset)) == before[1]:
            assert state(dataset) == before[0]  # nothing of it happened
        apply_sync(dataset, plan_sync(dataset), prefer="source")
        assert state(dataset) == {str(path): path.parent.name for path in folder.paths()}
        assert not len(plan_sync(dataset))

        here = dataset.view().exclude_tag("removed").ids
        ids = rng.permutation(here)[:4].tolist()
        for who, some in (("ann", ids[:2]), ("bob", ids[1:])):  # they agree on one
            for sample in some:
                label = CLASSES[sample % 3]
                labelaudit.Review(dataset, who).decide([sample], "relabel", label)
                decided[sample] = label
        dataset.tag(ids[:1], f"week-{week}")
        labelaudit.apply_verdicts(dataset)
        kills += killed(give_back, 1 + week % 5)
        dataset = labelaudit.Dataset("pets")
        write_back(dataset, in_place=True)
        assert not len(plan_sync(dataset))
    assert kills >= 8
    fresh = labelaudit.load_dataset("fresh", folder.root)
    assert state(dataset) == state(fresh)
    assert labelaudit.verify(dataset, folder.root).equal
    assert labelaudit.verify(fresh, labelaudit.verify(dataset, None).fingerprint).equal
    assert dataset.view().count_values("tags").keys() >= {f"week-{week}" for week in range(8)}
    log = dataset.view().frame.read("verdicts", ["sample"])["sample"].to_pylist()
    assert set(decided) <= set(log)
    ids = dataset.view().ids
    assert len(ids) == len(set(ids.tolist()))


def test_an_audit_after_a_sync_reads_new_images_only(tmp_path, home, monkeypatch):
    """Features, fingerprints for duplicates, and quality."""
    from labelaudit.features import image_batches

    folder = Folder(tmp_path / "pets")
    folder.add(30)
    dataset = labelaudit.load_dataset("pets", folder.root)
    audit = {"train": False, "features": "pixels"}
    labelaudit.audit(dataset, **audit)
    folder.write(folder.root / "cat/new.png")
    moved = folder.root / "cat/moved.png"
    (folder.root / "cat/003.png").rename(moved)
    shutil.rmtree(folder.root / "pig")
    apply_sync(dataset, plan_sync(dataset))
    (new,) = dataset.view().match_tag("new-in-sync").ids.tolist()
    opened = []
    real = image_batches.Images.__init__

    def noted(self, frame, ids, *arguments, **options):
        opened.append(np.asarray(ids).tolist())
        real(self, frame, ids, *arguments, **options)

    monkeypatch.setattr(image_batches.Images, "__init__", noted)
    result = labelaudit.audit(dataset, **audit)
    assert opened
    assert all(ids == [new] for ids in opened if ids), opened
    judged = dataset.view(result.run).values("suspicion")
    assert np.isfinite(judged[dataset.view().ids == new]).all()


def test_a_model_is_trained_again_only_if_much_is_new(tmp_path, home):
    folder = Folder(tmp_path / "pets")
    folder.add(30)
    dataset = labelaudit.load_dataset("pets", folder.root)
    config = labelaudit.TrainConfig(epochs=1, threads=1)
    labelaudit.audit(dataset, config=config, features="pixels")
    assert earlier_training(dataset) is None  # nothing was synced since
    folder.write(folder.root / "cat/new.png")
    apply_sync(dataset, plan_sync(dataset))
    (new,) = dataset.view().match_tag("new-in-sync").ids.tolist()

    def stored() -> dict[int, np.ndarray]:
        batches = dataset.run("run-1").logits()
        return {int(i): row for ids, rows in batches for i, row in zip(ids, rows, strict=True)}

    before = stored()
    result = labelaudit.audit(dataset, features="pixels")
    assert (result.run, dataset.trained_runs) == ("run-1", ["run-1"])
    assert result.training_note.startswith("No model was trained again: 3.2% of the labels are new")
    assert result.training_note in str(result)
    assert result.to_dict()["training_note"] == result.training_note
    assert np.isfinite(dataset.view("run-1").values("suspicion")).all()
    after = stored()
    assert after.keys() - before.keys() == {new}
    assert all(np.array_equal(after[i], before[i]) for i in before)
    for i in range(3):
        folder.write(folder.root / f"cat/more-{i}.png")
    dataset.set_labels([new], "dog")  # counted once
    apply_sync(dataset, plan_sync(dataset))
    earlier = earlier_training(dataset)
    assert (earlier.changed, earlier.labelled, earlier.serves) == (4, 34, False)
    assert earlier.why == "11.8% of the labels are new or changed since run run-1, over 10%"
    folder.write(folder.root / "yak/one.png")
    apply_sync(dataset, plan_sync(dataset))
    assert earlier_training(dataset).why == "run run-1 knows too few images of class 'yak'"
