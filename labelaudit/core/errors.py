"""The one exception that LabelAudit raises on purpose."""


class LabelAuditError(Exception):
    """Something a person can mend: one sentence that names the value, the place and the fix.

    Every error that the library raises on purpose is one of these.
    """


class StoppedError(LabelAuditError):
    """The person asked to stop, and nothing worth keeping was there yet."""


def nothing_kept(work: str) -> str:
    """What a StoppedError says of work that leaves nothing. work: what was done, "scoring"."""
    return f"{work} was stopped: nothing of it is kept."
