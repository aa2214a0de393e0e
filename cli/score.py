"""Placeholder until the command is written."""


def score() -> None:
    """Not written yet."""
