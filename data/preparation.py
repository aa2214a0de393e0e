"""From two text files to a token store: clean, learn pieces, encode; streamed, on all cores.

Memory does not grow with the corpus: pieces are learnt from a bounded sample, and encoding passes
chunks of lines to worker processes and their ids to disk, in order. Work happens in `STORE.partial`
and is renamed at the end; what an interrupted run has finished there is not done again.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import get_context, parent_process, resource_tracker
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from data.cleaning import CleaningReport, Rule, cleaning_rules, reason_to_drop
from data.config import DataConfig
from data.corpora import MAIN, Corpus, CorpusFiles, Manifest
from data.corpus import SentencePair, TextSurvey, read_raw_lines, survey_pair
from data.token_store import (
    FORMAT_VERSION,
    META,
    PLAIN_VERSION,
    Side,
    TokenStore,
    model_name,
    writing_split,
)
from data.tokenization import Tokenizer, train_tokenizer
from seq2seq.errors import ConfigError, CorpusError, ResourceError
from seq2seq.files import read_json, sha256_of, sync, write_json
from seq2seq.locks import held

CHUNK = 2000  # pairs handed to a worker at once
SMALL = 20_000  # pairs below which worker processes cost more than they bring
PIECES = "pieces.json"  # in a working folder: pieces are learnt, with this key and these hashes

ALONE = Manifest()  # the main corpus, and nothing to be said of it
Progress = Callable[[str, int, int], None]
"""Called with the stage, the pairs done and the pairs in all."""


@dataclass(frozen=True)
class Prepared:
    store: TokenStore
    stages_reused: tuple[str, ...]  # "pieces", or "pieces" and "ids" when all was there


def prepare(
    train: CorpusFiles,
    valid: CorpusFiles,
    store: Path,
    config: DataConfig,
    *,
    source_language: str | None = None,
    target_language: str | None = None,
    manifest: Manifest = ALONE,
    pieces: Sequence[Path] = (),
    processes: int | None = None,
    overwrite: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> Prepared:
    """Write the token store of a corpus, or find it written already.

    Pairs of further corpora, which the manifest names, follow those of `train`. `pieces` are the
    SentencePiece models of another store or run, used in place of new ones; `config` must say of
    pieces what that one's says. Raises CorpusError for unusable text, ConfigError when `store`
    holds something else or the given pieces lack a tag.
    """
    corpora = manifest.with_main(train)
    surveys = {corpus.name: survey_pair(*corpus.files) for corpus in corpora}
    held_out = survey_pair(*valid)
    lines = {name: source.lines for name, (source, _) in surveys.items()}
    inputs: dict[str, Any] = {"train": _described(surveys[MAIN]), "valid": _described(held_out)}
    if manifest.further:
        inputs["corpora"] = {c.name: _described(surveys[c.name]) for c in manifest.further}
    languages = {"source_language": source_language, "target_language": target_language}
    tags = sorted({corpus.tag for corpus in corpora if corpus.tag})
    texts = [each for name, each in inputs.items() if name != "valid"]
    given = {model.name: sha256_of(model) for model in pieces}
    made_from = [given] if given else [*texts, *([tags] if tags else [])]
    piece_key = _key(*made_from, config.model_dump(include=_PIECE_SETTINGS))
    told = [] if manifest == ALONE else [[(c.name, c.weight, c.tag) for c in corpora]]
    store_key = _key(inputs, config.model_dump(), languages, *told, *([given] if given else []))
    if store.exists() and not overwrite:
        return _already_prepared(store, store_key)
    _refuse_foreign(store)
    with _WorkingFolder(store) as folder:
        reused = _pieces_found(folder, store, piece_key)
        if not reused:
            progress("pieces", 0, 0)
            for left in folder.iterdir():  # by an interrupted run with other settings
                left.unlink()
            if pieces:
                _take_pieces(folder, pieces, config, tags)
            else:
                _train_pieces(folder, corpora, sum(lines.values()), config, tags)
            _note_pieces(folder, piece_key)
        meta: dict[str, Any] = {
            "format_version": PLAIN_VERSION if manifest == ALONE else FORMAT_VERSION,
            "key": store_key,
            "piece_key": piece_key,
            **languages,
            "config": config.model_dump(),
            "inputs": inputs,
        }
        encoding = _Encoding(folder, config, processes or os.cpu_count() or 1, progress)
        meta |= encoding.describe_pieces()
        main = Corpus(MAIN, valid, tag=manifest.tag)
        trained = encoding.encode("train", corpora, lines, clean=True)
        validated = encoding.encode("valid", [main], {MAIN: held_out[0].lines}, clean=False)
        meta["splits"] = {"train": trained.facts, "valid": validated.facts}
        if manifest != ALONE:
            meta["corpora"] = trained.corpora
        _keep_text(folder, valid)
        _finish(folder, store, meta)
    return Prepared(TokenStore.open(store), ("pieces",) if reused else ())


_PIECE_SETTINGS = {
    "vocabulary_size", "joint", "piece_model", "character_coverage", "normalization",
    "sample_pairs", "seed", "max_words", "max_characters", "max_ratio",
}  # fmt: skip


def _already_prepared(store: Path, key: str) -> Prepared:
    _refuse_foreign(store)
    found = TokenStore.open(store)
    if found.meta.get("key") != key:
        raise ConfigError(
            f"{store} was prepared from other files or with other settings",
            hint="choose another path, or --overwrite it",
        )
    found.verify()
    return Prepared(found, ("pieces", "ids"))


def _refuse_foreign(store: Path) -> None:
    """What is not a token store, or holds more than one, is never replaced."""
    if not store.exists():
        return
    if not (store / META).is_file():
        raise ConfigError(
            f"{store} exists already and is not a token store", hint="choose another path"
        )
    ours = ("meta.json", "pieces.model", "source.model", "target.model")
    for path in store.iterdir():
        if path.name not in ours and not path.name.startswith(("train.", "valid.")):
            raise ConfigError(
                f"{store} holds {path.name}, which is no part of a token store",
                hint="move it away, or choose another path for the store",
            )


class _WorkingFolder:
    """`STORE.partial`, held by one process; what is in it outlives an interruption."""

    def __init__(self, store: Path) -> None:
        self.path = store.with_name(f"{store.name}.partial")
        lock = store.with_name(f".{store.name}.lock")
        self._held = held(lock, f"{store} is being prepared", remove=True)

    def __enter__(self) -> Path:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._held.__enter__()
            try:
                self.path.mkdir(exist_ok=True)
            except OSError:
                self._held.__exit__(None, None, None)
                raise
        except OSError as error:
            raise ResourceError(
                f"{self.path.parent} cannot be written to: {error.strerror}",
                hint="choose a store path in a folder of yours",
            ) from error
        return self.path

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if self.path.is_dir() and not (self.path / PIECES).exists():
                shutil.rmtree(self.path)  # nothing in it is worth keeping
        finally:
            self._held.__exit__(None, None, None)


def _pieces_found(folder: Path, store: Path, key: str) -> bool:
    """Whether pieces for this key are in the folder, or can be taken from the store replaced."""
    if _unharmed_pieces(folder / PIECES, key):
        return True
    models = _unharmed_pieces(store / META, key)
    for model in models:
        shutil.copy(model, folder / model.name)
    if models:
        _note_pieces(folder, key)
    return bool(models)


def _note_pieces(folder: Path, key: str) -> None:
    for model in folder.glob("*.model"):
        sync(model)
    hashes = {model.name: sha256_of(model) for model in folder.glob("*.model")}
    write_json(folder / PIECES, {"piece_key": key, "sha256": hashes})


def _unharmed_pieces(description: Path, key: str) -> list[Path]:
    """The models beside a description, if it is of this key and tells their hashes."""
    try:
        facts = read_json(description)
        models = {description.with_name(n): h for n, h in facts["sha256"].items()}
        models = {path: digest for path, digest in models.items() if path.suffix == ".model"}
        if facts["piece_key"] == key and all(sha256_of(p) == h for p, h in models.items()):
            return list(models)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # missing, or not what we write
    return []


def _train_pieces(
    folder: Path, corpora: Sequence[Corpus], lines: int, config: DataConfig, tags: list[str]
) -> None:
    rules = cleaning_rules(config)
    pairs = list(_sampled([corpus.files for corpus in corpora], lines, config, rules))
    if not pairs:
        source, target = corpora[0].files
        raise CorpusError(
            f"no pair of {source} and {target} survives cleaning",
            hint="`seq2seq check` tells why",
        )
    sources, targets = zip(*pairs, strict=True)
    learnt: dict[str, tuple[tuple[str, ...], list[str]]]  # model -> its sentences and tags
    if config.joint:
        learnt = {"pieces.model": ((*sources, *targets), tags)}
    else:
        learnt = {"source.model": (sources, tags), "target.model": (targets, [])}
    for name, (sentences, symbols) in learnt.items():
        (folder / name).write_bytes(train_tokenizer(sentences, config, tags=symbols).model)


def _take_pieces(folder: Path, pieces: Sequence[Path], config: DataConfig, tags: list[str]) -> None:
    for model in pieces:
        shutil.copy(model, folder / model.name)
    known = Tokenizer.load(folder / model_name("source", joint=config.joint)).tags
    if missing := [tag for tag in tags if tag not in known]:
        raise ConfigError(
            f"the pieces of {pieces[0].parent} have no tag {', '.join(missing)}",
            hint=f"they have {', '.join(known)}"
            if known
            else "tags come into pieces when these are learnt: learn them from all corpora",
        )


def _sampled(
    corpora: Sequence[CorpusFiles], lines: int, config: DataConfig, rules: tuple[Rule, ...]
) -> Iterator[SentencePair]:
    """A seeded draw from the lines of all corpora, cleaned; all of them when there are few."""
    wanted = None
    if lines > config.sample_pairs:
        draw = random.Random(f"pieces:{config.seed}").sample(range(lines), config.sample_pairs)
        wanted = np.zeros(lines, dtype=bool)
        wanted[draw] = True
    for number, (source, target) in enumerate(chain.from_iterable(map(_raw_pairs, corpora))):
        if wanted is None or wanted[number]:
            pair = SentencePair(source.decode("utf-8"), target.decode("utf-8"))
            if not reason_to_drop(pair, rules):
                yield pair


def _raw_pairs(files: CorpusFiles) -> Iterator[tuple[bytes, bytes]]:
    return zip(read_raw_lines(files.source), read_raw_lines(files.target), strict=True)


class _Chunk(NamedTuple):
    """Consecutive lines of both sides, each as one blob: cheap to hand to another process."""

    first_line: int  # from 1
    sources: bytes
    targets: bytes
    tag: str | None  # in front of each source


class _EncodedChunk(NamedTuple):
    ids: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int32]  # [2n]
    lines: npt.NDArray[np.int64]  # [n]
    report: CleaningReport


class _Encoder:
    """What a worker needs to turn a chunk into ids."""

    def __init__(self, source_model: bytes, target_model: bytes, config: DataConfig) -> None:
        self._source = Tokenizer(source_model)
        self._target = self._source if config.joint else Tokenizer(target_model)
        self._rules = cleaning_rules(config)
        self._max_pieces = config.max_pieces

    def encode(self, chunk: _Chunk, *, clean: bool) -> _EncodedChunk:
        report = CleaningReport()
        kept: list[tuple[int, SentencePair]] = []
        for line, pair in _pairs_of(chunk):
            report.read += 1
            reason = reason_to_drop(pair, self._rules if clean else self._rules[:1])
            if reason:
                report.drop(reason, line=line)
            else:
                kept.append((line, pair))
        sources = self._source.encode_all([pair.source for _, pair in kept])
        targets = self._target.encode_all([pair.target for _, pair in kept])
        front = np.array([self._source.tags[chunk.tag]] if chunk.tag else [], np.int32)
        ids: list[npt.NDArray[np.int32]] = []
        lines = []
        for (line, _), source, target in zip(kept, sources, targets, strict=True):
            if clean and max(len(source), len(target)) > self._max_pieces:
                report.drop(f"over {self._max_pieces} pieces", line=line)
            elif not len(source) or not len(target):
                report.drop("nothing left after normalisation", line=line)
            else:
                ids += (np.concatenate([front, source]), target)
                lines.append(line)
        lengths = np.fromiter(map(len, ids), dtype=np.int32, count=len(ids))
        joined = np.concatenate(ids) if ids else np.empty(0, np.int32)
        return _EncodedChunk(joined, lengths, np.array(lines, dtype=np.int64), report)


def _pairs_of(chunk: _Chunk) -> Iterator[tuple[int, SentencePair]]:
    sources, targets = chunk.sources.decode().split("\n"), chunk.targets.decode().split("\n")
    for offset, (source, target) in enumerate(zip(sources, targets, strict=True)):
        yield chunk.first_line + offset, SentencePair(source, target)


def _chunks(corpus: Corpus) -> Iterator[_Chunk]:
    raw = _raw_pairs(corpus.files)
    first = 1
    while lines := list(islice(raw, CHUNK)):
        sources, targets = zip(*lines, strict=True)
        yield _Chunk(first, b"\n".join(sources), b"\n".join(targets), corpus.tag)
        first += len(lines)


_worker_encoder: _Encoder  # of a worker process


_ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def _start_worker(source_model: bytes, target_model: bytes, config: DataConfig) -> None:
    global _worker_encoder
    for number in (
        signal.SIGINT,
        signal.SIGHUP,
    ):  # a terminal sends them to all; the parent decides
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)  # SIGTERM still ends it
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _worker_encoder = _Encoder(source_model, target_model, config)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits while workers are made: a half-made one would die of it with a traceback.

    They inherit the mask, so it never reaches them.
    """
    resource_tracker.ensure_running()  # it lifts the mask when it is started
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def _leave_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _encode_in_worker(chunk: _Chunk, clean: bool) -> _EncodedChunk:
    return _worker_encoder.encode(chunk, clean=clean)


class _EncodedSplit(NamedTuple):
    facts: dict[str, Any]  # counts, hashes and cleaning report
    corpora: list[dict[str, Any]]  # of each corpus: name, weight, tag, counts, cleaning report


class _Encoding:
    """Turns the splits into ids with the pieces in `folder`."""

    def __init__(
        self, folder: Path, config: DataConfig, processes: int, progress: Progress
    ) -> None:
        self._folder, self._config, self._progress = folder, config, progress
        self._processes = processes
        sides: tuple[Side, Side] = ("source", "target")
        self._models = [
            (folder / model_name(side, joint=config.joint)).read_bytes() for side in sides
        ]
        self._sizes = [len(Tokenizer(model)) for model in self._models]

    def describe_pieces(self) -> dict[str, Any]:
        return {
            "source_vocabulary": self._sizes[0],
            "target_vocabulary": self._sizes[1],
            "dtype": "uint16" if max(self._sizes) <= 1 << 16 else "uint32",
        }

    def encode(
        self, split: str, corpora: Sequence[Corpus], lines: Mapping[str, int], *, clean: bool
    ) -> _EncodedSplit:
        """Write a split, one corpus of so many lines after the other."""
        whole, facts, before = CleaningReport(), list[dict[str, Any]](), 0
        dtype = np.dtype(self.describe_pieces()["dtype"])
        with writing_split(self._folder, split, dtype=dtype) as writer:
            for corpus in corpora:
                report, pairs, tokens = CleaningReport(), writer.pairs, writer.tokens
                # Closed here and now: workers that outlive a signal fail with tracebacks.
                with closing(self._encoded(_chunks(corpus), lines[corpus.name], clean)) as chunks:
                    for chunk in chunks:
                        writer.append(chunk.ids, chunk.lengths, chunk.lines + before)
                        report.add(chunk.report)
                        self._progress(split, whole.read + report.read, sum(lines.values()))
                if writer.pairs == pairs:
                    raise _unusable(corpus.files, report)
                facts.append(
                    {
                        "name": corpus.name,
                        "weight": corpus.weight,
                        "tag": corpus.tag,
                        "lines": lines[corpus.name],
                        "pairs": writer.pairs - pairs,
                        "tokens": writer.tokens - tokens,
                        "cleaning": report.as_json(),
                    }
                )
                whole.add(report.moved(before))
                before += lines[corpus.name]
        counts = {"pairs": writer.pairs, "tokens": writer.tokens, "sha256": writer.hashes}
        return _EncodedSplit(counts | {"cleaning": whole.as_json()}, facts)

    def _encoded(
        self, chunks: Iterable[_Chunk], lines: int, clean: bool
    ) -> Generator[_EncodedChunk, None, None]:
        if lines < SMALL or self._processes == 1:
            encoder = _Encoder(self._models[0], self._models[1], self._config)
            yield from (encoder.encode(chunk, clean=clean) for chunk in chunks)
            return
        with ProcessPoolExecutor(
            self._processes,
            mp_context=get_context("spawn"),
            initializer=_start_worker,
            initargs=(self._models[0], self._models[1], self._config),
        ) as pool:
            try:
                window: deque[Future[_EncodedChunk]] = deque()
                for chunk in chunks:
                    with _interrupts_held():  # a worker may be started for it
                        window.append(pool.submit(_encode_in_worker, chunk, clean))
                    if len(window) > 2 * self._processes:
                        yield window.popleft().result()
                while window:
                    yield window.popleft().result()
            except BrokenProcessPool as error:
                raise ResourceError(
                    "a process that encodes was killed; systems do so when memory runs out",
                    hint="run it again with fewer of them, as in --threads 1",
                ) from error
            except BaseException:
                # Waited for: a worker that is being made finds nothing where its parent has left.
                pool.shutdown(cancel_futures=True)
                raise


def _unusable(files: CorpusFiles, report: CleaningReport) -> CorpusError:
    return CorpusError(
        f"no pair of {files.source} and {files.target} is usable: "
        + ", ".join(f"{count:,} {reason}" for reason, count in report.reasons.items()),
        hint="`seq2seq check` shows example lines",
    )


def _keep_text(folder: Path, valid: CorpusFiles) -> None:
    for side, path in zip(("source", "target"), valid, strict=True):
        with (folder / f"valid.{side}.txt").open("wb") as stream:
            stream.writelines(line + b"\n" for line in read_raw_lines(path))


def _finish(folder: Path, store: Path, meta: dict[str, Any]) -> None:
    """Seal the working folder and put it in the store's place."""
    (folder / PIECES).unlink()
    files = sorted(path for path in folder.iterdir() if path.suffix in (".model", ".txt"))
    meta["sha256"] = {path.name: sha256_of(path) for path in files}
    write_json(folder / META, meta)
    for path in folder.iterdir():
        sync(path)
    if store.exists():
        replaced = store.with_name(f"{store.name}.replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        store.rename(replaced)
        folder.rename(store)
        shutil.rmtree(replaced)
    else:
        folder.rename(store)
    sync(store.parent)


def _described(sides: tuple[TextSurvey, TextSurvey]) -> dict[str, Any]:
    return {
        side: {"path": str(survey.path), "lines": survey.lines, "sha256": survey.sha256}
        for side, survey in zip(("source", "target"), sides, strict=True)
    }


def _key(*parts: Any) -> str:
    """A hash that changes with any input's text or any setting, and not with a path."""
    text = json.dumps(_without_paths(parts), sort_keys=True)
    return hashlib.sha256(f"{PLAIN_VERSION}:{text}".encode()).hexdigest()


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_paths(v) for k, v in value.items() if k != "path"}
    return [_without_paths(v) for v in value] if isinstance(value, list | tuple) else value
