"""Installed versions of this program and its dependencies, and the versions that it needs."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING

from cli.commands.doctor.fact import DISTRIBUTION, Fact

if TYPE_CHECKING:
    from packaging.requirements import Requirement


def versions() -> Iterator[Fact]:
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
        requirement = _parsed(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield dependency(requirement.name, str(requirement.specifier))


def _parsed(requirement: str) -> Requirement:
    from packaging.requirements import Requirement

    return Requirement(requirement)


def _requirements(distribution: str) -> list[str]:
    try:
        return metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return []


def dependency(name: str, wanted: str) -> Fact:
    """The installed version of a package; `wanted` is a range of versions such as ">=2,<3"."""
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Fact(name, None, f"missing, {wanted} is needed", f"{name} is not installed")
    if _parsed(f"{name}{wanted}").specifier.contains(version, prereleases=True):
        return Fact(name, version, version)
    problem = f"{name} {version} is not {wanted}"
    return Fact(name, version, f"{version}, but {wanted} is needed", problem)


def extras() -> Iterator[Fact]:
    for distribution, extra, purpose in (
        ("sacrebleu", "ja", "BLEU on Japanese words"),
        ("sacrebleu", "ko", "BLEU on Korean words"),
        (DISTRIBUTION, "tune", "a search for settings"),
        (DISTRIBUTION, "report", "pictures of reports and of attention"),
        (DISTRIBUTION, "tensorboard", "training.track=tensorboard"),
    ):
        missing = []
        for name in _packages_of_extra(distribution, extra):
            try:
                metadata.version(name)
            except metadata.PackageNotFoundError:
                missing.append(name)
        needs = f"needs {' and '.join(missing)}: pip install '{DISTRIBUTION}[{extra}]'"
        yield Fact(extra, not missing, f"{purpose} {needs if missing else 'is available'}")


def _packages_of_extra(distribution: str, extra: str) -> list[str]:
    """The packages that an extra of a distribution needs, from its metadata."""
    found = []
    for text in _requirements(distribution):
        requirement = _parsed(text)
        marker = requirement.marker
        if marker and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
            found.append(requirement.name)
    return found
