"""From a token store to the trainings that are asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import corpus, peers
from benchmarks.job import Job, Sizes
from data.token_store import TokenStore
from seq2seq.errors import ConfigError, CorpusError


@contextmanager
def workplace(folder: Path | None) -> Iterator[Path]:
    """The given folder, or one that is gone afterwards."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.absolute()
        return
    with TemporaryDirectory(prefix="seq2seq-benchmark-") as place:
        yield Path(place)


def prepared_store(path: Path, pairs: int | None, place: Path) -> TokenStore:
    """The store, cut to its first pairs, with its text as pieces beside it for the peers."""
    store = TokenStore.open(path)
    if not store.joint:
        raise CorpusError(
            f"{path} has separate pieces", hint="preprocess without --separate: peers share theirs"
        )
    if pairs:
        store = corpus.first_pairs(store, pairs, place / "store")
    corpus.write_pieces(store, place / "corpus")
    return store


def job_for(store: TokenStore, place: Path, **settings: Any) -> Job:
    """What all trainings have in common."""
    return Job(
        system="",
        store=store.path.absolute(),
        corpus=place / "corpus",
        folder=place,
        pairs=len(store.split("train")),
        sizes=Sizes(vocabulary=store.meta["target_vocabulary"]),
        **settings,
    )


def of_system(job: Job, system: str, *, precision: str | None = None) -> Job:
    """In a folder of its own, and with a precision one for each."""
    told = replace(job, system=system, folder=job.folder / system)
    if precision is None:
        return told
    return replace(told, folder=told.folder / precision, precision=precision)


def peer_jobs(
    job: Job, asked: Sequence[str] | None, environments: Path
) -> dict[str, tuple[Job, Path]]:
    """The peers' trainings, each with the Python that runs it; installs what is not there yet."""
    jobs = {}
    for name in chosen_peers(asked, job.order, job.device):
        python = peers.environment(peers.BY_MODULE[name], environments)
        precisions = _precisions(name, job.device)
        for precision in precisions:
            told = of_system(job, name, precision=precision if len(precisions) > 1 else None)
            jobs[name if len(precisions) == 1 else f"{name} in {precision}"] = told, python
    return jobs


def our_jobs(job: Job, precisions: Sequence[str]) -> dict[str, tuple[Job, Path]]:
    """Our trainings by name, one for each precision."""
    return {
        f"ours in {precision}": (of_system(job, "ours", precision=precision), Path(sys.executable))
        for precision in precisions
    }


def chosen_peers(asked: Sequence[str] | None, order: str, device: str = "cpu") -> list[str]:
    """The peers that can train in this order on this device; those asked for by name must."""
    able = [
        peer.module
        for peer in peers.PEERS
        if order in import_module(f"benchmarks.{peer.module}").ORDERS
        and _precisions(peer.module, device)
    ]
    for name in asked or []:
        if name not in able:
            raise ConfigError(
                f"{peers.BY_MODULE[name].distribution} is not compared with {order} on {device}",
                hint=f"these are: {', '.join(able)}",
            )
    return list(asked) if asked else able


def _precisions(module: str, device: str) -> tuple[str, ...]:
    """In which a peer is measured; none where it is not measured on that device."""
    return tuple(import_module(f"benchmarks.{module}").PRECISIONS.get(device, ()))
