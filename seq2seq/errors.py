"""What a person at the terminal can put right; the command line turns each kind into an exit code.

A wrong call in code stays a `ValueError`, an impossible state an `assert`.
"""


class UserError(Exception):
    """One sentence on what is wrong and where, and a hint that says what to do about it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(UserError):
    """A setting, argument or combination of them that cannot be honoured."""


class CorpusError(UserError):
    """Text or prepared data that cannot be used as it is."""


class CheckpointError(UserError):
    """A run or checkpoint that is missing, damaged, or of another format version."""


class DivergenceError(UserError):
    """Training met a loss or gradient that is not finite."""


class ResourceError(UserError):
    """Disk, memory, permission or a lock stands in the way."""
