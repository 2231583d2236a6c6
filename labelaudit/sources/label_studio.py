"""What Label Studio exports as JSON or JSON-MIN: the choice made of each image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import parse_qs, unquote, urlsplit

from ..core.errors import LabelAuditError
from .listing import SAY_LABEL, Listed, Listing, listed
from .source import Row, classes_of, is_image_name

LOCAL, UPLOADS, STORED = "/data/local-files", "/data/upload/", "/storage-data/uploaded"
_ELSEWHERE = re.compile(r"^(https?|s3|gs|azure-blob)://")
_PREFIX = re.compile(r"^[0-9a-f]{8}-")  # what an upload puts before a file's name


def is_tasks(listing: Listing) -> bool:
    first = _first(listing)
    return isinstance(first.get("data"), dict) and (
        "annotations" in first or "completions" in first
    )


def is_tasks_min(listing: Listing) -> bool:
    first = _first(listing)
    return "annotation_id" in first and "data" not in first


def read_tasks(listing: Listing, label: str | None = None) -> Listed:
    """label: the name of the Choices control, where there are several. A `split` among the task's
    data is kept."""
    tasks = _tasks(listing)
    made = [_result(task) for task in tasks]
    names = dict.fromkeys(
        r["from_name"] for results in made for r in results if r.get("type") == "choices"
    )
    control = _chosen(list(names), label, listing.name)
    rows, left_out = [], []
    for i, (task, results) in enumerate(zip(tasks, made, strict=True)):
        data = task["data"] if isinstance(task.get("data"), dict) else {}
        aims = [r.get("to_name") for r in results if r.get("from_name") == control]
        value = next((r.get("value") for r in results if r.get("from_name") == control), None)
        place = f"{listing.name}, task {task.get('id', i + 1)}"
        _add(rows, left_out, place, _image(data, aims), _names(value), data.get("split"))
    return _listed(rows, left_out)


def read_tasks_min(listing: Listing, label: str | None = None) -> Listed:
    """One line an annotation: of several of a task the last one made counts."""
    latest: dict = {}
    for i, row in enumerate(_tasks(listing)):
        key, held = row.get("id", f"line {i}"), latest.get(row.get("id", f"line {i}"))
        if held is None or _when(row) >= _when(held):
            latest[key] = row
    control = label or _control_min(list(latest.values()), listing.name)
    rows, left_out = [], []
    for key, row in latest.items():
        place = f"{listing.name}, task {key}"
        _add(rows, left_out, place, _image(row, ()), _names(row.get(control)))
    if label and not any(row["label"] for row in rows):
        raise LabelAuditError(f"{listing.name} has no choices {label!r}: check the name.")
    return _listed(rows, left_out)


def _listed(rows: list[Row], left_out: list[tuple[str, str]]) -> Listed:
    return listed(
        rows, classes_of([row["label"] for row in rows]), left_out=left_out, places=_places
    )


def _add(
    rows: list[Row], left_out: list, place: str, image: str | None, names: list[str], split=None
) -> None:
    if image is None:
        left_out.append((place, "has no image among its data"))
    elif _ELSEWHERE.match(image):
        left_out.append((image, "lies on a server: download it, and write its path instead"))
    elif len(names) > 1:
        left_out.append((image, f"has {len(names)} choices ({', '.join(names)}): one only"))
    else:
        rows.append({"filepath": image, "label": names[0] if names else None,
                     "split": split if isinstance(split, str) else None})  # fmt: skip


def _places(address: str) -> Sequence[str]:
    """Where the image of an address may lie, below the root: in Label Studio's own folders, or
    beside the export, by the last parts of its path or the name that it had before it was
    uploaded."""
    url = urlsplit(address) if address.startswith(("/", "file:")) else None
    query = parse_qs(url.query) if url else {}
    if url and url.path.rstrip("/").endswith(LOCAL) and "d" in query:
        parts = query["d"][0].lstrip("/").split("/")
        return ["/".join(parts), f"/{'/'.join(parts)}",
                *("/".join(parts[i:]) for i in range(1, len(parts)))]  # fmt: skip
    if url and url.path.rstrip("/").endswith(STORED) and "filepath" in query:
        upload = query["filepath"][0].removeprefix("upload/")
    elif url and UPLOADS in url.path:
        upload = unquote(url.path.split(UPLOADS, 1)[1])
    else:
        return [unquote(url.path) if url and url.scheme else address]
    file = upload.rsplit("/", 1)[-1]
    names = dict.fromkeys([file, _PREFIX.sub("", file)])
    beside = [f"{folder}{name}" for name in names for folder in ("", "images/")]
    return [f"upload/{upload}", upload, f"media/upload/{upload}", *beside]


def _tasks(listing: Listing) -> list[dict]:
    tasks = listing.json
    odd = next((i for i, task in enumerate(tasks) if not isinstance(task, dict)), None)
    if odd is not None:
        raise LabelAuditError(
            f"{listing.name}, entry {odd + 1} is no task but {tasks[odd]!r}: export it again."
        )
    return tasks


def _result(task: dict) -> list[dict]:
    """The results of the annotation that was made last and not cancelled; none where there is none.

    Label Studio's `updated_at` tells; of equal ones the later in the list.
    """
    made = task.get("annotations", task.get("completions"))
    valid = [a for a in made or () if isinstance(a, dict) and not a.get("was_cancelled")]
    if not valid:
        return []
    last = max(range(len(valid)), key=lambda i: (_when(valid[i]), i))
    results = valid[last].get("result") or ()
    return [r for r in results if isinstance(r, dict) and isinstance(r.get("from_name"), str)]


def _when(annotation: dict) -> str:
    return str(annotation.get("updated_at") or annotation.get("created_at") or "")


def _names(value) -> list[str]:
    """The choices of a value: `{"choices": [name …]}`, in JSON-MIN also a name alone."""
    if isinstance(value, dict):
        value = value.get("choices")
    names = value if isinstance(value, list) else [] if value is None else [value]
    return list(dict.fromkeys(str(name) for name in names))


def _image(data: dict, aims: Sequence[str | None]) -> str | None:
    """The address of the image: under the name that the control aims at, or `image`, or whatever
    looks like one."""
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    for key in [*aims, "image"]:
        if key in texts:
            return texts[key]
    return next((t for t in texts.values() if is_image_name(t.split("&")[0])), None)


def _control_min(rows: list[dict], name: str) -> str:
    """The key of the choices, which JSON-MIN does not tell: text, or an object with `choices`."""
    known = {"id", "image", "annotator", "annotation_id", "created_at", "updated_at", "lead_time"}
    found = dict.fromkeys(
        key
        for row in rows
        for key, value in row.items()
        if key not in known
        and ((isinstance(value, dict) and "choices" in value) or isinstance(value, str))
        and not (isinstance(value, str) and (is_image_name(value) or value.startswith("/data/")))
    )
    return _chosen(list(found), None, name)


def _chosen(controls: list[str], label: str | None, name: str) -> str:
    if label is not None and label not in controls:
        raise LabelAuditError(
            f"{name} has no choices {label!r}: it has {', '.join(controls) or 'none'}."
        )
    if label is None and len(controls) != 1:
        raise LabelAuditError(
            f"{name} has the choices {', '.join(controls)}: say which are the labels ({SAY_LABEL})."
            if controls
            else f"{name} has no choices, so no labels: annotate some tasks, and export again."
        )
    return label or controls[0]


def _first(listing: Listing) -> dict:
    content = listing.json if listing.suffix == ".json" else None
    first = content[0] if isinstance(content, list) and content else None
    return first if isinstance(first, dict) else {}
