"""Exports of Label Studio, as JSON or JSON-MIN: one choice per image.

If several people annotated an image, the label is the choice of most of them, and none if there is
a tie. Images with different choices get the tag DISAGREE, and are counted in a note.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import parse_qs, unquote, urlsplit

from ..core.errors import BadInputError
from ..core.plural import counted
from .image_list import HOW_TO_SET_LABEL, ImageList, ListFile
from .labels import ONE_LABEL, check_mostly_one, is_missing
from .source import Row, class_names, is_image_name

DISAGREE = "annotators_disagree"  # tag
LOCAL_FILES, UPLOADS, STORED = "/data/local-files", "/data/upload/", "/storage-data/uploaded"
_REMOTE = re.compile(r"^(https?|s3|gs|azure-blob)://")
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts it before an uploaded file's name


def is_tasks(file: ListFile) -> bool:
    """Whether a file is a list of tasks, some of them with annotations."""
    return any(
        isinstance(task.get("data"), dict) and ("annotations" in task or "completions" in task)
        for task in _objects(file)
    )


def is_tasks_min(file: ListFile) -> bool:
    """Whether a file is a list of annotations in the format JSON-MIN."""
    return any("annotation_id" in row and "data" not in row for row in _objects(file))


def read_tasks(file: ListFile, label: str | None = None) -> ImageList:
    """Read an export in the format JSON.

    label: the name of the Choices control, if there are several. A text field `split` in the data
    of a task becomes its split. An annotation that is marked as ground truth counts alone. Raises
    LabelAuditError if there are no choices, or several controls with choices.
    """
    tasks = _tasks(file)
    opinions_by_task = [_opinions(task) for task in tasks]
    names = dict.fromkeys(
        result["from_name"]
        for opinions in opinions_by_task
        for results in opinions
        for result in results
        if result.get("type") == "choices"
    )
    control = _choose_control(list(names), label, file.name)
    reader = _Reader(file.name)
    for i, (task, opinions) in enumerate(zip(tasks, opinions_by_task, strict=True)):
        data = task["data"] if isinstance(task.get("data"), dict) else {}
        chosen = [[r for r in results if r.get("from_name") == control] for results in opinions]
        image = _image(data, [r.get("to_name") for results in chosen for r in results])
        choices = [_choices([r.get("value") for r in results]) for results in chosen]
        reader.add(f"task {task.get('id', i + 1)}", image, choices, data.get("split"), i)
    return reader.images()


def read_tasks_min(file: ListFile, label: str | None = None) -> ImageList:
    """Read an export in the format JSON-MIN: one entry per annotation.

    label: the name of the Choices control, if there are several.
    """
    rows_by_task: dict = {}
    for i, row in enumerate(_tasks(file)):
        rows_by_task.setdefault(str(row.get("id", f"line {i}")), []).append(row)
    latest = {key: _latest_each(rows, "annotator") for key, rows in rows_by_task.items()}
    control = label or _find_control([row for rows in latest.values() for row in rows], file.name)
    reader = _Reader(file.name)
    for key, rows in latest.items():
        choices = [_choices(row.get(control)) for row in rows]
        reader.add(f"task {key}", _image(rows[0], ()), choices)
    if label and not reader.labelled:
        raise BadInputError(f"{file.name} has no choices {label!r}: check the name.")
    return reader.images()


def annotator_choices(
    tasks: list, label: str | None, name: str
) -> list[tuple[Sequence[str], str, str]]:
    """Return (where the image may be, annotator, choice) of each annotation of an export, JSON or
    JSON-MIN: the latest of each annotator. An annotator is named by email, or by number.

    label: the name of the Choices control, if there are several. name: of the file, for errors.
    Raises BadInputError for another content, several controls, and several choices of a person.
    """
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise BadInputError(f"{name} is not an export of Label Studio: give a list of tasks.")
    plain = [task for task in tasks if isinstance(task.get("data"), dict)]
    annotations = _json_annotations(plain, label, name) if plain else _min_annotations(
        tasks, label, name)  # fmt: skip
    found = []
    for place, image, who, choices in annotations:
        if len(choices) > 1:
            raise BadInputError(
                f"{name}, {place}: {who} chose {', '.join(choices)}: {ONE_LABEL}. Keep one of them."
            )
        if image is not None and choices:
            found.append((_candidates(image), who, choices[0]))
    return found


def _json_annotations(
    tasks: list[dict], label: str | None, name: str
) -> Iterator[tuple[str, str | None, str, list[str]]]:
    """Yield (place, image, annotator, choices) of the tasks of a JSON export."""
    latest = [_latest_each(_annotations(task), "completed_by") for task in tasks]
    control = _choose_control(
        list(
            dict.fromkeys(
                result["from_name"]
                for annotations in latest
                for annotation in annotations
                for result in _results(annotation)
                if result.get("type") == "choices"
            )
        ),
        label,
        name,
    )
    for i, (task, each) in enumerate(zip(tasks, latest, strict=True)):
        for j, annotation in enumerate(each):
            results = [r for r in _results(annotation) if r.get("from_name") == control]
            image = _image(task["data"], [r.get("to_name") for r in results])
            choices = _choices([r.get("value") for r in results])
            who = _who(annotation, "completed_by", j)
            yield f"task {task.get('id', i + 1)}", image, who, choices


def _min_annotations(
    rows: list[dict], label: str | None, name: str
) -> Iterator[tuple[str, str | None, str, list[str]]]:
    """Yield (place, image, annotator, choices) of the rows of a JSON-MIN export."""
    by_task: dict = {}
    for i, row in enumerate(rows):
        by_task.setdefault(str(row.get("id", f"line {i}")), []).append(row)
    control = label or _find_control(rows, name)
    for key, several in by_task.items():
        for j, row in enumerate(_latest_each(several, "annotator")):
            image = _image(row, ())
            yield f"task {key}", image, _who(row, "annotator", j), _choices(row.get(control))


def _who(annotation: dict, key: str, place: int) -> str:
    """Return the annotator's name; "unknown 1" for the first annotation of a task without one."""
    annotator = annotation.get(key)
    if isinstance(annotator, dict):
        annotator = annotator.get("email") or annotator.get("id")
    return f"unknown {place + 1}" if annotator in (None, "") else str(annotator)


class _Reader:
    """Collects the images of the tasks, and counts those on which annotators disagree."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._rows: list[Row] = []
        self._skipped: list[tuple[str, str]] = []
        self._entries: list[int] = []
        self._several = self._disagreements = self._ties = 0

    @property
    def labelled(self) -> int:
        """Number of images with a label."""
        return sum(row["label"] is not None for row in self._rows)

    def add(
        self, task: str, image: str | None, opinions: list[list[str]], split=None, entry: int = -1
    ) -> None:
        """Add an image to the rows, or to the skipped images. opinions: the choices of each
        annotator. entry: the place of the task in the file."""
        several = next((choices for choices in opinions if len(choices) > 1), None)
        if image is None:
            self._skipped.append((f"{self._name}, {task}", "has no image in its data"))
        elif _REMOTE.match(image):
            self._skipped.append((image, "is on a server: download it, and write its path instead"))
        elif several:
            self._several += 1
            names = ", ".join(several)
            self._skipped.append((image, f"has {len(several)} choices ({names}): keep one"))
        else:
            label, tags = self._vote([choices[0] for choices in opinions if choices])
            split = split if isinstance(split, str) else None
            self._rows.append({"filepath": image, "label": label, "split": split, "tags": tags})
            self._entries.append(entry)

    def images(self) -> ImageList:
        """Return the list. Raises BadInputError if most images have several choices."""
        check_mostly_one(self._name, self._several, self.labelled)
        notes = []
        if self._several:
            notes.append(f"{counted(self._several, 'image')} with several choices; {ONE_LABEL}.")
        if self._disagreements:
            notes.append(
                f"Annotators disagree about {counted(self._disagreements, 'image')}, tagged "
                f"{DISAGREE}: the label is the choice of most. Ties, without a label: "
                f"{self._ties:,}."
            )
        classes = class_names([row["label"] for row in self._rows])
        return ImageList.from_rows(
            self._rows,
            classes,
            skipped=self._skipped,
            candidates=_candidates,
            notes=notes,
            entries=self._entries,
        )

    def _vote(self, names: list[str]) -> tuple[str | None, list[str]]:
        """Return the label, and the tags."""
        counts = Counter(names).most_common(2)
        if len(counts) < 2:
            return (names[0] if names else None), []
        tie = counts[0][1] == counts[1][1]
        self._disagreements += 1
        self._ties += tie
        return (None if tie else counts[0][0]), [DISAGREE]


def _candidates(address: str) -> Sequence[str]:
    """Return where the image of an address may be, most likely place first.

    It may be in one of Label Studio's folders, or next to the export: under the last parts of its
    path, or under the name that it had before the upload.
    """
    address = address.replace("\\", "/")  # written on Windows
    url = urlsplit(address) if address.startswith(("/", "file:")) else None
    query = parse_qs(url.query) if url else {}
    if url and url.path.rstrip("/").endswith(LOCAL_FILES) and "d" in query:
        parts = query["d"][0].replace("\\", "/").lstrip("/").split("/")
        path, *endings = ("/".join(parts[i:]) for i in range(len(parts)))
        return [path, f"/{path}", *endings]
    if url and url.path.rstrip("/").endswith(STORED) and "filepath" in query:
        upload = query["filepath"][0].removeprefix("upload/")
    elif url and UPLOADS in url.path:
        upload = unquote(url.path.split(UPLOADS, 1)[1])
    else:
        return [unquote(url.path) if url and url.scheme else address]
    name = upload.rsplit("/", 1)[-1]
    names = dict.fromkeys([name, _UPLOAD_PREFIX.sub("", name)])
    near = [f"{folder}{name}" for name in names for folder in ("", "images/")]
    return [f"upload/{upload}", upload, f"media/upload/{upload}", *near]


def _tasks(file: ListFile) -> list[dict]:
    tasks = file.json
    wrong = next((i for i, task in enumerate(tasks) if not isinstance(task, dict)), None)
    if wrong is not None:
        raise BadInputError(
            f"{file.name}, entry {wrong + 1} is not a task but {tasks[wrong]!r}: export it again."
        )
    return tasks


def _objects(file: ListFile) -> Iterable[dict]:
    content = file.json_document
    return (entry for entry in content if isinstance(entry, dict)) if isinstance(
        content, list) else ()  # fmt: skip


def _opinions(task: dict) -> list[list[dict]]:
    """Return the results of each annotator: of the annotations marked as ground truth if there are
    any, else of all that were not cancelled."""
    valid = _annotations(task)
    valid = [a for a in valid if a.get("ground_truth")] or valid
    return [_results(annotation) for annotation in _latest_each(valid, "completed_by")]


def _annotations(task: dict) -> list[dict]:
    """Return a task's annotations that were not cancelled."""
    annotations = task.get("annotations", task.get("completions"))
    annotations = annotations if isinstance(annotations, list) else []
    return [a for a in annotations if isinstance(a, dict) and not a.get("was_cancelled")]


def _results(annotation: dict) -> list[dict]:
    results = annotation.get("result")
    return [r for r in results if _has_control(r)] if isinstance(results, list) else []


def _has_control(result) -> bool:
    return isinstance(result, dict) and isinstance(result.get("from_name"), str)


def _latest_each(annotations: list[dict], who: str) -> list[dict]:
    """Return the latest annotation of each annotator, by `updated_at`, or the last in the list if
    several are equal. An annotation without annotator counts for itself."""
    latest: dict = {}
    for i, annotation in enumerate(annotations):
        annotator = annotation.get(who)
        if isinstance(annotator, dict):
            annotator = annotator.get("id") or annotator.get("email")
        key = ("unknown", i) if annotator is None else ("known", str(annotator))
        if key not in latest or _time(annotation) >= _time(latest[key]):
            latest[key] = annotation
    return list(latest.values())


def _time(annotation: dict) -> str:
    return str(annotation.get("updated_at") or annotation.get("created_at") or "")


def _choices(value) -> list[str]:
    """Return the different choices in a value: `{"choices": [name, …]}`, a list of such values (one
    for each region), or in JSON-MIN also a plain name."""
    if isinstance(value, dict):
        return _choices(value.get("choices"))
    if isinstance(value, list):
        return list(dict.fromkeys(name for part in value for name in _choices(part)))
    return [] if is_missing(value) or not str(value).strip() else [str(value)]


def _image(data: dict, keys: Sequence[str | None]) -> str | None:
    """Return the address of the image: under one of `keys`, under `image`, or any that looks like
    an image."""
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    for key in [*keys, "image"]:
        if key in texts:
            return texts[key]
    return next((t for t in texts.values() if is_image_name(t.split("&")[0])), None)


def _find_control(rows: list[dict], name: str) -> str:
    """Return the key of the choices, which JSON-MIN does not state: text, or has `choices`."""
    other = {"id", "image", "annotator", "annotation_id", "created_at", "updated_at", "lead_time"}
    controls = dict.fromkeys(
        key
        for row in rows
        for key, value in row.items()
        if key not in other
        and (_choices(value) if isinstance(value, (dict, list)) else isinstance(value, str))
        and not (isinstance(value, str) and (is_image_name(value) or value.startswith("/data/")))
    )
    return _choose_control(list(controls), None, name)


def _choose_control(controls: list[str], label: str | None, name: str) -> str:
    if label is not None and label not in controls:
        raise BadInputError(
            f"{name} has no choices {label!r}: it has {', '.join(controls) or 'none'}."
        )
    if label is None and len(controls) != 1:
        raise BadInputError(
            f"{name} has the choices {', '.join(controls)}: name the one with the labels "
            f"({HOW_TO_SET_LABEL})."
            if controls
            else f"{name} has no choices, so it has no labels: annotate some tasks, and export "
            "again."
        )
    return label or controls[0]
