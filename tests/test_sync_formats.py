"""A sync works for every format of a source, on disk and in object storage."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest

import labelaudit
from labelaudit.living.sync import apply_sync
from labelaudit.living.sync_plan import plan_sync
from labelaudit.storage import object_store

BEFORE = {"0.png": "a", "1.png": "b", "2.png": "a", "3.png": "b", "4.png": "a"}
# 3 is gone, 1 was moved, 2 has another image, 0 another label
AFTER = {"new.png": "c", "0.png": "b", "moved.png": "b", "2.png": "a", "4.png": "a"}
CHANGES = {"added": 1, "gone": 1, "replaced": 1, "moved": 1, "relabelled": 1}
URI = "s3://bucket/pets"


def coco(folder: Path, labels: dict[str, str]) -> Path:
    names = sorted(set(labels.values()))
    content = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(labels)],
        "categories": [{"id": 7 + i, "name": name} for i, name in enumerate(names)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 7 + names.index(label)}
            for i, label in enumerate(labels.values())
        ],
    }
    return written(folder / "coco.json", content)


def label_studio(folder: Path, labels: dict[str, str]) -> Path:
    def task(name: str, label: str) -> dict:
        choice = {"from_name": "kind", "to_name": "image", "type": "choices"}
        result = [{**choice, "value": {"choices": [label]}}]
        image = f"/data/local-files/?d={name}"
        return {"data": {"image": image}, "annotations": [{"result": result}]}

    return written(folder / "tasks.json", [task(*pair) for pair in labels.items()])


def label_studio_min(folder: Path, labels: dict[str, str]) -> Path:
    rows = [
        {"annotation_id": i, "image": f"/data/local-files/?d={name}", "choice": label}
        for i, (name, label) in enumerate(labels.items())
    ]
    return written(folder / "min.json", rows)


def fiftyone(folder: Path, labels: dict[str, str]) -> Path:
    (folder / "data").mkdir(exist_ok=True)
    for name in labels:
        shutil.copy2(folder / name, folder / "data" / name)
    content = {"classes": None, "labels": {Path(n).stem: label for n, label in labels.items()}}
    return written(folder / "labels.json", content)


def fiftyone_dataset(folder: Path, labels: dict[str, str]) -> Path:
    samples = [
        {"filepath": name, "ground_truth": {"_cls": "Classification", "label": label}}
        for name, label in labels.items()
    ]
    return written(folder / "samples.json", {"samples": samples})


def bucket_folder(folder: Path, labels: dict[str, str]) -> str:
    for name, label in labels.items():
        object_store.write(f"{URI}/{label}/{name}", (folder / name).read_bytes())
    return URI


def bucket_list(folder: Path, labels: dict[str, str]) -> str:
    for name in labels:
        object_store.write(f"{URI}/{name}", (folder / name).read_bytes())
    rows = "".join(f"{name},{label}\n" for name, label in labels.items())
    object_store.write(f"{URI}/labels.csv", f"filepath,label\n{rows}".encode())
    return f"{URI}/labels.csv"


def bucket_zip(folder: Path, labels: dict[str, str]) -> str:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name, label in labels.items():
            file.write(folder / name, f"{label}/{name}")
    object_store.write(f"{URI}/pets.zip", data.getvalue())
    return f"{URI}/pets.zip"


def written(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


FORMATS = [coco, label_studio, label_studio_min, fiftyone, fiftyone_dataset,
           bucket_folder, bucket_list, bucket_zip]  # fmt: skip


@pytest.mark.parametrize("write", FORMATS, ids=lambda write: write.__name__)
def test_every_format_is_followed(write, tmp_path, picture, bucket):
    for i, name in enumerate(BEFORE):
        picture(tmp_path / name, seed=i)
    dataset = labelaudit.load_dataset("pets", write(tmp_path, BEFORE))
    assert not any(plan_sync(dataset).counts.values())
    (tmp_path / "1.png").rename(tmp_path / "moved.png")
    picture(tmp_path / "2.png", seed=20)
    picture(tmp_path / "new.png", seed=30)
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    object_store.delete_below(URI)
    source = write(tmp_path, AFTER)
    plan = plan_sync(dataset)
    in_folders = write in (bucket_folder, bucket_zip)  # another label is another path
    assert {n: c for n, c in plan.counts.items() if c} == {**CHANGES, "moved": 1 + in_folders}
    apply_sync(dataset, plan)
    assert not any(plan_sync(dataset).counts.values())
    fresh = labelaudit.load_dataset("fresh", source)
    assert content(dataset) == content(fresh)


def content(dataset: labelaudit.Dataset) -> dict[str, tuple]:
    """The label and the pixels of each image that is not removed."""
    return {
        sample.filepath: (sample.ground_truth, sample.image.tobytes())
        for sample in dataset.view().exclude_tag("removed")
    }
