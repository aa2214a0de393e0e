"""Placeholder until the command is written."""


def preprocess() -> None:
    """Not written yet."""
