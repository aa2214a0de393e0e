"""Placeholder until the command is written."""


def align() -> None:
    """Not written yet."""
