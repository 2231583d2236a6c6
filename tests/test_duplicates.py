from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from labelaudit import LabelAuditError
from labelaudit.core.errors import StoppedError
from labelaudit.core.images import pixel_hash
from labelaudit.core.progress import Task
from labelaudit.dataset.arrays import MISSING
from labelaudit.dataset.dataset import create_dataset
from labelaudit.features import decoding, fingerprints, similarity
from labelaudit.features import duplicates as module
from labelaudit.features.duplicates import (
    CONFLICTS,
    OTHERS,
    SPLITS,
    Duplicates,
    conflicts,
    duplicates,
    ensure_duplicates,
    find_duplicates,
    list_groups,
    write_duplicates,
)
from labelaudit.jobs import files, manager


def photo(seed: int, size: int = 96) -> Image.Image:
    """Random colours with an amplitude that falls with frequency, as in photographs."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    frequency[0, 0] = np.inf
    noise = np.fft.fft2(rng.normal(size=(3, size, size))) / frequency
    pixels = np.fft.ifft2(noise).real
    pixels = 128 + 45 * pixels / pixels.std(axis=(1, 2), keepdims=True)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def stored(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(image: Image.Image, quality: int = 50) -> Image.Image:
    return Image.open(io.BytesIO(stored(image, "JPEG", quality=quality)))


def make(images, labels, name="twins", **columns):
    return create_dataset(name, {"image": list(images), "label": labels, **columns})


@pytest.fixture
def twins(home):
    """ids 1, 2: the same pixels, labels a and b. 3, 4: recompressed, labels a and b. 5, 6: the same
    pixels, label a, in two splits, and 7 their near duplicate in the first. 8: like none."""
    first, second, third = photo(1), photo(2), photo(3)
    images = [
        stored(first), stored(first, "BMP"), stored(second), stored(jpeg(second)),
        stored(third), stored(third), stored(jpeg(third)), stored(photo(4)),
    ]  # fmt: skip
    splits = ["train"] * 5 + ["test", "train", "test"]
    return make(images, ["a", "b", "a", "b", "a", "a", "a", "b"], split=splits)


def groups(table: pd.DataFrame) -> list[tuple]:
    return list(zip(table["kind"], table["ids"], strict=True))


# --- what is alike ---


def test_the_same_pixels_are_the_same_in_any_format():
    image = photo(0)
    palette = image.convert("P", palette=Image.Palette.ADAPTIVE)
    for same, kind in ((image, "BMP"), (image, "TIFF"), (image.convert("RGBA"), "PNG")):
        assert pixel_hash(Image.open(io.BytesIO(stored(same, kind)))) == pixel_hash(image)
    assert pixel_hash(palette) == pixel_hash(palette.convert("RGB"))
    assert pixel_hash(image.convert("L")) == pixel_hash(image.convert("L").convert("RGB"))


def test_what_differs_in_size_transparency_depth_or_a_pixel_is_not_the_same():
    image = photo(0)
    other = image.copy()
    other.putpixel((50, 50), tuple(255 - value for value in image.getpixel((50, 50))))
    holed = image.convert("RGBA")
    holed.putpixel((0, 0), (*image.getpixel((0, 0)), 0))
    deep = np.arange(96 * 96, dtype=np.uint16).reshape(96, 96)
    nearly = deep.copy()
    nearly[5, 5] += 1  # of 9,215: the same grey of 256
    flat = Image.new("L", (4, 6))
    for a, b in (
        (image, other), (image, holed), (Image.fromarray(deep), Image.fromarray(nearly)),
        (flat, Image.new("L", (6, 4))),
    ):  # fmt: skip
        assert pixel_hash(a) != pixel_hash(b)


ALTERED = {
    "recompressed": jpeg,
    "half as large": lambda image: image.resize((48, 48)),
    "larger": lambda image: image.resize((300, 200)),
    "brightened": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.6),
    "grey": lambda image: image.convert("L"),
    "mirrored": ImageOps.mirror,
    "cut a little": lambda image: image.crop((2, 1, 95, 96)),
    "all of it": lambda image: jpeg(ImageOps.mirror(image).resize((60, 60)), 70),
}


def alike(*images: Image.Image) -> list[int]:
    thumbnails = np.stack([fingerprints.thumbnail(image) for image in images])
    return similarity.group(thumbnails).tolist()


@pytest.mark.parametrize("how", ALTERED)
def test_an_altered_photograph_is_found_and_another_is_not(how):
    for seed in range(5):
        image = photo(seed)
        assert alike(photo(99), image, ALTERED[how](image)) == [0, 1, 1], seed


def test_pictures_without_detail_are_like_nothing():
    noise = np.random.default_rng(0).integers(0, 2, (64, 64), np.uint8)
    greys = [Image.new("L", (64, 64), value) for value in (0, 0, 200)]
    assert alike(*greys, Image.fromarray(noise + 100), Image.fromarray(noise + 101)) == [
        0, 1, 2, 3, 4,
    ]  # fmt: skip


def test_a_frame_makes_no_two_pictures_alike():
    def framed(seed: int) -> Image.Image:
        whole = Image.new("RGB", (96, 96), "white")
        inside = photo(seed, 60).point(lambda value: value // 3)
        whole.paste(inside, (18, 18))
        return whole

    pair = similarity.vectors(np.stack([fingerprints.thumbnail(framed(s)) for s in (1, 2)]))
    assert similarity.similarity(pair[:1], pair[1:])[0, 0] > similarity.CLOSE  # by the frame alone
    assert alike(framed(1), framed(2)) == [0, 1]
    assert alike(framed(1), jpeg(framed(1))) == [0, 0]


def test_of_handwriting_only_very_close_pairs_count(digits):
    found = find_duplicates(digits)
    assert not found.exact.any()
    assert found.searched == 1797
    assert 2 <= len(found.ids) <= 20
    given = digits.view().frame.label[digits.view().frame.positions(found.ids)]
    for group in np.unique(found.group):
        assert len(set(given[found.group == group])) == 1  # nearly the same


def test_joining_finds_the_connected_components():
    rng = np.random.default_rng(0)
    for n, count in ((1, 0), (50, 30), (2000, 1500), (300, 2000)):
        pairs = rng.integers(0, n, (count, 2))
        first = np.arange(n)
        for part in np.array_split(pairs, 3):
            similarity.join(first, part)
        graph = coo_array((np.ones(count), pairs.T), shape=(n, n))
        of = connected_components(graph, directed=False)[1]
        smallest = np.full(of.max() + 1, n)
        np.minimum.at(smallest, of, np.arange(n))
        np.testing.assert_array_equal(first, smallest[of])


def test_above_the_limit_buckets_find_nearly_all_and_never_more(monkeypatch):
    rng = np.random.default_rng(0)
    plain = rng.integers(0, 256, (400, 16, 16), np.uint8)
    noisy = plain.astype(int) + rng.integers(-9, 10, plain.shape)
    thumbnails = np.concatenate([plain, noisy.clip(0, 255).astype(np.uint8)])
    whole = similarity.group(thumbnails)
    assert (whole[400:] == np.arange(400)).all()
    monkeypatch.setattr(similarity, "EXACT", 100)
    monkeypatch.setattr(similarity, "BUCKET", 40)
    reported = []
    some = similarity.group(thumbnails, reported.append)
    assert sum(reported) == similarity.comparisons(800) == 2400
    missed = some != whole
    assert 0 < len(similarity.buckets(similarity.vectors(thumbnails), 20)[0]) < 800
    assert missed.mean() < 0.03
    assert (some[missed] == np.flatnonzero(missed)).all()  # alone, not in a wrong group


# --- looking for them in a dataset ---


def test_groups_copies_and_singles(twins):
    assert duplicates(twins) is None
    found = find_duplicates(twins)
    assert found.ids.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert found.group.tolist() == [1, 1, 3, 3, 5, 5, 5]
    assert found.copy_of.tolist() == [1, 1, 3, 4, 5, 5, 7]
    assert found.exact.tolist() == [True, True, False, False, True, True, False]
    assert found.searched == 8
    assert found.group_of([8, 7, 2, 5, 8]).tolist() == [8, 5, 1, 5, 8]
    for again in (duplicates(twins), duplicates(create_again(twins))):  # cached; from disk
        np.testing.assert_array_equal(again.group, found.group)
    assert duplicates(twins) is duplicates(twins)


def test_copies_are_held_out_together_if_they_share_a_label_and_are_not_the_class():
    ids = np.arange(12)
    group = np.array([0, 0, 2, 2, 4, 4, 4, 4, 4, 9, 9, 9])
    found = Duplicates(ids[:9], group[:9], group[:9], ids)
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, MISSING])
    together = found.held_out_together(ids, labels)
    assert together[:2].tolist() == [0, 0]  # one label
    assert len(set(together[2:4])) == 2  # two labels: each is evidence
    assert len(set(together[4:9])) == 5  # most of class 1
    assert together[9:].tolist() == [9, 10, 11]  # no copies
    assert (found.held_out_together(ids, np.full(12, MISSING)) == found.group_of(ids)).all()


def create_again(dataset):
    from labelaudit import Dataset

    return Dataset(dataset.name)


def test_where_nothing_is_twice_nothing_is_found(home):
    lone = make([stored(photo(1))], ["a"])
    found = find_duplicates(lone)
    assert (len(found.ids), found.searched) == (0, 1)
    assert found.group_of([1]).tolist() == [1]
    for which in (CONFLICTS, SPLITS, OTHERS):
        table = list_groups(lone, which).table()
        assert len(table) == 0
        assert list(table) == ["group", "kind", "ids", "labels", "filepaths", "splits"]


def test_only_samples_that_are_new_are_opened(twins, monkeypatch):
    find_duplicates(twins)
    opened = []
    real = decoding.decoding
    monkeypatch.setattr(decoding, "decoding", lambda *a, **k: opened.append(a[0]) or real(*a, **k))
    find_duplicates(twins)
    assert opened == []
    twins.add_samples({"image": [stored(photo(4))], "label": ["b"]})
    assert duplicates(twins).searched == 8  # of 9
    assert find_duplicates(twins).group_of([8, 9]).tolist() == [8, 8]
    assert len(opened) == 1


def test_few_new_samples_are_compared_with_all_and_the_others_are_not_again(twins, monkeypatch):
    monkeypatch.setattr(module, "MOST_NEW", 0.6)
    ensure_duplicates(twins)
    new = [photo(1), jpeg(photo(2), 70), ImageOps.mirror(photo(4)), photo(5), jpeg(photo(5))]
    twins.add_samples({"image": [*map(stored, new), b"no image"], "label": ["a"] * 6})
    with monkeypatch.context() as patch:
        patch.setattr(similarity, "_close_pairs", None)  # compares all
        found = ensure_duplicates(twins)
        assert ensure_duplicates(twins).searched == 13  # nothing is new: one cannot be read
    whole = find_duplicates(twins)
    for name in ("ids", "group", "copy_of", "searched_ids"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    assert found.group_of([9, 10, 11, 12, 13]).tolist() == [1, 3, 8, 12, 12]
    monkeypatch.setattr(module, "MOST_NEW", 0.05)
    monkeypatch.setattr(similarity, "_pairs_of", None)  # compares new ones with all
    twins.add_samples({"image": [stored(photo(6))], "label": ["a"]})
    assert ensure_duplicates(twins).searched == 14


def test_new_pictures_may_join_groups_and_reach_the_bound_of_each_other():
    rng = np.random.default_rng(0)
    plain = rng.integers(0, 256, (300, 16, 16), np.uint8)
    noisy = plain.astype(int) + rng.integers(-9, 10, plain.shape)
    thumbnails = np.concatenate([plain, noisy.clip(0, 255).astype(np.uint8)])
    whole = similarity.group(thumbnails)
    new = np.sort(rng.permutation(600)[:60])
    old = np.setdiff1d(np.arange(600), new)
    known = np.stack([old, old[similarity.group(thumbnails[old])]], axis=1)
    reported = []
    found = similarity.group(thumbnails, reported.append, known, new)
    np.testing.assert_array_equal(found, whole)
    assert sum(reported) == 60
    v = similarity.vectors(thumbnails)
    np.testing.assert_array_equal(similarity.bounds(v, places=new), similarity.bounds(v)[new])


def test_an_image_that_cannot_be_read_is_left_out_until_it_can(tmp_path, home):
    for i in (1, 2, 3):
        photo(1).save(tmp_path / f"{i}.png")
    (tmp_path / "2.png").write_text("no image")
    rows = {"filepath": [str(tmp_path / f"{i}.png") for i in (1, 2, 3)], "label": ["a", "b", "a"]}
    dataset = create_dataset("broken", rows)
    found = find_duplicates(dataset)
    assert (found.ids.tolist(), found.searched) == ([1, 3], 2)
    photo(1).save(tmp_path / "2.png")
    assert find_duplicates(dataset).ids.tolist() == [1, 2, 3]


def test_a_stop_keeps_what_was_read(digits, monkeypatch):
    monkeypatch.setattr(fingerprints, "ROWS", 16)
    read = []
    with pytest.raises(StoppedError, match="finished images are stored"):
        find_duplicates(
            digits,
            Task(lambda report: read.append(report.done), lambda: read[-1:] > [300]),
        )
    kept = digits.view().store.count("fingerprints")
    assert 300 < kept < 1797
    assert duplicates(digits) is None
    reports = []
    find_duplicates(digits, Task(reports.append))
    assert reports[0].total == 1797 - kept
    stops = [report.stage == "comparing images" for report in reports]
    assert any(stops)
    with pytest.raises(StoppedError, match="none of its results were stored"):
        find_duplicates(digits, task=Task(stop=lambda: True))
    assert duplicates(digits).searched == 1797


def test_what_was_read_is_on_disk_before_the_search_ends(digits, monkeypatch):
    """A kill then loses only seconds."""
    monkeypatch.setattr(fingerprints, "WRITE_SECONDS", 0.0)
    on_disk = []
    find_duplicates(
        digits, Task(lambda report: on_disk.append(digits.view().store.count("fingerprints")))
    )
    assert 0 < on_disk[len(on_disk) // 3] < 1797


def test_as_a_job(twins, jobs_in_threads):
    job = manager.start("compare", "twins").wait(300)
    assert job.status == files.DONE, job.log
    assert job.summary == "with a duplicate: 7 of 8 samples"
    assert len(duplicates(twins).ids) == 7


def test_torch_is_not_loaded():
    code = "import sys, labelaudit.features.duplicates; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- what is wrong with them ---


def test_conflicts_come_with_certain_errors_first(twins):
    find_duplicates(twins)
    twins.set_labels([1, 2, 3, 4, 5], ["a", "a", "a", "b", "b"])
    table = conflicts(twins)
    # 5 and 6 have the same pixels and two labels; 3 and 4 are only nearly the same
    assert groups(table) == [("exact", [5, 6, 7]), ("near", [3, 4])]
    assert table["group"].tolist() == [5, 3]
    assert table["labels"].tolist() == [["b", "a", "a"], ["a", "b"]]
    assert table["splits"].tolist() == [["train", "test", "train"], ["train", "train"]]
    assert table["filepaths"][1] == ["3.png", "4.png"]
    part = list_groups(twins, CONFLICTS).table(1, 2)
    assert groups(part) == [("near", [3, 4])]
    assert part["labels"].tolist() == [["a", "b"]]


def test_copies_that_agree_make_no_certain_error_of_a_near_one_that_does_not(twins):
    find_duplicates(twins)
    twins.set_labels([7], "b")
    assert groups(conflicts(twins)) == [("exact", [1, 2]), ("near", [3, 4]), ("near", [5, 6, 7])]


def test_labels_are_read_as_they_are_now(twins):
    find_duplicates(twins)
    assert groups(conflicts(twins)) == [("exact", [1, 2]), ("near", [3, 4])]
    twins.set_labels([2], "a")
    assert groups(conflicts(twins)) == [("near", [3, 4])]
    twins.set_labels([3], None)  # no label contradicts none
    assert groups(conflicts(twins)) == []
    assert groups(list_groups(twins, OTHERS).table()) == [("exact", [1, 2]), ("near", [3, 4])]


def test_removed_samples_take_no_part(twins):
    find_duplicates(twins)
    twins.tag([1, 6], "removed")
    assert groups(conflicts(twins)) == [("near", [3, 4])]
    assert groups(list_groups(twins, SPLITS).table()) == []
    assert groups(list_groups(twins, OTHERS).table()) == [("near", [5, 7])]
    assert duplicates(twins).group_of([1, 2]).tolist() == [1, 1]  # they still look the same


def test_groups_across_splits(twins):
    find_duplicates(twins)
    assert groups(list_groups(twins, SPLITS).table()) == [("exact", [5, 6, 7])]
    twins.tag([6], "removed")
    assert len(list_groups(twins, SPLITS).table()) == 0
    assert len(list_groups(twins, OTHERS)) == 1


def test_the_csv_has_a_row_a_sample_those_that_conflict_first(twins, tmp_path):
    find_duplicates(twins)
    twins.set_labels([4, 7], ["a", "b"])
    assert write_duplicates(twins, tmp_path / "d.csv") == 7
    table = pd.read_csv(tmp_path / "d.csv")
    assert list(table) == [
        "group", "kind", "labels_differ", "splits_differ", "id", "filepath", "label", "split",
    ]  # fmt: skip
    assert table["id"].tolist() == [1, 2, 5, 6, 7, 3, 4]
    assert table["labels_differ"].tolist() == [True] * 5 + [False] * 2
    assert table["splits_differ"].tolist() == [False] * 2 + [True] * 3 + [False] * 2
    assert table["kind"].tolist() == ["exact"] * 2 + ["near"] * 5
    twins.tag(range(1, 8), "removed")
    assert write_duplicates(twins, tmp_path / "none.csv") == 0
    assert list(pd.read_csv(tmp_path / "none.csv")) == list(table)


def test_errors_say_what_to_do(twins):
    with pytest.raises(LabelAuditError, match="'twins' have not been searched for yet"):
        conflicts(twins)
    find_duplicates(twins)
    with pytest.raises(LabelAuditError, match="'pairs' is not a list of duplicates"):
        list_groups(twins, "pairs")
    with pytest.raises(LabelAuditError, match=r"1\.5 is not an id"):
        duplicates(twins).group_of([1.5])
