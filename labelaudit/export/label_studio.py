"""Tasks for Label Studio: the labels as annotations, what the model holds for true as predictions,
and the labelling configuration."""

from __future__ import annotations

import json
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from ..scores.suspicion import MISLABELLED
from .content import Content
from .names import Places
from .trees import Tree

FROM_NAME, TO_NAME = "label", "image"
LOCAL_FILES = "/data/local-files/?d="  # where Label Studio serves files of its own machine

README = """\
Images and labels of {name}, for Label Studio.

1. Start it so that it may serve these images:
   LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true
   LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=<the folder that holds {folder}>
2. Make a project; Settings, Labeling Interface, Code: paste config.xml.
3. Settings, Cloud Storage, Add Source Storage, Local files: the path of {folder}/images. Save it,
   and do not sync: the tasks come from the file.
4. Import tasks.json.

Annotations are the labels as they are now. Predictions are what run {run} holds for the true class,
with its probability as their score. Each task also has its split, tags, given_label, original_label
and the scores of the run: higher is more suspicious, so order tasks by {score} to see the worst
first.
"""


def write_label_studio(content: Content, tree: Tree, folder: str) -> list[str]:
    """tasks.json, config.xml, README.txt and images/. folder: the name that all of it lies under,
    which the addresses of the images begin with."""
    places = content.image_places(np.full(len(content), "images", object), Places())
    for i, image in content.images():
        tree.place(places[i], image)
    run, scores = content.run, content.view.score_names()
    row = 0
    with tree.open("tasks.json") as sink:
        sink.write(b"[")
        for frame in content.frames():
            for record in frame.to_dict("records"):
                address = LOCAL_FILES + quote(f"{folder}/{places[row]}")
                task = _task(record, address, run and run["name"], scores)
                sink.write((",\n" if row else "\n").encode() + json.dumps(task).encode())
                row += 1
        sink.write(b"\n]\n")
    tree.write("config.xml", labelling_config(content.classes).encode())
    text = README.format(
        name=content.frame.name, folder=folder, run=run["name"] if run else "(none)",
        score="suspicion" if "suspicion" in scores else "a score",
    )  # fmt: skip
    tree.write("README.txt", text.encode())
    return []


def labelling_config(classes: list[str]) -> str:
    """The XML of a project that asks for one class an image."""
    choices = "\n".join(f"    <Choice value={_attribute(name)}/>" for name in classes)
    return (
        f'<View>\n  <Image name="{TO_NAME}" value="$image"/>\n'
        f'  <Choices name="{FROM_NAME}" toName="{TO_NAME}" choice="single" showInline="true">\n'
        f"{choices}\n  </Choices>\n</View>\n"
    )


def _attribute(text: str) -> str:
    """A blank of another kind would be read back as a plain one, and some signs are not allowed."""
    return quoteattr(text, {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


def _task(row: dict, address: str, run: str | None, scores: list[str]) -> dict:
    data = {
        "image": address,
        "labelaudit_id": row["id"],
        "split": row["split"],
        "tags": list(row["tags"]),
        "given_label": row["ground_truth"],
        "original_label": row["original_label"],
        **{name: row[name] if np.isfinite(row[name]) else None for name in scores},
    }
    task = {"id": row["id"], "data": data, "annotations": [], "predictions": []}
    if row["ground_truth"] is not None:
        task["annotations"].append({"result": [_choice(row["ground_truth"])]})
    label, p = row["predicted"], row["confidence"]
    if row.get("finding") == MISLABELLED:
        label, p = row["suggested"], row["suggested_p"]
    if label is not None:
        task["predictions"].append(
            {"model_version": f"labelaudit {run}", "score": float(p), "result": [_choice(label)]}
        )
    return task


def _choice(label: str) -> dict:
    return {
        "from_name": FROM_NAME, "to_name": TO_NAME, "type": "choices",
        "value": {"choices": [label]},
    }  # fmt: skip
