"""`seq2seq doctor`: what this program runs on, as a block to paste into a report."""

from __future__ import annotations

import contextlib
import locale
import math
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from cli.console import stderr_console, write_json, write_line
from seq2seq.errors import ResourceError
from seq2seq.visible import visible

DISTRIBUTION = "seq2seq-trainer"
_PRODUCT = (192, 384, 384)  # a small batch against a small layer: 57 million operations
_PRODUCT_SECONDS = 0.1  # as long as each kind of product is timed, once at least
_WIDTH_SAMPLES = ("a", "中", "é", "e\u0301", "👍", "▁", "█")


class Fact(NamedTuple):
    """One line of the block; `value` is what a program reads, `text` what a person does."""

    key: str
    value: Any
    text: str
    problem: str = ""  # set where the program cannot do its work like this


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Fold the block for an issue on a forge.")
    ] = False,
) -> None:
    """Show versions, processor, terminal and disk, for a bug report.

    Exits with 6 when something essential is broken, such as a missing dependency.
    """
    sections = {
        "versions": _collect("versions", _versions),
        "extras": _collect("extras", _extras),
        "machine": _collect("machine", _machine),
        "torch": _collect("torch", _torch),
        "terminal": _collect("terminal", _terminal),
        "disk": _collect("disk", _disk),
    }
    problems = [fact.problem for facts in sections.values() for fact in facts if fact.problem]
    if as_json:
        values = {
            name: {fact.key.replace(" ", "_"): fact.value for fact in facts}
            for name, facts in sections.items()
        }
        write_json({"schema_version": 1, "ok": not problems, "problems": problems, **values})
    else:
        _show(sections, markdown=markdown)
    if problems:
        broken = any(fact.problem for name in ("versions", "torch") for fact in sections[name])
        raise ResourceError(
            "; ".join(problems),
            hint=f"install it again: `pip install --upgrade {DISTRIBUTION}`"
            if broken
            else "change to a directory that exists",
        )


def _show(sections: dict[str, list[Fact]], *, markdown: bool) -> None:
    width = max(len(fact.key) for facts in sections.values() for fact in facts) + 1
    if markdown:
        for line in ("<details><summary>seq2seq doctor</summary>", "", "```text"):
            write_line(line)  # one at a time: on a terminal a line shows its line ends as ↵
    for index, (name, facts) in enumerate(sections.items()):
        if index:
            write_line("")
        write_line(f"[{name}]")
        for fact in facts:
            write_line(f"{fact.key + ':':<{width}} {visible(fact.text)}".rstrip())
    if markdown:
        for line in ("```", "", "</details>"):
            write_line(line)


def _collect(name: str, facts: Callable[[], Iterator[Fact]]) -> list[Fact]:
    """The facts of a section; a machine too odd for one of them still gets the others."""
    found: list[Fact] = []
    try:
        for fact in facts():
            found.append(fact)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        problem = f"{name}: {reason}" if name in ("versions", "torch") else ""
        found.append(Fact("failed", reason, reason, problem))
    return found


def _versions() -> Iterator[Fact]:
    from importlib import metadata

    from packaging.requirements import Requirement

    python = platform.python_version()
    try:
        version = metadata.version(DISTRIBUTION)
        yield Fact(DISTRIBUTION, version, version)
    except metadata.PackageNotFoundError:
        text = "not installed, run from its source"
        yield Fact(DISTRIBUTION, None, text, f"{DISTRIBUTION} is {text}")
    yield Fact("python", python, f"{python} ({platform.python_implementation()})")
    yield Fact("platform", platform.platform(), platform.platform())
    for text in _requirements(DISTRIBUTION):
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _dependency(requirement.name, str(requirement.specifier))


def _requirements(distribution: str) -> list[str]:
    from importlib import metadata

    try:
        return metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return []


def _dependency(name: str, wanted: str) -> Fact:
    from importlib import metadata

    from packaging.specifiers import SpecifierSet

    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Fact(name, None, f"missing, {wanted} is needed", f"{name} is not installed")
    if SpecifierSet(wanted).contains(version, prereleases=True):
        return Fact(name, version, version)
    problem = f"{name} {version} is not {wanted}"
    return Fact(name, version, f"{version}, but {wanted} is needed", problem)


def _extras() -> Iterator[Fact]:
    from importlib import metadata

    for extra, purpose in (("ja", "BLEU on Japanese words"), ("ko", "BLEU on Korean words")):
        missing = []
        for name in _packages_of_extra(extra):
            try:
                metadata.version(name)
            except metadata.PackageNotFoundError:
                missing.append(name)
        needs = f"needs {' and '.join(missing)}: pip install '{DISTRIBUTION}[{extra}]'"
        yield Fact(extra, not missing, f"{purpose} {needs if missing else 'can be had'}")


def _packages_of_extra(extra: str) -> list[str]:
    """What sacreBLEU needs to tokenise a language, by its own metadata."""
    from packaging.requirements import Requirement

    found = []
    for text in _requirements("sacrebleu"):
        requirement = Requirement(text)
        marker = requirement.marker
        if marker and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
            found.append(requirement.name)
    return found


def _machine() -> Iterator[Fact]:
    model = _processor()
    yield Fact("processor", model, model)
    cores, usable = os.cpu_count(), _usable_cores()
    yield Fact("cores", usable, f"{usable} of {cores} usable" if usable != cores else str(cores))
    quota = _first_line("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit():
        share = int(quota[0]) / int(quota[1])
        yield Fact("core quota", share, f"{share:g} (control group)")
    yield from _memory()


def _processor() -> str:
    for line in _text_of("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    if sys.platform == "darwin":
        import subprocess

        with contextlib.suppress(OSError, subprocess.SubprocessError):
            return subprocess.run(
                ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"],
                capture_output=True,
                text=True,
                timeout=2,
                check=True,
            ).stdout.strip()
    return platform.processor() or platform.machine() or "unknown"


def _usable_cores() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _memory() -> Iterator[Fact]:
    meminfo = {}
    for line in _text_of("/proc/meminfo").splitlines():
        key, _, value = line.partition(":")
        if value.split()[:1] and value.split()[0].isdigit():
            meminfo[key] = int(value.split()[0]) * 1024  # bytes
    total, free = meminfo.get("MemTotal"), meminfo.get("MemAvailable")
    if total is None:
        with contextlib.suppress(ValueError, OSError):
            total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    yield Fact("memory", total, _size(total))
    if free is not None:
        yield Fact("memory available", free, _size(free))
    limit = _first_line("/sys/fs/cgroup/memory.max")
    if limit.isdigit():
        yield Fact("memory limit", int(limit), f"{_size(int(limit))} (control group)")


def _torch() -> Iterator[Fact]:
    if not _here_exists():  # MKL would end the program with its own message
        yield Fact("threads", None, "unknown: torch cannot start where the directory is gone")
        return
    import torch

    threads, chosen = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    yield Fact(
        "threads", threads, f"{threads} (OMP_NUM_THREADS={chosen})" if chosen else str(threads)
    )
    level = torch.backends.cpu.get_cpu_capability()
    yield Fact("instructions", level, level)
    yield from _products(torch)
    if not torch.cuda.is_available():
        built = torch.version.cuda
        why = f"none found (built for CUDA {built})" if built else "none (built without CUDA)"
        yield Fact("cuda", [], why)
        return
    devices = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices.append(
            f"{properties.name}, {_size(properties.total_memory)}, "
            f"compute capability {properties.major}.{properties.minor}"
        )
    yield Fact("cuda", devices, "; ".join(devices))
    ability = torch.cuda.is_bf16_supported(including_emulation=False)
    yield Fact("cuda bfloat16", ability, "yes" if ability else "no")


def _products(torch: Any) -> Iterator[Fact]:
    """Measured, because processors without bfloat16 instructions do it 100 times slower.

    On one thread: with several, a busy machine makes the figures a matter of luck.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        float32, bfloat16 = _gigaflops(torch, torch.float32), _gigaflops(torch, torch.bfloat16)
    finally:
        torch.set_num_threads(threads)
    for name, rate in (("float32", float32), ("bfloat16", bfloat16)):
        yield Fact(f"{name} gflops", round(rate, 2), f"{rate:.1f} (one thread)")
    faster, ratio = bfloat16 > float32, bfloat16 / float32
    text = f"{ratio:.1f} times the speed" if ratio >= 0.1 else f"1/{1 / ratio:.0f} of the speed"
    yield Fact("bfloat16 faster", faster, f"{'yes' if faster else 'no'}, {text} of float32")


def _here_exists() -> bool:
    try:
        return Path.cwd().is_dir()
    except OSError:
        return False


def _gigaflops(torch: Any, dtype: Any) -> float:
    """The best of several products, on the processor, in 10^9 operations a second."""
    rows, inner, columns = _PRODUCT
    left = torch.ones(rows, inner, dtype=dtype)
    right = torch.ones(inner, columns, dtype=dtype)
    best = math.inf  # seconds
    started = time.perf_counter()
    with torch.inference_mode():
        while time.perf_counter() - started < _PRODUCT_SECONDS or best == math.inf:
            before = time.perf_counter()
            torch.mm(left, right)
            best = min(best, time.perf_counter() - before)
    return 2 * rows * inner * columns / best / 1e9


def _terminal() -> Iterator[Fact]:
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        is_terminal = stream is not None and not stream.closed and stream.isatty()
        kind = "closed" if stream is None else "terminal" if is_terminal else "not a terminal"
        yield Fact(name, kind, kind)
    size = _terminal_size()
    yield Fact("size", size, f"{size[0]} columns, {size[1]} lines" if size else "unknown")
    console = stderr_console()
    colours = console.color_system if console.is_terminal and not console.no_color else None
    yield Fact("colours", colours, colours or "none")
    for variable in ("TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM_PROGRAM"):
        value = os.environ.get(variable)
        if value is not None:
            yield Fact(variable, value, value)
    named = [os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG")]
    language = next(filter(None, named), "no locale named")
    yield Fact("locale", language, language)
    encoding = locale.getencoding()
    yield Fact("encoding", encoding, f"{encoding} (the locale's; seq2seq reads and writes UTF-8)")
    from wcwidth import wcswidth

    widths = {sample: wcswidth(sample) for sample in _WIDTH_SAMPLES}
    yield Fact("cells", widths, "  ".join(f"{sample} {cells}" for sample, cells in widths.items()))


def _terminal_size() -> list[int] | None:
    for descriptor in (1, 2, 0):
        with contextlib.suppress(OSError, ValueError):
            return list(os.get_terminal_size(descriptor))
    return None


def _disk() -> Iterator[Fact]:
    from data.catalogue.packages import cache_directory

    places: dict[str, Callable[[], Path | str]] = {
        "here": Path.cwd,
        "cache": cache_directory,
        "temporary": tempfile.gettempdir,
    }
    for key, where in places.items():
        try:
            yield _place(key, Path(where()))
        except (OSError, RuntimeError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            problem = "the current directory is gone" if key == "here" else ""
            yield Fact(key, None, f"not usable: {reason}", problem)


def _place(key: str, path: Path) -> Fact:
    """Free space, and whether a file can really be written; what is missing is not made."""
    existing = path.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    trouble = _write_trouble(existing)
    state = f"cannot be written: {trouble}" if trouble else "writable"
    made = "" if existing == path.absolute() else ", not made yet"
    return Fact(
        key,
        {"path": str(path), "free_bytes": free, "writable": not trouble},
        f"{_shortened(path)}: {_size(free)} free, {state}{made}",
    )


def _write_trouble(directory: Path) -> str:
    """Why no file can be written there, or nothing."""
    try:
        with tempfile.TemporaryFile(dir=directory) as stream:
            stream.write(b"seq2seq" * 1024)
            stream.flush()
            os.fsync(stream.fileno())
            stream.seek(0)
            return "" if len(stream.read()) == 7 * 1024 else "what was written is not read back"
    except OSError as error:
        return error.strerror or str(error)


def _shortened(path: Path) -> str:
    """Without the name of the person, who may be about to publish it."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)


def _size(number: int | None) -> str:
    if number is None:
        return "unknown"
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"


def _first_line(path: str) -> str:
    return _text_of(path).partition("\n")[0].strip()


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
