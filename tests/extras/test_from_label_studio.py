"""Loading what Label Studio's converter writes."""

from __future__ import annotations

import json

import pytest

import labelaudit

converter = pytest.importorskip("label_studio_sdk.converter")

CONFIG = """<View><Image name="img" value="$photo"/><Choices name="species" toName="img">
<Choice value="cat"/><Choice value="dog"/></Choices></View>"""


def test_json_and_json_min_of_the_converter(tmp_path, picture):
    tasks = []
    for i in range(3):
        picture(tmp_path / "root" / f"3/0a1b2c3d-{i}.png", seed=i)
        made = {
            "id": i, "created_at": "2024-01-01T00:00:00Z", "updated_at": "2024-01-01T00:00:00Z",
            "completed_by": 1, "lead_time": 1.0, "was_cancelled": False,
            "result": [{"id": "r", "from_name": "species", "to_name": "img", "type": "choices",
                        "value": {"choices": [["cat", "dog"][i % 2]]}}],
        }  # fmt: skip
        tasks.append({"id": i, "data": {"photo": f"/data/upload/3/0a1b2c3d-{i}.png"},
                      "annotations": [made]})  # fmt: skip
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    made = converter.Converter(CONFIG, str(tmp_path))
    for kind in ("JSON", "JSON_MIN"):
        made.convert(str(tmp_path / "tasks.json"), str(tmp_path / kind), kind, is_dir=False)
        (path,) = (tmp_path / kind).glob("*.json")
        dataset = labelaudit.load_dataset(kind, path, root=tmp_path / "root")
        assert dataset.view().values("ground_truth").tolist() == ["cat", "dog", "cat"]
        assert dataset.info["source"].startswith("Label Studio")
