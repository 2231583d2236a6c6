"""Files that list images: ImageFolder's metadata, COCO, FiftyOne and Label Studio exports."""

from __future__ import annotations

import json
import zipfile

import pandas as pd
import pytest

import labelaudit
from labelaudit import load_dataset
from labelaudit.core.errors import LabelAuditError
from labelaudit.sources import default_name


@pytest.fixture
def pets(tmp_path, picture):
    """A folder of six small pictures, 0.png to 5.png, below a folder of choice: pets("images")."""

    def make(below: str = ".", count: int = 6):
        folder = tmp_path / "pets"
        for i in range(count):
            picture(folder / below / f"{i}.png", seed=i)
        return folder

    return make


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def zipped(path, folder):
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return path


def labels(dataset) -> dict[str, str | None]:
    """Label by the file's name."""
    table = dataset.view().to_pandas()
    names = [path.rsplit("/", 1)[-1] for path in table.filepath]
    return dict(zip(names, table.ground_truth, strict=True))


def skipped(dataset) -> dict[str, str]:
    """Reason by the file's name, without images that no list has."""
    files = dataset.info["skipped"]["files"]
    assert len({entry["file"] for entry in files}) == len(files)  # none is reported twice
    return {
        entry["file"].rsplit("/", 1)[-1]: entry["why"]
        for entry in files
        if not entry["why"].startswith("is not listed in")
    }


def refuses(source, says, **options):
    with pytest.raises(LabelAuditError) as caught:
        load_dataset("x", source, **options)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert labelaudit.list_datasets() == []


# --- ImageFolder ---


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_an_image_folder_with_metadata(pets, suffix):
    folder = pets()
    files = ["0.png", "1.png", "gone.png", "2.png", "0.png"]
    given = ["10", "9", "9", None, "9"]
    rows = pd.DataFrame({"file_name": files, "label": given, "id": [*"abcde"]})
    path = folder / f"metadata.{suffix}"
    match suffix:
        case "csv":
            rows.to_csv(path, index=False)
        case "jsonl":
            rows.to_json(path, orient="records", lines=True)
        case _:
            rows.to_parquet(path)
    dataset = load_dataset("pets", folder)
    assert labels(dataset) == {"0.png": "10", "1.png": "9", "2.png": None}
    assert dataset.classes == ["9", "10"]
    assert dataset.info["source"] == f"ImageFolder {path}"
    assert skipped(dataset) == {
        "gone.png": "there is no such file", "0.png": "is listed twice: its first label is used",
    }  # fmt: skip
    assert labels(load_dataset("again", path)) == labels(dataset)


@pytest.mark.parametrize("zip_it", [False, True])
def test_metadata_of_each_split_lies_in_its_folder(pets, tmp_path, zip_it):
    folder = pets("train/deep")
    pets("test", count=2)
    write(folder / "train/metadata.csv", "file_name,species\ndeep/0.png,cat\ndeep/1.png,dog\n")
    write(folder / "test/metadata.jsonl", '{"file_name": "1.png", "species": "cat"}\n')
    source = zipped(tmp_path / "p.zip", folder) if zip_it else folder
    dataset = load_dataset("pets", source)  # the only other column has the labels
    table = dataset.view().to_pandas()
    assert sorted(zip(table.split, table.ground_truth, strict=True)) == [
        ("test", "cat"), ("train", "cat"), ("train", "dog"),
    ]  # fmt: skip
    assert ("train/deep/0.png" in table.filepath.tolist()) == zip_it


def test_the_column_with_the_labels_can_be_named(pets):
    folder = pets()
    write(folder / "metadata.csv", "file_name,species,breed\n0.png,cat,manx\n1.png,dog,pug\n")
    refuses(folder, "has no column 'label'; besides file_name it has species, breed")
    refuses(folder, "has no column 'colour'", label="colour")
    assert load_dataset("a", folder, label="breed").classes == ["manx", "pug"]
    write(folder / "m.csv", "filepath,species\n0.png,cat\n")
    assert load_dataset("b", folder / "m.csv", label="species").classes == ["cat"]


def test_broken_metadata_is_an_error_but_other_files_beside_class_folders_are_none(pets, picture):
    folder = pets("cat")
    picture(folder / "dog/x.png")
    write(folder / "notes.json", "{broken")
    write(folder / "prices.csv", "item,price\nfood,3\n")
    for i in range(2):
        write(folder / f"labels{i}.csv", "filepath,label\ncat/0.png,dog\n")  # which one? neither
    assert load_dataset("a", folder).classes == ["cat", "dog"]
    labelaudit.delete_dataset("a")
    write(folder / "metadata.jsonl", '{"file_name": ')
    refuses(folder, "metadata.jsonl cannot be read as jsonl")


def test_a_folder_with_one_manifest_is_loaded_by_it(pets):
    folder = pets("images")
    write(folder / "labels.csv", "filepath,label\nimages/0.png,cat\nimages/1.png,dog\n")
    assert labels(load_dataset("a", folder)) == {"0.png": "cat", "1.png": "dog"}
    labelaudit.delete_dataset("a")
    pets(".", count=1)  # without class folders two of them are one too many
    (folder / "images").rename(folder / "train")
    for name in ("a.json", "b.json"):
        write(folder / name, {"images": [], "annotations": [], "categories": []})
    refuses(folder, "has several lists of images")


# --- COCO ---


def coco(**changes):
    return {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in range(4)],
        "categories": [{"id": i, "name": n} for i, n in ((7, "dog"), (3, "cat"), (9, "emu"))],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 7},
            {"id": 2, "image_id": 1, "category_id": 3},
            {"id": 3, "image_id": 1, "category_id": 3},  # twice the same is one label
            {"id": 4, "image_id": 2, "category_id": 3},
            {"id": 5, "image_id": 2, "category_id": 7},
            {"id": 6, "image_id": 99, "category_id": 7},
        ],
    } | changes  # fmt: skip


@pytest.mark.parametrize("below", [".", "images"])
@pytest.mark.parametrize("zip_it", [False, True])
def test_coco_with_one_category_an_image(pets, tmp_path, below, zip_it):
    folder = pets(below)
    write(folder / "instances.json", coco())
    source = zipped(tmp_path / "p.zip", folder) if zip_it else folder
    dataset = load_dataset("pets", source)
    assert labels(dataset) == {"0.png": "dog", "1.png": "cat", "3.png": None}
    assert dataset.classes == ["dog", "cat", "emu"]  # in the order of the categories
    assert skipped(dataset) == {
        "2.png": "has 2 categories (cat, dog): keep one",
        "image_id 99": "is annotated, but not among the images",
    }


def test_coco_of_each_split_and_by_its_own_path(pets, tmp_path):
    folder = pets("train")
    pets("valid")
    write(folder / "train/_annotations.coco.json", coco())
    write(folder / "valid/_annotations.coco.json", coco(images=[{"id": 1, "file_name": "1.png"}]))
    dataset = load_dataset("pets", folder)
    assert dataset.info["splits"] == {"train": 3, "valid": 1}
    path = write(tmp_path / "far/a.json", coco())
    assert len(load_dataset("far", path, root=folder / "train")) == 3


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (coco(annotations=[{"image_id": 0, "category_id": 5}]),
         "annotations[0]: category_id 5 is not among the categories"),
        (coco(annotations=[{"image_id": 0}]), "annotations[0] has no category_id"),
        (coco(images=[{"id": 1}]), "images[0] has no file_name"),
        (coco(images=["0.png"]), "images[0] has no id"),
        (coco(images=[{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]),
         "images[1]: id 1 occurs twice"),
        (coco(categories=[{"id": [1], "name": "cat"}]), "categories[0]: id must be a number"),
        (coco(images=[]), "lists no usable image (the first one, image_id 0"),
        ({"images": [], "notes": 1}, "contains images, notes, which is neither COCO"),
        ("{broken", "cannot be read as json"),
        ("[1, 2]", "each line must be an object"),
    ],
)  # fmt: skip
def test_bad_json_is_one_sentence_that_names_the_entry(tmp_path, content, says):
    refuses(write(tmp_path / "a.json", content), says)


# --- FiftyOne (tests/extras has what the package itself exports) ---


def test_fiftyone_classification_export(pets, picture):
    folder = pets("data")
    picture(folder / "data/deep/5.jpg", seed=9)
    picture(folder / "data/4.jpg", seed=9)
    write(folder / "labels.json", {
        "classes": ["dog", "cat", "emu"],
        "labels": {"0": 1, "1": "dog", "2": None, "3": {"label": "cat", "confidence": 0.5},
                   "4": 0, "deep/5": [{"label": "emu"}], "5": ["cat", "dog"], "gone": 2},
    })  # fmt: skip
    dataset = load_dataset("pets", folder)
    assert labels(dataset) == {
        "0.png": "cat", "1.png": "dog", "2.png": None, "3.png": "cat", "5.jpg": "emu",
    }  # fmt: skip
    assert dataset.classes == ["dog", "cat", "emu"]
    assert skipped(dataset) == {
        "4": "may be data/4.jpg or data/4.png: rename one of them",
        "5": "has 2 labels (cat, dog): keep one",
        "gone": "there is no such file in data/",
    }
    labelaudit.delete_dataset("pets")
    write(folder / "labels.json", {"classes": ["dog"], "labels": {"0": 1}})
    refuses(folder, "labels['0'] is 1, but the file lists 1 class.")
    write(folder / "labels.json", {"classes": None, "labels": {"0": 1.5}})
    refuses(folder, "labels['0'] is 1.5: it must be a class name")


def fields(**labels_):
    return {n: {"_cls": "Classification", "label": v} for n, v in labels_.items()}


def test_fiftyone_dataset_export(pets):
    folder = pets("data")
    samples = [
        {"filepath": "data/0.png", "tags": ["train", "odd"], **fields(species="cat", mood="calm")},
        {"filepath": "data/1.png", "tags": ["test"], **fields(species="dog", mood="wild")},
        {"filepath": "data/2.png", "tags": []},
    ]
    write(folder / "samples.json", {"samples": samples})
    write(folder / "metadata.json", {"name": "pets", "sample_fields": []})
    refuses(folder, "has the Classification fields species, mood: name the one with the labels")
    refuses(folder, "has no Classification field 'x': it has species, mood", label="x")
    dataset = load_dataset("pets", folder, label="species")
    assert labels(dataset) == {"0.png": "cat", "1.png": "dog", "2.png": None}
    table = dataset.view().to_pandas()
    assert table.split.tolist() == ["train", "test", None]
    assert table.tags.tolist() == [("odd",), (), ()]
    samples[0] |= fields(ground_truth="emu")
    write(folder / "samples.json", {"samples": samples})
    assert load_dataset("truth", folder).classes == ["emu"]
    labelaudit.delete_dataset("pets")
    labelaudit.delete_dataset("truth")
    write(folder / "samples.json", {"samples": [{"ground_truth": None}, *samples]})
    refuses(folder, "samples[0] has no filepath")


# --- Label Studio ---


def choice(name, when="2024-01-01", control="species", **more):
    names = name if isinstance(name, list) else [name]
    result = {
        "from_name": control,
        "to_name": "img",
        "type": "choices",
        "value": {"choices": names},
    }
    return {"result": [result], "updated_at": when, **more}


def task(number, address, *annotations):
    return {"id": number, "data": {"img": address, "title": "x"}, "annotations": list(annotations)}


def test_label_studio_tasks(pets, picture, tmp_path):
    folder = pets()
    picture(folder / "upload/3/0a1b2c3d-u.png", seed=7)
    picture(folder / "some dir/l.png", seed=8)
    write(folder / "export.json", [
        task(1, "/data/upload/3/0a1b2c3d-u.png", choice("cat")),
        task(2, "/data/local-files/?d=some%20dir%2Fl.png", choice("dog")),
        task(3, "/data/upload/3/0a1b2c3d-0.png",  # found under the name that it had before
             choice("cat", "2024-02-01"), choice("dog", "2024-03-01"),
             choice("emu", "2024-04-01", was_cancelled=True)),
        task(4, "/storage-data/uploaded/?filepath=upload/9/1.png", choice("dog")),
        task(5, "2.png"),
        task(6, "3.png", choice(["cat", "dog"])),
        task(7, "https://example.org/4.png", choice("cat")),
        task(8, "/data/upload/3/gone.png", choice("cat")),
    ])  # fmt: skip
    dataset = load_dataset("pets", folder)
    assert labels(dataset) == {
        "0a1b2c3d-u.png": "cat", "l.png": "dog", "0.png": None, "1.png": "dog", "2.png": None,
    }  # fmt: skip
    assert skipped(dataset) == {
        "3.png": "has 2 choices (cat, dog): keep one",
        "4.png": "is on a server: download it, and write its path instead",
        "gone.png": "there is no such file",
    }
    elsewhere = tmp_path / "elsewhere.json"
    (folder / "export.json").rename(elsewhere)
    assert labels(load_dataset("far", elsewhere, root=folder)) == labels(dataset)


def test_label_studio_json_min(pets):
    folder = pets()
    rows = [
        {"image": "/data/upload/1/0.png", "id": 1, "species": "cat", "annotator": 1,
         "annotation_id": 1, "updated_at": "2024-01-01"},
        {"image": "/data/upload/1/0.png", "id": 1, "species": "dog", "annotator": 2,
         "annotation_id": 2, "updated_at": "2024-01-02"},
        {"image": "1.png", "id": 2, "species": {"choices": ["cat", "dog"]}, "annotation_id": 3},
        {"image": "2.png", "id": 3, "annotation_id": 4},
        {"image": "3.png", "id": 4, "species": "dog", "annotation_id": 5},
    ]  # fmt: skip
    path = write(folder / "min.json", rows)
    dataset = load_dataset("pets", path)
    assert labels(dataset) == {"0.png": None, "2.png": None, "3.png": "dog"}
    assert skipped(dataset) == {"1.png": "has 2 choices (cat, dog): keep one"}
    labelaudit.delete_dataset("pets")
    refuses(path, "has no choices 'breed'", label="breed")


def by(who, *names, **more):
    return choice(names[0] if len(names) == 1 else list(names), completed_by=who, **more)


def region(name, **more):
    """A choice for a part of the image."""
    result = choice(name)["result"][0]
    return {**result, "value": {**result["value"], "x": 1, "y": 1, "width": 9, "height": 9}, **more}


@pytest.mark.parametrize(
    ("annotations", "label", "disagree"),
    [
        ([by(1, "cat"), by(2, "cat")], "cat", False),
        ([by(1, "cat"), by(2, "dog"), by(3, "cat")], "cat", True),
        ([by(1, "cat"), by(2, "dog")], None, True),
        ([by(1, "cat"), by({"id": 2}, "dog"), by({"id": 1}, "cat")], None, True),
        # the same person again: the latest counts
        ([by(1, "cat"), by(1, "dog", when="2025")], "dog", False),
        ([by(1, "dog", when="2025"), by(1, "cat")], "dog", False),
        ([by(1, "cat"), by(2, "dog", was_cancelled=True)], "cat", False),
        ([by(1, "cat"), {"completed_by": 2, "result": []}], "cat", False),
        ([by(1, "cat"), by(2, "dog"), by(3, "emu", ground_truth=True)], "emu", False),
        # regions of one class, and of two
        ([{"result": [region("cat", id="a"), region("cat", id="b")]}], "cat", False),
        ([{"result": [region("cat"), region("dog")]}], "2 choices (cat, dog)", False),
        ([by(1, "cat"), by(2, "cat", "dog")], "2 choices (cat, dog)", False),
    ],
)
def test_no_annotation_of_label_studio_is_dropped_silently(pets, annotations, label, disagree):
    folder = pets()
    others = [task(i, f"{i}.png", by(1, "emu")) for i in (1, 2)]
    unlabelled = {"id": 9, "data": {"img": "3.png"}}  # first, and without the key `annotations`
    path = write(folder / "e.json", [unlabelled, task(3, "0.png", *annotations), *others])
    dataset = load_dataset("pets", path)
    found = labels(dataset)
    assert (found["1.png"], found["2.png"], found["3.png"]) == ("emu", "emu", None)
    notes = " ".join(dataset.info["skipped"]["notes"])
    if label and label.startswith("2 choices"):
        assert skipped(dataset) == {"0.png": f"has {label}: keep one"}
        assert "1 image with several choices; LabelAudit takes one label" in notes
    else:
        assert found["0.png"] == label
    assert dataset.info["tags"] == ({"annotators_disagree": 1} if disagree else {})
    assert ("Annotators disagree about 1 image, tagged" in notes) == disagree


def test_label_studio_json_min_of_several_annotators_and_regions(pets):
    folder = pets()
    rows = [
        {"image": "0.png", "id": 1, "species": "cat", "annotator": 1, "annotation_id": 1},
        {"image": "0.png", "id": 1, "species": "dog", "annotator": 2, "annotation_id": 2},
        {"image": "0.png", "id": 1, "species": "dog", "annotator": 3, "annotation_id": 3},
        {"image": "img\\1.png", "id": 2, "annotation_id": 4,
         "species": [{"x": 1, "choices": ["cat"]}, {"x": 5, "choices": ["cat"]}]},
    ]  # fmt: skip
    (folder / "img").mkdir()
    (folder / "1.png").rename(folder / "img/1.png")
    dataset = load_dataset("pets", write(folder / "min.json", rows))
    assert labels(dataset) == {"0.png": "dog", "1.png": "cat"}
    assert dataset.info["tags"] == {"annotators_disagree": 1}


def test_label_studio_with_several_choices_for_most_images_is_refused(pets):
    folder = pets()
    tasks = [task(i, f"{i}.png", choice(["cat", "dog"] if i else "cat")) for i in range(3)]
    path = write(folder / "e.json", tasks)
    refuses(path, "2 images with several labels and 1 with one: LabelAudit takes one label per")


def test_label_studio_controls_must_be_distinguishable(pets):
    folder = pets()
    both = choice("cat")
    both["result"] += choice("calm", control="mood")["result"]
    path = write(folder / "e.json", [task(1, "0.png", both)])
    refuses(path, "has the choices species, mood: name the one with the labels")
    assert load_dataset("mood", path, label="mood").classes == ["calm"]
    labelaudit.delete_dataset("mood")
    write(path, [task(1, "0.png")])
    refuses(path, "has no choices, so it has no labels")
    write(path, [task(1, "0.png", choice("cat")), 5])
    refuses(path, "entry 2 is not a task but 5")
    write(path, [{"id": 1, "data": {"text": "x"}, "annotations": [choice("cat")]}])
    refuses(path, "task 1: has no image in its data")


# --- all of them ---


def test_a_listing_may_lead_out_of_a_folder_but_not_out_of_a_zip(pets, tmp_path, picture):
    folder = pets()
    picture(tmp_path / "out.png", seed=50)
    (folder / "x").mkdir()
    write(folder / "metadata.csv", "file_name,label\n../out.png,cat\n./x/../0.png,dog\n")
    assert set(labels(load_dataset("a", folder)).values()) == {"cat", "dog"}
    dataset = load_dataset("b", zipped(tmp_path / "p.zip", folder))
    assert labels(dataset) == {"0.png": "dog"}
    assert skipped(dataset) == {"out.png": "there is no such file in the archive"}


def test_options_that_do_not_fit_are_reported(pets):
    folder = pets("cat")
    refuses(folder, "the labels of", label="species")
    refuses(folder, "works only for a file that lists images", root=folder)
    refuses(folder, "works only for zoo and hub datasets", split="train")
    refuses("hf:owner/name", "works only for a file", root=folder)
    path = write(folder / "a.json", coco())
    refuses(path, "has only one field of labels", label="species")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/data/pets", "pets"), ("/data/pets.zip", "pets"), ("/data/pets/metadata.csv", "pets"),
        ("/data/pets/_annotations.coco.json", "pets"), ("/data/my pets (2)", "my-pets-2"),
        ("hf:owner/some_name@small", "some_name"), ("hf:mnist", "mnist"), ("/", "mine"),
    ],
)  # fmt: skip
def test_a_dataset_is_named_after_its_source(source, name):
    assert default_name(source) == name


@pytest.mark.parametrize("text", ["filepath,label\n", "image,path,label\n", 'filepath,"label\n'])
def test_a_list_without_rows_does_not_hide_the_class_folders(text, tmp_path, picture):
    for i in range(4):
        picture(tmp_path / f"pets/{'ab'[i % 2]}/{i}.png", seed=i)
    (tmp_path / "pets/suspects.csv").write_text(text)
    dataset = load_dataset("pets", tmp_path / "pets")
    assert dataset.view().count_values("ground_truth") == {"a": 2, "b": 2}
    assert "suspects.csv" in " ".join(dataset.info["skipped"]["notes"])
