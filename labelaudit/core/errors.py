"""The one exception that LabelAudit raises on purpose."""


class LabelAuditError(Exception):
    """Something a person can mend: one sentence that names the value, the place and the fix.

    Every error that the library raises on purpose is one of these.
    """


class StoppedError(LabelAuditError):
    """The person asked to stop, and nothing worth keeping was there yet."""
