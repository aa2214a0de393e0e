"""Commands that a message tells the user to type, quoted for the shell."""

import shlex
from pathlib import Path


def command(name: str, *arguments: object) -> str:
    """A command line of the program, which means these arguments when it is typed as it stands."""
    return " ".join(["seq2seq", name, *map(argument, arguments)])


def argument(value: object) -> str:
    """One argument, quoted; a path that begins with "-" is not taken for an option."""
    text = str(value)
    if isinstance(value, Path) and text.startswith("-") and text != "-":
        text = f"./{text}"
    return shlex.quote(text)
