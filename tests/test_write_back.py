"""Corrected labels go back into the file that they came from, and nothing else in it changes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from test_cli import cli

import labelaudit
from labelaudit.core.errors import BadInputError, StorageError
from labelaudit.living.sync_plan import plan_sync
from labelaudit.living.write_back import moves, plan_write_back, undo_moves, write_back
from labelaudit.living.write_back.csv_text import edit_csv


@pytest.fixture
def images(tmp_path, picture) -> Path:
    for i in range(4):
        picture(tmp_path / f"data/{i}.png", seed=i)
    return tmp_path / "data"


def corrected(file: Path, labels: dict[int, str | None], **options) -> labelaudit.Dataset:
    """Load a list, and correct the labels of these images."""
    dataset = labelaudit.load_dataset("mine", file, **options)
    id_of = {Path(s.filepath).stem: s.id for s in dataset.view()}
    for i, label in labels.items():
        dataset.set_labels([id_of[str(i)]], label)
    return dataset


PLAIN = "filepath,label\n0.png,cat\n1.png,dog\n2.png,cat\n3.png,dog\n"
QUOTED = """filepath,label,note
"0.png","cat","a ""b"", c
d"
1.png,dog,5" disk
2.png,"cat",
3.png,dog,""
"""
WINDOWS = """filepath;label;x\r
0.png;cat;1,5\r
\r
1.png;dog;\r
2.png;cat; 2\r
3.png;dog;é\r
"""
METADATA = """id,file_name,note,label
9,0.png,a,cat
8,1.png,b,dog
7,2.png,c,cat
6,3.png,d,dog
"""
TABLES = {
    "quoted": ("labels.csv", QUOTED, "utf-8"),
    "quoted, UTF-16": ("labels.csv", QUOTED, "utf-16"),
    "Windows": ("labels.csv", WINDOWS, "utf-8-sig"),
    "tabs, no newline at the end": ("labels.tsv", PLAIN.replace(",", "\t").rstrip(), "utf-8"),
    "Excel": ("labels.csv", "sep=;\n" + PLAIN.replace(",", ";"), "utf-8"),
    "ImageFolder": ("metadata.csv", METADATA, "utf-8"),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_table_keeps_every_byte_but_the_cell(case, images, tmp_path):
    name, text, encoding = TABLES[case]
    file = images / name
    data = text.encode(encoding)
    file.write_bytes(data)
    dataset = corrected(file, {})
    out = tmp_path / f"same{file.suffix}"
    write_back(dataset, out)
    assert out.read_bytes() == data
    id_of = {Path(s.filepath).stem: s.id for s in dataset.view()}
    dataset.set_labels([id_of["0"]], "dog")
    dataset.set_labels([id_of["3"]], "cat")
    plan = write_back(dataset, in_place=True)
    assert [row[1:] for row in plan.rows] == [("cat", "dog"), ("dog", "cat")]
    lines = text.split("\n")
    expected = []
    for line in lines:
        for image, old, new in (("0.png", "cat", "dog"), ("3.png", "dog", "cat")):
            line = line.replace(old, new) if image in line else line
        expected.append(line)
    assert file.read_bytes() == "\n".join(expected).encode(encoding)
    assert Path(f"{file}.bak").read_bytes() == data
    assert plan_write_back(dataset).rows == []
    assert sum(plan_sync(dataset).counts.values()) == 0


def test_cells_that_need_quotes_get_them():
    data = b'a,b\n1,x\n2,"y"\n3,\n'
    new = edit_csv(data, 1, {0: 'p,"q"', 1: "z", 2: " w"}, "t.csv")
    assert new == b'a,b\n1,"p,""q"""\n2,"z"\n3," w"\n'
    with pytest.raises(BadInputError, match="row 2 has no cell"):
        edit_csv(b"a,b\n1,2\n3\n", 1, {1: "x"}, "t.csv")


def test_parquet_keeps_columns_types_and_metadata(images):
    table = pa.table(
        {
            "x": pa.array([1.5, None, 2, 3], pa.float32()),
            "filepath": [f"{i}.png" for i in range(4)],
            "label": pa.array(["cat", "dog", "cat", "dog"]).dictionary_encode(),
        }
    ).replace_schema_metadata({"mine": "yes"})
    parquet.write_table(table, images / "labels.parquet", compression="zstd", row_group_size=2)
    dataset = corrected(images / "labels.parquet", {0: "dog"})
    write_back(dataset, in_place=True)
    new = parquet.ParquetFile(images / "labels.parquet")
    assert new.metadata.num_row_groups == 2
    assert new.metadata.row_group(0).column(0).compression == "ZSTD"
    after = new.read()
    assert after.schema.equals(table.schema, check_metadata=True)
    assert after["label"].to_pylist() == ["dog", "dog", "cat", "dog"]
    assert after.drop_columns("label").equals(table.drop_columns("label"))


JSON = {
    "lines.jsonl": """{"filepath": "0.png",  "label": "cat", "é": [1]}

{"label":"dog","filepath":"1.png"}
{"filepath": "2.png", "label": null}
{"filepath": "3.png", "label": "dog"}""",
    "rows.json": """[
  {"filepath": "0.png", "label": ["cat"], "n": 1.50},
  {"label": "dog", "filepath": "1.png"},
  {"filepath": "2.png", "label": null},
  {"filepath": "3.png", "label": "dog"}
]
""",
}


@pytest.mark.parametrize("name", JSON)
def test_json_keeps_its_layout(name, images):
    (images / name).write_text(JSON[name])
    dataset = corrected(images / name, {0: "dog", 2: "cat", 3: None})
    write_back(dataset, in_place=True)
    text = JSON[name].replace('"cat"', '"dog"')
    text = text.replace('"2.png", "label": null', '"2.png", "label": "cat"')
    text = text.replace('"3.png", "label": "dog"', '"3.png", "label": null')
    assert (images / name).read_text() == text


def test_coco_changes_the_category_only(images, tmp_path):
    content = {
        "info": {"é": 1.0},
        "annotations": [
            {"id": 1, "image_id": 10, "bbox": [0, 1.50, 2, 3], "category_id": 3},
            {"category_id": 3, "id": 2, "image_id": 10},
            {"id": 3, "image_id": 11, "category_id": 5},
        ],
        "images": [{"id": 10 + i, "file_name": f"{i}.png"} for i in range(3)],
        "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}],
    }
    text = json.dumps(content, indent=1).replace("1.5,", "1.50,")
    (images / "coco.json").write_text(text)
    dataset = corrected(images / "coco.json", {0: "dog", 2: "cat"})
    dataset.set_labels([2], None)
    plan = write_back(dataset, tmp_path / "out.json")
    expected = text.replace('"category_id": 3', '"category_id": 5')
    assert (tmp_path / "out.json").read_text() == expected
    assert [why for _, why in plan.left] == [
        "has no label now, and COCO cannot say so",
        "has no annotation that could get a category",
    ]
    assert (images / "coco.json").read_text() == text
    with pytest.raises(BadInputError, match="already exists"):
        write_back(dataset, tmp_path / "out.json")


def test_label_studio_gets_an_annotation_that_wins(images):
    def task(i, choices, truth=False):
        results = [
            {
                "completed_by": n,
                "ground_truth": truth,
                "result": [{"from_name": "kind", "to_name": "img", "type": "choices",
                            "value": {"choices": [choice]}}],
            }
            for n, choice in enumerate(choices)
        ]  # fmt: skip
        return {"id": i, "data": {"img": f"{i}.png"}, "annotations": results, "extra": 1.50}

    tasks = [task(0, ["cat", "cat"]), task(1, ["dog"], True), task(2, []), task(3, ["cat"])]
    file = images / "tasks.json"
    file.write_text(json.dumps(tasks))
    dataset = corrected(file, {0: "dog", 1: "cat", 2: "cat"})
    write_back(dataset, in_place=True)
    new = json.loads(file.read_text())
    assert new[3] == tasks[3]
    assert [len(t["annotations"]) for t in new] == [3, 2, 1, 1]
    assert new[0]["annotations"][:2] == tasks[0]["annotations"]
    assert new[1]["annotations"][0]["ground_truth"] is False
    assert new[2]["annotations"][0]["result"][0]["to_name"] == "img"
    again = labelaudit.load_dataset("again", file)
    assert again.view().values("ground_truth").tolist() == ["dog", "cat", "cat", "cat"]


def test_a_file_changed_meanwhile_and_formats_without_a_writer_are_refused(images, tmp_path):
    file = images / "labels.csv"
    text = "filepath,label\n0.png,cat\n1.png,dog\n2.png,cat\n3.png,dog\n"
    file.write_text(text)
    dataset = corrected(file, {0: "dog"})
    file.write_text(text.replace("0.png,cat", "0.png,pig"))
    with pytest.raises(BadInputError, match="sync mine --apply"):
        plan_write_back(dataset)
    file.write_text(text)
    dataset.tag([1], "removed")
    plan = plan_write_back(dataset)
    assert (plan.rows, plan.removed) == ([], 1)
    for arguments in ({}, {"output": tmp_path / "x.csv", "in_place": True}):
        with pytest.raises(BadInputError, match="not both"):
            write_back(dataset, **arguments)
    labels = {"classes": ["cat", "dog"], "labels": {"0": 0, "1": 1}}
    (images / "labels.json").write_text(json.dumps(labels))
    (images / "data").mkdir()
    for i in range(2):
        (images / f"{i}.png").rename(images / f"data/{i}.png")
    other = labelaudit.load_dataset("fo", images / "labels.json")
    with pytest.raises(BadInputError, match="FiftyOne export cannot be written back"):
        plan_write_back(other)


def test_several_lists_are_written_to_a_folder(images, tmp_path):
    for split, numbers in (("train", (0, 1)), ("test", (2, 3))):
        rows = [f"{i}.png,{'cat' if i % 2 else 'dog'}\n" for i in numbers]
        (images / f"{split}.csv").write_text("".join(["filepath,label\n", *rows]))
    dataset = corrected(images, {0: "cat"})
    with pytest.raises(BadInputError, match="give a folder"):
        write_back(dataset, tmp_path / "x.csv")
    (tmp_path / "out").mkdir()
    write_back(dataset, tmp_path / "out")
    assert (tmp_path / "out/train.csv").read_text() == "filepath,label\n0.png,cat\n1.png,cat\n"
    assert (tmp_path / "out/test.csv").read_bytes() == (images / "test.csv").read_bytes()


@pytest.fixture
def pets(tmp_path, picture) -> Path:
    for i in range(6):
        picture(tmp_path / "pets/train" / ("cat", "dog")[i % 2] / f"deep/{i}.png", seed=i)
    picture(tmp_path / "pets/train/dog/deep/0.png", seed=50)
    return tmp_path / "pets"


def tree(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*.png")}


def test_class_folders_move_images_and_move_them_back(pets, monkeypatch):
    dataset = labelaudit.load_dataset("pets", pets)
    before = tree(pets)
    id_of = {s.filepath: s.id for s in dataset.view()}
    dataset.set_labels([id_of[str(pets / f"train/cat/deep/{i}.png")] for i in (0, 2)], "dog")
    assert "would be moved" in cli("write-back", "pets", "--in-place", "--dry-run").stdout
    assert "needs in_place" in cli("write-back", "pets", "-o", "x", code=1).stderr
    assert tree(pets) == before

    real, left = os.rename, [1]

    def killed(*names):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        real(*names)

    monkeypatch.setattr(moves.os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        write_back(dataset, in_place=True)
    monkeypatch.setattr(moves.os, "rename", real)
    for call in (plan_write_back, plan_sync):
        with pytest.raises(BadInputError, match="was interrupted while it moved images"):
            call(dataset)
    cli("write-back", "pets", "--in-place")
    after = before - {"train/cat/deep/0.png", "train/cat/deep/2.png"}
    assert tree(pets) == after | {"train/dog/deep/0-2.png", "train/dog/deep/2.png"}
    assert sum(plan_sync(dataset).counts.values()) == 0
    assert plan_write_back(dataset).rows == []
    assert dataset.view().head(1)[0].image.size == (12, 10)
    assert "2 images moved back" in cli("write-back", "pets", "--undo").stdout
    assert tree(pets) == before
    assert len(plan_write_back(dataset).moves) == 2
    with pytest.raises(BadInputError, match="or that was undone"):
        undo_moves(dataset)


def test_a_folder_that_would_be_read_differently_is_left_alone(pets, picture):
    dataset = labelaudit.load_dataset("pets", pets)
    dataset.add_samples([{"filepath": str(picture(pets.parent / "x.png")), "label": "test"}])
    id_of = {s.filepath: s.id for s in dataset.view()}
    dataset.set_labels([id_of[str(pets / "train/cat/deep/0.png")]], "test")
    before = tree(pets)
    with pytest.raises(BadInputError, match="nothing was moved"):
        write_back(dataset, in_place=True)
    assert tree(pets) == before
    dataset.set_labels([id_of[str(pets / "train/cat/deep/0.png")]], "dog")
    plan = plan_write_back(dataset)
    Path(plan.moves[0].after).write_bytes(b"somebody else's")
    with pytest.raises(StorageError, match="exists already"):
        moves.make_moves(dataset, plan.moves)
    assert Path(plan.moves[0].after).read_bytes() == b"somebody else's"


def test_the_command_writes_a_copy(images, tmp_path):
    file = images / "labels.csv"
    file.write_text("filepath,label\n0.png,cat\n1.png,dog\n2.png,cat\n3.png,dog\n")
    corrected(file, {0: "dog"})
    dry = json.loads(cli("write-back", "mine", "--dry-run", "--json").stdout)
    assert dry["changes"] == [[str(images / "0.png"), "cat", "dog"]]
    assert "give --output or --in-place" in cli("write-back", "mine", code=2).stderr
    text = cli("write-back", "mine", "-o", tmp_path / "new.csv").stdout
    assert "0.png: cat → dog" in text
    assert pd.read_csv(tmp_path / "new.csv").label.tolist() == ["dog", "dog", "cat", "dog"]


def test_a_dry_run_prints_every_change(tmp_path, picture):
    picture(tmp_path / "0.png")
    rows = ["0.png,cat", *["0.png,dog"] * 24]
    (tmp_path / "labels.csv").write_text("\n".join(["filepath,label", *rows]))
    dataset = labelaudit.load_dataset("mine", tmp_path / "labels.csv")
    dataset.set_labels(dataset.view().ids[1:], "cat")
    assert cli("write-back", "mine", "--dry-run").stdout.count("dog → cat") == 24
    dataset.set_labels(dataset.view().ids[1:], None)
    assert "no label" in cli("write-back", "mine", "--dry-run").stdout


def test_a_file_keeps_its_permissions_and_a_read_only_one_is_refused(images):
    file = images / "labels.csv"
    file.write_text(PLAIN)
    file.chmod(0o440)
    dataset = corrected(file, {0: "dog"})
    with pytest.raises(StorageError, match="is read-only"):
        write_back(dataset, in_place=True)
    assert sorted(images.glob("labels*")) == [file]
    file.chmod(0o660)
    write_back(dataset, in_place=True)
    assert file.stat().st_mode & 0o777 == 0o660


def test_labels_of_other_types_keep_their_type(images):
    file = images / "labels.jsonl"
    rows = [{"filepath": f"{i}.png", "label": i % 2 == 0} for i in range(4)]
    file.write_text("\n".join(map(json.dumps, rows)))
    write_back(corrected(file, {0: "False"}), in_place=True)
    assert [json.loads(line)["label"] for line in file.open()] == [False, False, True, False]
    for values, new in (([True, False, True, None], "false"), ([0.0, 1.0, 0.0, None], "1")):
        table = pa.table({"filepath": [f"{i}.png" for i in range(4)], "label": values})
        parquet.write_table(table, images / "labels.parquet")
        labelaudit.drop_all(confirm=True)
        write_back(corrected(images / "labels.parquet", {0: new, 3: new}), in_place=True)
        after = parquet.read_table(images / "labels.parquet")
        assert after["label"].to_pylist() == [values[1], values[1], values[2], values[1]]
        assert after.schema == table.schema
