"""Placeholder until the command is written."""


def doctor() -> None:
    """Not written yet."""
