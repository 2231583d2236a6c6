"""What the events that the browser sends in both review modes have in common."""

from __future__ import annotations

# Asks for the images that the browser lacks. The browser sends it by itself.
MORE_IMAGES = "images"


def images_it_has(event: dict | None, version: str) -> set[int]:
    """Return the ids of the samples whose images the browser has in this version."""
    return set(event["have"]) if event and event["version"] == version else set()
