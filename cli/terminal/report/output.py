"""Where a report goes: a page, a folder of pictures, or the terminal."""

import os
from collections.abc import Sequence
from pathlib import Path

from cli.runs.output import is_standard_output, refuse_output, write_lines
from cli.runs.report.content import ReportContent
from cli.terminal.console import note, write_line
from cli.terminal.report.charts import charts
from cli.terminal.report.text import report_lines
from cli.terminal.screen import stdout_console
from seq2seq.errors import ConfigError, ResourceError
from seq2seq.system.figures import counted


def check_outputs(
    output: Path | None, pictures: Path | None, *, inputs: Sequence[Path], overwrite: bool
) -> None:
    """Raises ConfigError or ResourceError for what must not or cannot be written, and where the
    package that draws is not installed; before anything is computed.

    inputs: what the page must not replace
    """
    if output is not None:
        refuse_output(output, inputs=inputs, overwrite=overwrite)
    if pictures is not None:
        if pictures.exists():
            raise ConfigError(f"{pictures} exists already", hint="choose another folder")
        if not os.access(pictures.absolute().parent, os.W_OK):
            raise ResourceError(
                f"{pictures} cannot be created", hint="choose a folder that you may write to"
            )
    if output is not None or pictures is not None:
        import cli.terminal.report.pictures  # noqa: F401


def write_report(content: ReportContent, *, output: Path | None, pictures: Path | None) -> None:
    """Write the page and the pictures that are asked for; without either, lines on stdout."""
    if pictures is not None:
        from cli.terminal.report.pictures import write_pictures

        systems = [figures.name for figures in content.figures]
        files = write_pictures(list(charts(content)), systems, pictures)
        note(f"{counted(len(files), 'picture')} written to {pictures}")
    if output is not None:
        from cli.terminal.report.page import html_page

        lines = html_page(content).rstrip("\n").split("\n")
        if is_standard_output(output):
            for line in lines:
                write_line(line)
        else:
            write_lines(output, lines)
            note(f"written to {output}: open it in a browser")
    if output is None and pictures is None:
        for line in report_lines(content, width=stdout_console().width - 1):
            write_line(line)
