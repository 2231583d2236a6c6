"""The same audit on a Ray cluster: an optional extra, and the only room that knows Ray.

Nothing here imports Ray until it is used. What a worker does to a batch is what the rooms below do
in one process; this room only says who does which part, and puts the parts together.
"""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import LabelAuditError

HERE, RAY = PLACES = ("here", "ray")  # what `on` can be
NEEDED = ("ray", "lance_ray", "lance")


def is_installed() -> bool:
    """Whether the extra is there. Ray takes seconds to import, and is not imported for this."""
    return all(find_spec(name) is not None for name in NEEDED)


def check_place(on: str) -> bool:
    """Whether the work is to be done by Ray. Raises LabelAuditError where it is not installed, and
    for any other word than "here" and "ray"."""
    if on not in PLACES:
        raise LabelAuditError(f"on={on!r}: choose here (this machine) or ray (a Ray cluster).")
    if on == RAY and not is_installed():
        raise LabelAuditError(
            "Ray is not installed, which on='ray' needs: pip install \"labelaudit[cluster]\"."
        )
    return on == RAY


__all__ = ["HERE", "PLACES", "RAY", "check_place", "is_installed"]
