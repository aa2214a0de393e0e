"""Placeholder until the command is written."""


def check() -> None:
    """Not written yet."""
