"""Exports of Label Studio, as JSON or JSON-MIN: one choice per image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import parse_qs, unquote, urlsplit

from ..core.errors import BadInputError
from .image_list import HOW_TO_SET_LABEL, ImageList, ListFile
from .source import Row, class_names, is_image_name

LOCAL_FILES, UPLOADS, STORED = "/data/local-files", "/data/upload/", "/storage-data/uploaded"
_REMOTE = re.compile(r"^(https?|s3|gs|azure-blob)://")
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts it before an uploaded file's name


def is_tasks(file: ListFile) -> bool:
    """Whether a file is a list of tasks with annotations."""
    first = _first_task(file)
    return isinstance(first.get("data"), dict) and (
        "annotations" in first or "completions" in first
    )


def is_tasks_min(file: ListFile) -> bool:
    """Whether a file is a list of annotations in the format JSON-MIN."""
    first = _first_task(file)
    return "annotation_id" in first and "data" not in first


def read_tasks(file: ListFile, label: str | None = None) -> ImageList:
    """Read an export in the format JSON.

    label: the name of the Choices control, if there are several. A text field `split` in the data
    of a task becomes its split. Raises LabelAuditError if there are no choices, or several.
    """
    tasks = _tasks(file)
    results_by_task = [_latest_results(task) for task in tasks]
    names = dict.fromkeys(
        r["from_name"] for results in results_by_task for r in results if r.get("type") == "choices"
    )
    control = _choose_control(list(names), label, file.name)
    rows, skipped = [], []
    for i, (task, results) in enumerate(zip(tasks, results_by_task, strict=True)):
        data = task["data"] if isinstance(task.get("data"), dict) else {}
        chosen = [r for r in results if r.get("from_name") == control]
        image = _image(data, [r.get("to_name") for r in chosen])
        choices = _choices(chosen[0].get("value") if chosen else None)
        place = f"{file.name}, task {task.get('id', i + 1)}"
        _add(rows, skipped, place, image, choices, data.get("split"))
    return _image_list(rows, skipped)


def read_tasks_min(file: ListFile, label: str | None = None) -> ImageList:
    """Read an export in the format JSON-MIN: one entry per annotation.

    If a task has several annotations, the latest one counts. label: the name of the Choices
    control, if there are several.
    """
    latest: dict = {}
    for i, row in enumerate(_tasks(file)):
        key = row.get("id", f"line {i}")
        if key not in latest or _time(row) >= _time(latest[key]):
            latest[key] = row
    control = label or _find_control(list(latest.values()), file.name)
    rows, skipped = [], []
    for key, row in latest.items():
        place = f"{file.name}, task {key}"
        _add(rows, skipped, place, _image(row, ()), _choices(row.get(control)))
    if label and not any(row["label"] for row in rows):
        raise BadInputError(f"{file.name} has no choices {label!r}: check the name.")
    return _image_list(rows, skipped)


def _image_list(rows: list[Row], skipped: list[tuple[str, str]]) -> ImageList:
    classes = class_names([row["label"] for row in rows])
    return ImageList.from_rows(rows, classes, skipped=skipped, candidates=_candidates)


def _add(
    rows: list[Row], skipped: list, place: str, image: str | None, labels: list[str], split=None
) -> None:
    """Add an image to the rows, or to the skipped images."""
    if image is None:
        skipped.append((place, "has no image in its data"))
    elif _REMOTE.match(image):
        skipped.append((image, "is on a server: download it, and write its path instead"))
    elif len(labels) > 1:
        skipped.append((image, f"has {len(labels)} choices ({', '.join(labels)}): keep one"))
    else:
        split = split if isinstance(split, str) else None
        rows.append({"filepath": image, "label": labels[0] if labels else None, "split": split})


def _candidates(address: str) -> Sequence[str]:
    """Return where the image of an address may be, most likely place first.

    It may be in one of Label Studio's folders, or next to the export: under the last parts of its
    path, or under the name that it had before the upload.
    """
    url = urlsplit(address) if address.startswith(("/", "file:")) else None
    query = parse_qs(url.query) if url else {}
    if url and url.path.rstrip("/").endswith(LOCAL_FILES) and "d" in query:
        parts = query["d"][0].lstrip("/").split("/")
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


def _first_task(file: ListFile) -> dict:
    content = file.json_document
    first = content[0] if isinstance(content, list) and content else None
    return first if isinstance(first, dict) else {}


def _latest_results(task: dict) -> list[dict]:
    """Return the results of the latest annotation that was not cancelled; empty if there is none.

    The latest is by `updated_at`; if several are equal, the last one in the list.
    """
    annotations = task.get("annotations", task.get("completions"))
    valid = [a for a in annotations or () if isinstance(a, dict) and not a.get("was_cancelled")]
    if not valid:
        return []
    last = max(range(len(valid)), key=lambda i: (_time(valid[i]), i))
    results = valid[last].get("result") or ()
    return [r for r in results if isinstance(r, dict) and isinstance(r.get("from_name"), str)]


def _time(annotation: dict) -> str:
    return str(annotation.get("updated_at") or annotation.get("created_at") or "")


def _choices(value) -> list[str]:
    """Return the choices in a value: `{"choices": [name, …]}`, or in JSON-MIN also a plain name."""
    if isinstance(value, dict):
        value = value.get("choices")
    names = value if isinstance(value, list) else [] if value is None else [value]
    return list(dict.fromkeys(str(name) for name in names))


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
        and ((isinstance(value, dict) and "choices" in value) or isinstance(value, str))
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
