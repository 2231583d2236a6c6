"""The tables' columns, in one place.

Tables are split by how they change, so that tagging 20,000 samples never rewrites an image:

    samples            written once            id, filepath, image, split, width, height
    annotations        small, often changed    id, label, original_label, tags
    noise              overwritten whole       id, label before noise was injected
    history            appended                id, time, who, kind, count, before, info
    changes            appended                change (id in history), sample, label and tags before
    verdicts           appended                id, batch, sample, reviewer, verdict, label, given
    fingerprints       appended                id, pixels, thumbnail
    duplicates         overwritten whole       id, group, copy_of
    quality            appended                id, shadows, highlights, sharpness, entropy, colour
    features           one row an extractor    id, name, info
    features-<id>      appended                id, features
    controls           appended                id, reviewer, sample, shown, truth, verdict, after
    runs               one row a run           id, name, created, state, info, weights
    predictions-<run>  one row a sample        id, label, confidence, logits, embedding
    dynamics-<run>     appended every epoch    id, epoch, label, margin, p_label
    scores-<run>       overwritten whole       id, label, learned, suggested,
                                               suggested_p, one column a score
    meta               one row                 id, info (classes, source, next id); written last,
                                               so a dataset without it was never finished

Labels are class indices into `info["classes"]`; what a person sees is always names.
"""

from __future__ import annotations

import pyarrow as pa

# LanceDB reads this metadata as `set_unenforced_primary_key("id")`: without it two processes that
# upsert new ids at once insert duplicates.
ID = pa.field(
    "id",
    pa.int64(),
    nullable=False,
    metadata={"lance-schema:unenforced-primary-key:position": "1"},
)

# Goes up by one when an earlier LabelAudit would misread what this one writes. It stands in `meta`;
# datasets without it are of the time before, and are read as 1.
FORMAT = 1

THUMBNAIL_SIDE = 16  # pixels

META = pa.schema([ID, ("info", pa.string())])

SAMPLES = pa.schema(
    [
        ID,
        ("filepath", pa.string()),  # where the image lies, or (image not null) what it was called
        ("image", pa.binary()),  # encoded bytes of an image that has no file of its own, else null
        ("split", pa.string()),
        ("width", pa.int32()),  # pixels; null where the image was not opened on the way in
        ("height", pa.int32()),
    ]
)

ANNOTATIONS = pa.schema(
    [
        ID,
        ("label", pa.int32()),
        ("original_label", pa.int32()),  # null while the label is the one that was loaded
        ("tags", pa.list_(pa.string())),
    ]
)

# What the samples that `noise` changed were labelled before; read only where the tag stands.
NOISE = pa.schema([ID, ("label", pa.int32())])

# One row a change of labels or tags. It is written ahead of the change, so that a kill between the
# two leaves a row whose `before` is still the annotations' stamp: such a change never happened.
HISTORY = pa.schema(
    [
        ID,
        ("time", pa.string()),  # ISO 8601, UTC
        ("who", pa.string()),
        ("kind", pa.string()),  # a word of `changelog.KINDS`
        ("count", pa.int64()),  # samples that changed
        ("before", pa.string()),  # stamp of `annotations` when it was about to change
        ("info", pa.string()),  # JSON: what a person would want to know of it
    ]
)

# What each changed sample was, so that any state of the dataset can be returned to.
CHANGES = pa.schema(
    [
        pa.field("change", pa.int64(), nullable=False),  # id in `history`
        pa.field("sample", pa.int64(), nullable=False),
        ("label_before", pa.int32()),
        ("label_after", pa.int32()),
        ("added", pa.list_(pa.string())),  # tags
        ("removed", pa.list_(pa.string())),
    ]
)

# A log: nothing in it is ever changed. Rows of one batch are undone together.
VERDICTS = pa.schema(
    [
        ID,
        ("batch", pa.int64()),  # id of its first row; of "undo" and "redo" the batch that is meant
        ("sample", pa.int64()),  # null for "undo" and "redo"
        ("reviewer", pa.string()),
        ("verdict", pa.string()),  # keep, relabel, remove, unsure; undo, redo
        ("label", pa.int32()),  # the class that "relabel" gives
        ("given", pa.int32()),  # the class that the reviewer saw
        ("time", pa.string()),  # ISO 8601, UTC
    ]
)

# What an image looks like, to tell duplicates without opening it again.
FINGERPRINTS = pa.schema(
    [
        ID,
        ("pixels", pa.int64()),  # hash of all of them
        ("thumbnail", pa.binary(THUMBNAIL_SIDE**2)),  # grey, row by row
    ]
)

# Every sample that was compared with the others; alone in its group where it is like none.
DUPLICATES = pa.schema(
    [
        ID,
        ("group", pa.int64()),  # smallest id of those that show the same picture
        ("copy_of", pa.int64()),  # smallest id of those with the same pixels
    ]
)

# Measures of image quality, see features/quality.py.
QUALITY = pa.schema(
    [
        ID,
        ("shadows", pa.float32()),
        ("highlights", pa.float32()),
        ("sharpness", pa.float32()),
        ("entropy", pa.float32()),
        ("colour", pa.float32()),
    ]
)

# Extractors whose features are stored; info: version of the weights and width, JSON.
FEATURES = pa.schema([ID, ("name", pa.string()), ("info", pa.string())])

# Answers to blind controls: no verdicts. Nothing in it is ever changed.
CONTROLS = pa.schema(
    [
        ID,
        ("reviewer", pa.string()),
        ("sample", pa.int64()),
        ("shown", pa.int32()),  # the class that the reviewer saw
        ("truth", pa.int32()),  # the one that the sample has
        ("verdict", pa.string()),  # keep, relabel, remove, unsure; withdrawn
        ("label", pa.int32()),  # the class that "relabel" gives
        ("after", pa.int64()),  # id of the last line of `verdicts` then
        ("time", pa.string()),  # ISO 8601, UTC
    ]
)

MISTAKE = "mistake"  # tag of samples whose label was made wrong on purpose
REMOVED = "removed"  # tag of samples that a verdict took out: not learned, not ranked, not exported

PROCESSED = "processed"  # tag of samples that a run has predicted
QUIET_TAGS = {PROCESSED}  # set by the way: no change of the dataset's content

# Names of splits, in lower case, as datasets in the wild have them.
TRAINING_SPLITS = {"train", "training"}
HELD_OUT_SPLITS = {"test", "testing", "val", "valid", "validation", "dev", "eval"}

FROM_FOLDER = "folder "  # how `info["source"]` of class folders begins; the path follows
CLASS_LIST_SUFFIX = ".classes.json"  # in the place of a manifest's suffix: what goes with it

DYNAMICS = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),  # one row an epoch: no primary key
        ("epoch", pa.int32()),
        ("label", pa.int32()),  # the given class that margin and p_label are about
        ("margin", pa.float32()),  # of the model that learned the sample
        ("p_label", pa.float32()),
        ("out_margin", pa.float32()),  # of one that did not; null where there is none
        ("out_p_label", pa.float32()),
        ("fold", pa.int8()),  # whose model did not learn the sample; -1: none did, -2: all
    ]
)

RUNS = pa.schema(
    [
        ID,
        ("name", pa.string()),
        ("created", pa.string()),  # ISO 8601, UTC
        (
            "state",
            pa.string(),
        ),  # "begun", then "finished" (it counts) or "gone" (only its id is kept)
        ("info", pa.string()),  # JSON: classes, config, accuracy, curves …
        ("weights", pa.large_binary()),  # safetensors; null for imported predictions
    ]
)


# Columns of a scores table that are no scores.
NO_SCORES = ("id", "label", "learned", "suggested", "suggested_p")


def predictions(classes: int, width: int | None = None) -> pa.Schema:
    """width: of the embeddings, what the model's last layer sees of an image. Imported predictions
    may have none, those of earlier versions have no such column; a row without one is null."""
    columns = [
        ID,
        ("label", pa.int32()),
        ("confidence", pa.float32()),
        ("logits", pa.list_(pa.float32(), classes)),
    ]
    return pa.schema([*columns, embedding(width)] if width else columns)


def embedding(width: int) -> pa.Field:
    # half precision: neighbours are the same, at half the bytes
    return pa.field("embedding", pa.list_(pa.float16(), width))


def features(width: int) -> pa.Schema:
    """Columns of a table of stored features, width numbers per image."""
    return pa.schema([ID, ("features", pa.list_(pa.float16(), width))])


def scores(names: list[str]) -> pa.Schema:
    """Scores are float64: 1 - p(label) saturates at 1 in float32, and ties cannot be ranked.

    `label` is the given class that they judge: a sample relabelled since has no score. `learned`
    is the one that the model was trained or validated with; null where it was not. `suggested` is
    the most probable true class other than `label`, and `suggested_p` its probability; null where
    there is no suspicion.
    """
    fixed = [ID, ("label", pa.int32()), ("learned", pa.int32()), ("suggested", pa.int32()),
             ("suggested_p", pa.float64())]  # fmt: skip
    return pa.schema([*fixed, *((name, pa.float64()) for name in names)])


def table(kind: str, run_id: int) -> str:
    """Name of a run's table: `predictions-3`. Ids of runs are never reused."""
    return f"{kind}-{run_id}"
