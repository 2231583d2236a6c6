"""Runs examples/walkthrough.ipynb from top to bottom and stores its output: `make notebook`."""

from __future__ import annotations

import base64
import io
import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

REPO = Path(__file__).resolve().parents[1]
NOTEBOOK = REPO / "examples" / "walkthrough.ipynb"
TIMEOUT = 200  # seconds per cell
COLOURS = 24  # the digits have 17 shades


def run(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Execute all cells in a kernel that works in `folder` and stores its datasets there.

    Raises nbclient.exceptions.CellExecutionError if a cell fails.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPO),
        "LABELAUDIT_HOME": str(folder / "home"),
    }
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute(env=environment)


def with_small_images(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Reduce PNG images to few colours, and drop their JPEG copies."""
    data = output.get("data", {})
    data.pop("image/jpeg", None)
    if "image/png" in data:
        picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
        buffer = io.BytesIO()
        picture.quantize(COLOURS).save(buffer, "PNG", optimize=True)
        data["image/png"] = base64.b64encode(buffer.getvalue()).decode()
    return output


def main() -> None:
    notebook = nbformat.read(NOTEBOOK, 4)
    with tempfile.TemporaryDirectory() as folder:
        run(notebook, Path(folder))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                with_small_images(output)
                for output in cell.outputs
                if output.get("name") != "stderr"
            ]
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, NOTEBOOK)
    print(f"{NOTEBOOK.relative_to(REPO)}: {NOTEBOOK.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
