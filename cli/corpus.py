"""Placeholder until the command is written."""

import typer

app = typer.Typer(help="Corpora by name.", no_args_is_help=True)
