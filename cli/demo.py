"""Placeholder until the command is written."""


def demo() -> None:
    """Not written yet."""
