"""The errors that LabelAudit raises on purpose.

Callers branch on the type of an error and show its message; they never search the message.
"""


class LabelAuditError(Exception):
    """Base of all errors that a user can do something about.

    The message is one or two sentences that name the value, the place and the fix.
    """


class NotFoundError(LabelAuditError):
    """Something with this name or id does not exist: a dataset, run, sample, field or file."""


class BusyError(LabelAuditError):
    """Another process or machine holds what this operation needs."""


class DamagedError(LabelAuditError):
    """Stored data cannot be read: it is incomplete, broken, or of a newer version."""


class BadInputError(LabelAuditError):
    """A value, file or table that the caller gave cannot be used."""


class StorageError(LabelAuditError):
    """The disk or the object storage failed: it is full, unreachable or write-protected."""


class PluginError(LabelAuditError):
    """The code of an installed plugin failed. plugin: its name."""

    def __init__(self, message: str, plugin: str = "") -> None:
        super().__init__(message)
        self.plugin = plugin


class PluginWarning(UserWarning):
    """A plugin was left out."""


class StoppedError(LabelAuditError):
    """The caller stopped the operation before it had a result worth keeping."""
