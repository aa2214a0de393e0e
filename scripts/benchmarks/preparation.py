"""From a token store to the trainings that were requested."""

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
def working_folder(folder: Path | None) -> Iterator[Path]:
    """The given folder, or a temporary one."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.absolute()
        return
    with TemporaryDirectory(prefix="seq2seq-benchmark-") as temporary:
        yield Path(temporary)


def prepare_store(path: Path, pairs: int | None, folder: Path) -> TokenStore:
    """The store, or one of its first pairs; also writes its text as pieces for the peers."""
    store = TokenStore.open(path)
    if not store.joint:
        raise CorpusError(
            f"{path} has separate pieces", hint="preprocess without --separate: peers share theirs"
        )
    if pairs:
        store = corpus.first_pairs(store, pairs, folder / "store")
    corpus.write_pieces(store, folder / "corpus")
    return store


def job_for(store: TokenStore, folder: Path, **settings: Any) -> Job:
    """A job without a system: what all trainings have in common."""
    return Job(
        system="",
        store=store.path.absolute(),
        corpus=folder / "corpus",
        folder=folder,
        pairs=len(store.split("train")),
        sizes=Sizes(vocabulary=store.meta["target_vocabulary"]),
        **settings,
    )


def job_of_system(job: Job, system: str, *, precision: str | None = None) -> Job:
    """The job of one system, in a folder of its own; of one precision if that is given."""
    name = f"{system}-documented" if job.documented else system
    own = replace(job, system=system, folder=job.folder / name)
    if precision is None:
        return own
    return replace(own, folder=own.folder / precision, precision=precision)


def peer_jobs(
    job: Job, requested: Sequence[str] | None, environments: Path
) -> dict[str, tuple[Job, Path]]:
    """The peers' trainings by name, each with its Python; installs peers that are missing."""
    jobs = {}
    for name in chosen_peers(requested, job):
        python = peers.environment(peers.BY_MODULE[name], environments)
        precisions = _precisions(name, job.device)
        for precision in precisions:
            own = job_of_system(job, name, precision=precision if len(precisions) > 1 else None)
            jobs[name if len(precisions) == 1 else f"{name} in {precision}"] = own, python
    return jobs


def our_jobs(job: Job, precisions: Sequence[str]) -> dict[str, tuple[Job, Path]]:
    """Our trainings by name, one for each precision."""
    python = Path(sys.executable)
    return {
        f"ours in {precision}": (job_of_system(job, "ours", precision=precision), python)
        for precision in precisions
    }


def chosen_peers(requested: Sequence[str] | None, job: Job) -> list[str]:
    """The peers that can train as the job asks: order of attention, device, whose settings.

    Raises ConfigError if one of those requested cannot.
    """
    able = [peer.module for peer in peers.PEERS if _can_train(peer.module, job)]
    for name in requested or []:
        if name not in able:
            how = "as documented" if job.documented else f"with {job.order}"
            raise ConfigError(
                f"{peers.BY_MODULE[name].distribution} is not compared {how} on {job.device}",
                hint=f"these are: {', '.join(able)}",
            )
    return list(requested) if requested else able


def _can_train(module: str, job: Job) -> bool:
    peer = import_module(f"benchmarks.{module}")
    fits = peer.DOCUMENTED if job.documented else job.order in peer.ORDERS
    return fits and bool(_precisions(module, job.device))


def _precisions(module: str, device: str) -> tuple[str, ...]:
    """The precisions that a peer is measured in; none if not on that device."""
    return tuple(import_module(f"benchmarks.{module}").PRECISIONS.get(device, ()))
