"""The sections of `seq2seq doctor`, in the order in which they are printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cli.commands.doctor.disk import disk
from cli.commands.doctor.fact import Fact
from cli.commands.doctor.machine import machine
from cli.commands.doctor.terminal import terminal
from cli.commands.doctor.torch_build import torch_build
from cli.commands.doctor.versions import extras, versions

REPORT_SECTIONS: dict[str, Callable[[], Iterator[Fact]]] = {
    "versions": versions,
    "extras": extras,
    "machine": machine,
    "torch": torch_build,
    "terminal": terminal,
    "disk": disk,
}
