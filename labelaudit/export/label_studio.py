"""Tasks for Label Studio: labels as annotations, the most probable classes as predictions, and the
labelling configuration."""

from __future__ import annotations

from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from .. import __version__
from ..scores.suspicion import CLEAR, CONFLICT, MISLABELLED
from .outputs import Output
from .provenance import as_line
from .samples import Samples

FROM_NAME, TO_NAME = "label", "image"
LOCAL_FILES = "/data/local-files/?d="  # the address of local files in Label Studio

README = """\
Images and labels of {name}, for Label Studio.

1. Start Label Studio with these variables, so that it serves the images:
   LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true
   LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=<the folder that contains {folder}>
2. Create a project; Settings, Labeling Interface, Code: paste config.xml.
3. Settings, Cloud Storage, Add Source Storage, Local files: the path of {folder}/images. Save it,
   but do not sync: the tasks come from the file.
4. Import tasks.json.

Annotations are the current labels. Predictions are the most probable classes by run {run}, with the
probability as score. Each task also has its split, tags, given_label, original_label and the scores
of the run. Higher scores are more suspicious: order the tasks by {score} to see the worst first.

Written by LabelAudit {version}. State of images and labels: {fingerprint}
For `labelaudit verify`:
{origin}
"""


def write_label_studio(samples: Samples, output: Output, folder: str) -> list[str]:
    """Write tasks.json, config.xml, README.txt and images/.

    folder: the name of the exported folder, which the addresses of the images contain.
    """
    paths = samples.flat_image_paths("images")
    for i, image in samples.images():
        output.add_image(paths[i], image)
    run, scores = samples.run, samples.view.score_names()
    addresses = (LOCAL_FILES + quote(f"{folder}/{path}") for path in paths)
    choices = set(samples.classes)
    tasks = (
        _task(record, address, run and run["name"], scores, choices)
        for record, address in zip(samples.records(), addresses, strict=True)
    )
    output.write_json_list("tasks.json", tasks)
    output.write("config.xml", labelling_config(samples.classes).encode())
    text = README.format(
        name=samples.frame.name,
        folder=folder,
        run=run["name"] if run else "(none)",
        score="suspicion" if "suspicion" in scores else "a score",
        version=__version__,
        fingerprint=samples.fingerprint or "unknown",
        origin=as_line(samples.provenance()),
    )
    output.write("README.txt", text.encode())
    return []


def labelling_config(classes: list[str]) -> str:
    """Return the XML of a project that asks for one class per image."""
    choices = "\n".join(f"    <Choice value={_attribute(name)}/>" for name in classes)
    return (
        f'<View>\n  <Image name="{TO_NAME}" value="$image"/>\n'
        f'  <Choices name="{FROM_NAME}" toName="{TO_NAME}" choice="single" showInline="true">\n'
        f"{choices}\n  </Choices>\n</View>\n"
    )


def _attribute(text: str) -> str:
    """Quote an attribute. Other whitespace would be read back as plain blanks, so it is escaped."""
    return quoteattr(text, {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


def _task(row: dict, address: str, run: str | None, scores: list[str], choices: set[str]) -> dict:
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
    finding = row.get("finding")
    if finding == MISLABELLED or (finding == CONFLICT and row["suggested_p"] >= CLEAR):
        label, p = row["suggested"], row["suggested_p"]
    if label in choices:  # a model may know further classes
        task["predictions"].append(
            {"model_version": f"labelaudit {run}", "score": float(p), "result": [_choice(label)]}
        )
    return task


def _choice(label: str) -> dict:
    return {
        "from_name": FROM_NAME,
        "to_name": TO_NAME,
        "type": "choices",
        "value": {"choices": [label]},
    }
