"""Placeholder until the command is written."""


def describe() -> None:
    """Not written yet."""
