"""The columns of all tables.

Tables are split by how they change, so that tagging 20,000 samples never rewrites an image:

    samples            written once            id, filepath, image, split, width, height
    annotations        small, often changed    id, label, original_label, tags
    source-files       changed by a sync       id, size, changed, sha256, label, state, sync
    noise              overwritten whole       id, label before noise was injected
    history            appended                id, time, who, kind, count, before, info
    changes            appended                change (id in history), sample, label and tags before
    verdicts           appended                id, batch, sample, reviewer, verdict, label, given
    fingerprints       appended                id, pixels, thumbnail
    duplicates         overwritten whole       id, group, copy_of
    quality            appended                id, shadows, highlights, sharpness, entropy, colour
    features           one row per extractor   id, name, info, state
    features-<id>      appended                id, features
    annotator-labels   overwritten whole       id, sample, annotator, label
    controls           appended                id, reviewer, sample, shown, truth, verdict, after
    runs               one row per run         id, name, created, state, info, weights
    predictions-<run>  one row per sample      id, label, confidence, logits, embedding
    dynamics-<run>     appended every epoch    id, epoch, label, margin, p_label
    sample-dynamics-<run>  of a finished run   id, label, fold, one list per measure
    self_tests         one row per run         id, info
    field-<id>         one row per value       id, value
    views              overwritten whole       id, name, info
    scores-<run>       overwritten whole       id, label, learned, suggested,
                                               suggested_p, one column per score
    meta               one row                 id, info (classes, source, next id)

Labels are stored as class indices into `info["classes"]` and shown as names.
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

# Version of the format, stored in `meta`. It increases when an earlier LabelAudit would misread
# what this one writes. Differences between versions are handled in `dataset.migrations`.
FORMAT = 2

THUMBNAIL_SIDE = 16  # pixels

META = pa.schema([ID, ("info", pa.string())])

# Saved views. info: run and steps, JSON.
VIEWS = pa.schema([ID, ("name", pa.string()), ("info", pa.large_string())])

SAMPLES = pa.schema(
    [
        ID,
        ("filepath", pa.string()),  # of the image; if `image` is not null, only its name
        ("image", pa.binary()),  # encoded bytes of an image without a file of its own, else null
        ("split", pa.string()),
        ("width", pa.int32()),  # pixels; null if the image was not opened on import
        ("height", pa.int32()),
    ]
)

ANNOTATIONS = pa.schema(
    [
        ID,
        ("label", pa.int32()),
        ("original_label", pa.int32()),  # null while the label is the imported one
        ("tags", pa.list_(pa.string())),
    ]
)

# What the source had when it was read last. Datasets loaded before this table existed lack it.
SHA256_BYTES = 32
# Values of `state`. A sample is gone only as long as it has the tag AWAY, so that a return to an
# earlier state of the history undoes it.
IN_SOURCE, LEFT, LEFT_AFTER_REMOVAL = range(3)
SOURCE_FILES = pa.schema(
    [
        ID,
        ("size", pa.int64()),  # bytes; null for an image without a file of its own
        ("changed", pa.int64()),  # time of the last change, ns since 1970; null likewise
        ("sha256", pa.binary(SHA256_BYTES)),  # of the encoded image
        ("label", pa.int32()),  # in the source, which may not be the label of `annotations`
        ("state", pa.int8()),  # LEFT_AFTER_REMOVAL: it was removed before
        ("sync", pa.int64()),  # change of the history that added the sample; 0: the first load
    ]
)

# Labels before noise was injected, of samples that it changed. Valid only with the tag `mistake`.
NOISE = pa.schema([ID, ("label", pa.int32())])

# One row per change of labels or tags.
HISTORY = pa.schema(
    [
        ID,
        ("time", pa.string()),  # ISO 8601, UTC
        ("who", pa.string()),
        ("kind", pa.string()),  # one of `history_log.KINDS`
        ("count", pa.int64()),  # samples that changed
        ("before", pa.string()),  # null; format 1: stamp of `annotations` before the change
        ("info", pa.string()),  # JSON: details of the change
    ]
)

# The previous state of each changed sample, so that any state of the dataset can be restored.
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

# A log: its rows are never changed. Rows of one batch are undone together.
VERDICTS = pa.schema(
    [
        ID,
        ("batch", pa.int64()),  # id of its first row; for "undo" and "redo" the batch they refer to
        ("sample", pa.int64()),  # null for "undo" and "redo"
        ("reviewer", pa.string()),
        ("verdict", pa.string()),  # keep, relabel, remove, unsure; undo, redo
        ("label", pa.int32()),  # new class of "relabel"
        ("given", pa.int32()),  # class that the reviewer saw
        ("time", pa.string()),  # ISO 8601, UTC
    ]
)

# Compact descriptions of images, to find duplicates without decoding them again.
FINGERPRINTS = pa.schema(
    [
        ID,
        ("pixels", pa.int64()),  # hash of all pixels
        ("thumbnail", pa.binary(THUMBNAIL_SIDE**2)),  # grey, row by row
    ]
)

# Every sample that was compared with the others. A sample without duplicates is alone in its group.
DUPLICATES = pa.schema(
    [
        ID,
        ("group", pa.int64()),  # smallest id of the samples that show the same picture
        ("copy_of", pa.int64()),  # smallest id of the samples with the same pixels
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

# Extractors with stored features. info: version of the weights and width, JSON; "null" once they
# were dropped. state: what the extractor was fitted to these images, null for pretrained ones.
FEATURES = pa.schema(
    [ID, ("name", pa.string()), ("info", pa.string()), ("state", pa.large_binary())]
)

# Labels by several annotators: at most one for each sample and annotator. id numbers the rows.
ANNOTATOR_LABELS = pa.schema(
    [ID, ("sample", pa.int64()), ("annotator", pa.string()), ("label", pa.int32())]
)

# A log of answers to blind controls, which are not verdicts. Its rows are never changed.
CONTROLS = pa.schema(
    [
        ID,
        ("reviewer", pa.string()),
        ("sample", pa.int64()),
        ("shown", pa.int32()),  # class that the reviewer saw
        ("truth", pa.int32()),  # class of the sample
        ("verdict", pa.string()),  # keep, relabel, remove, unsure; withdrawn
        ("label", pa.int32()),  # new class of "relabel"
        ("after", pa.int64()),  # id of the last row of `verdicts` at that time
        ("time", pa.string()),  # ISO 8601, UTC
    ]
)

# How suspicion noticed planted labels, see scores/self_test.py. id: of the run. info: JSON.
SELF_TESTS = pa.schema([ID, ("info", pa.string())])

# Tags with a meaning.
MISTAKE = "mistake"  # label was made wrong on purpose
REMOVED = "removed"  # removed by a verdict: not trained on, ranked or exported
PROCESSED = "processed"  # predicted by some run
NEW = "new-in-sync"  # added by the latest sync that added any
AWAY = "gone-at-source"  # the source no longer has it; `removed` as well
QUIET_TAGS = {PROCESSED}  # not recorded in the history

# Common names of splits, in lower case.
TRAINING_SPLITS = {"train", "training"}
HELD_OUT_SPLITS = {
    "test", "testing", "val", "valid", "validation", "dev", "eval", "evaluation", "holdout",
}  # fmt: skip

FROM_FOLDER = "folder "  # prefix of `info["source"]` of class folders; the path follows
CLASS_LIST_SUFFIX = ".classes.json"  # replaces a manifest's suffix in the name of its class list
PROVENANCE_SUFFIX = ".provenance.json"  # follows the name of the file that it is about

DYNAMICS = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),  # once per epoch, so no primary key
        ("epoch", pa.int32()),
        ("label", pa.int32()),  # the given class that margin and p_label refer to
        ("margin", pa.float32()),  # of the model trained on the sample
        ("p_label", pa.float32()),
        ("out_margin", pa.float32()),  # of a model not trained on it; null if there is none
        ("out_p_label", pa.float32()),
        ("fold", pa.int8()),  # its model was not trained on it; -1: none was, -2: all were
    ]
)

RUNS = pa.schema(
    [
        ID,
        ("name", pa.string()),
        ("created", pa.string()),  # ISO 8601, UTC
        ("state", pa.string()),  # BEGUN, FINISHED or GONE
        ("info", pa.string()),  # JSON: classes, config, accuracy, curves …
        # safetensors: of a model, or the fit of a first look; null for imported predictions
        ("weights", pa.large_binary()),
    ]
)

# States of a run. A run that is GONE was abandoned or replaced; its row only reserves its id.
BEGUN, FINISHED, GONE = "begun", "finished", "gone"

# Keys in a run's info that tell where its predictions come from. Without them it was trained here.
FIRST_LOOK = "first_look"  # computed without training
IMPORTED = "brought"  # made by a model that was not trained here
RECORDED = "recorded"  # recorded in the user's own training loop

# In the information of a run: the last of its classes, which the dataset lacks.
UNKNOWN = "unknown_classes"
# Columns of a scores table that are not scores.
NO_SCORES = ("id", "label", "learned", "suggested", "suggested_p")


def predictions(classes: int, width: int | None = None) -> pa.Schema:
    """Return the schema of a predictions table.

    width: length of the embeddings (activations of the model's last layer); None for a table
    without them. A row may have a null embedding.
    """
    columns = [
        ID,
        ("label", pa.int32()),
        ("confidence", pa.float32()),
        ("logits", pa.list_(pa.float32(), classes)),
    ]
    return pa.schema([*columns, embedding(width)] if width else columns)


def embedding(width: int) -> pa.Field:
    # half precision finds the same neighbours, with half the bytes
    return pa.field("embedding", pa.list_(pa.float16(), width))


def features(width: int) -> pa.Schema:
    """Columns of a table of stored features, width numbers per image."""
    return pa.schema([ID, ("features", pa.list_(pa.float16(), width))])


def sample_dynamics(epochs: int, measures: list[str]) -> pa.Schema:
    """Columns of the training dynamics of a finished run: lists of `epochs` values of these
    measures, NaN for what was not recorded."""
    lists = [(name, pa.list_(pa.float32(), epochs)) for name in measures]
    return pa.schema([ID, ("label", pa.int32()), ("fold", pa.int8()), *lists])


def field_values(kind: pa.DataType) -> pa.Schema:
    """Columns of a table of a user's field; see dataset/own_fields.py."""
    return pa.schema([ID, ("value", kind)])


def scores(names: list[str]) -> pa.Schema:
    """Return the schema of a scores table with these scores.

    Scores are float64: 1 - p(label) saturates at 1 in float32, and ties cannot be ranked. `label`
    is the class that they judge: a sample that was relabelled later has no valid score. `learned`
    is the class that the model was trained or validated with, or null. `suggested` is the most
    probable true class other than `label`, and `suggested_p` its probability; null without a
    suspicion.
    """
    fixed = [
        ID,
        ("label", pa.int32()),
        ("learned", pa.int32()),
        ("suggested", pa.int32()),
        ("suggested_p", pa.float64()),
    ]
    return pa.schema([*fixed, *((name, pa.float64()) for name in names)])


def table(kind: str, run_id: int) -> str:
    """Return the name of a run's table: `predictions-3`. Ids of runs are never reused."""
    return f"{kind}-{run_id}"
