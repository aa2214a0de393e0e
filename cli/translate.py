"""Placeholder until the command is written."""


def translate() -> None:
    """Not written yet."""
