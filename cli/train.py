"""Placeholder until the command is written."""


def train() -> None:
    """Not written yet."""
