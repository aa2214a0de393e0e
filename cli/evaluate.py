"""Placeholder until the command is written."""


def evaluate() -> None:
    """Not written yet."""
