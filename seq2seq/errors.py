"""Errors that a user can put right; the command line gives each class its own exit code.

A wrong call in code raises `ValueError` instead, and an impossible state fails an `assert`.
"""


class UserError(Exception):
    """A message of one sentence, what is wrong and where, and a hint what to do about it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(UserError):
    """A setting or argument, or a combination of them, that cannot be used."""


class CorpusError(UserError):
    """Text or prepared data that cannot be used as it is."""


class CheckpointError(UserError):
    """A run or checkpoint that is missing, damaged, or of an unsupported format version."""


class DivergenceError(UserError):
    """Training met a loss or gradient that is not finite."""


class ResourceError(UserError):
    """The disk, the memory, a permission or a lock that another process owns prevents the work."""
