"""The plan of a store's shards: what was asked for, where each begins, and which are finished."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from data.cleaning import CleaningReport
from data.corpora import MAIN, CorpusFiles
from data.corpus import LineStart, survey
from data.inputs import display_name
from data.preparation.chunks import CorpusPart, lines_of_shard
from data.preparation.encoding import EncodedPart
from data.preparation.inputs import PreparationInputs, hashes_of_models, line_counts
from data.preparation.pipeline import PlannedStore
from data.preparation.request import PreparationRequest
from data.store_description import StrictModel
from data.token_store import TokenizedSplit, open_split
from seq2seq.errors import ConfigError, CorpusError
from seq2seq.system.figures import plural
from seq2seq.system.files import read_json, sha256_of, write_json

PLAN, RECORD = "plan.json", "shard.json"
VALID = "validation set"  # among the texts; no corpus can have this name


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` shards, numbered from 1."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """The shard of a text such as "3/8"; raises ConfigError for another one."""
        match = re.fullmatch(r"([0-9]{1,5})/([0-9]{1,5})", text.strip())
        shard = cls(int(match[1]), int(match[2])) if match else None
        if shard is None or not 1 <= shard.number <= shard.count:
            raise ConfigError(
                f"--shard is {text!r}", hint="give its number and how many there are, as in 3/8"
            )
        return shard

    @property
    def folder(self) -> str:
        return f"shard-{self.number}-of-{self.count}"

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


class _File(StrictModel):
    """Size and time of a text that was read, to find quickly whether it has changed."""

    size: int
    modified: int  # nanoseconds


class _Part(StrictModel):
    """Consecutive lines of a corpus in a shard."""

    corpus: str
    first: int
    lines: int
    starts: list[list[int]] = Field(min_length=2, max_length=2)  # `LineStart` of each side


class _Plan(StrictModel):
    format_version: Literal[1] = 1
    request: dict[str, Any]
    links: str | None
    head: dict[str, Any]  # of the store's meta.json, as `PlannedStore` has it
    inputs: dict[str, Any]
    files: dict[str, list[_File | None]]  # of each corpus and of the validation set: source, target
    shards: list[list[_Part]]
    piece_key: str
    sha256: dict[str, str]  # of the SentencePiece models


class PartCounts(StrictModel):
    """An encoded part of a corpus."""

    corpus: str
    pairs: int
    tokens: int
    read: int
    reasons: dict[str, int]
    examples: dict[str, list[int]]

    @classmethod
    def of(cls, part: EncodedPart) -> "PartCounts":
        report = part.report
        return cls(
            corpus=part.corpus,
            pairs=part.pairs,
            tokens=part.tokens,
            read=report.read,
            reasons=dict(report.reasons),
            examples=report.examples,
        )

    def encoded(self) -> EncodedPart:
        report = CleaningReport(self.read, Counter(self.reasons), self.examples)
        return EncodedPart(self.corpus, self.pairs, self.tokens, report)


class ShardRecord(StrictModel):
    """The counts of a shard that is finished."""

    plan: str  # the hash of its plan.json
    parts: list[PartCounts]
    sha256: dict[str, str]  # of its files, by their endings
    target_pieces: list[int]  # ids that occur in a target
    overlap: list[int]  # lines of the validation set, from 0, that are pairs of the shard

    @property
    def read(self) -> int:
        return sum(part.read for part in self.parts)

    @property
    def pairs(self) -> int:
        return sum(part.pairs for part in self.parts)

    @property
    def tokens(self) -> int:
        return sum(part.tokens for part in self.parts)


@dataclass(frozen=True)
class ShardPlan:
    """The shards of a store, planned in a folder beside it."""

    store: Path
    content: _Plan
    sha256: str

    @classmethod
    def open(cls, store: Path) -> "ShardPlan":
        """Raises ConfigError where none is there, CorpusError where it is damaged."""
        path = shards_folder(store) / PLAN
        if not path.is_file():
            raise ConfigError(
                f"no shards of {store} are planned: there is no {path}",
                hint="run the same command with --plan-shards N first, on one machine",
            )
        try:
            plan = cls(store, _Plan.model_validate(read_json(path)), sha256_of(path))
            _ = plan.planned.config, plan.planned.key, plan.lines
            return plan
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise CorpusError(
                f"{path} is damaged or of another version of seq2seq", hint=PLAN_AGAIN
            ) from error

    @property
    def folder(self) -> Path:
        return shards_folder(self.store)

    @property
    def count(self) -> int:
        return len(self.content.shards)

    @property
    def planned(self) -> PlannedStore:
        return PlannedStore(self.content.head, self.content.inputs)

    @property
    def lines(self) -> int:
        """Lines of all corpora."""
        return sum(line_counts(self.content.inputs).values())

    def path_of(self, shard: Shard) -> Path:
        return self.folder / shard.folder

    def refuse_other(self, request: PreparationRequest, *, links: bool) -> None:
        """Raises ConfigError where other settings or corpora are asked for than were planned.

        links: whether those of words are compared, too
        """
        planned, asked = self.content.request, _described(request)
        if links:
            planned = planned | {"links of words": self.content.links}
            asked["links of words"] = request.links.key if request.links else None
        for name in {**planned, **asked}:
            ours, theirs = asked.get(name), planned.get(name)
            if ours != theirs:
                values = f": {ours!r}, not {theirs!r}" if name.startswith("data.") else ""
                raise ConfigError(
                    f"the shards of {self.store} were planned with other {name}{values}",
                    hint="give the options of --plan-shards again, or plan anew with --plan-shards "
                    "N --overwrite",
                )

    def refuse_changed_texts(self, request: PreparationRequest, names: Iterable[str]) -> None:
        """Raises CorpusError where a text is no longer the one that was planned.

        A text of another size or time is read, and its hash compared.
        """
        files = texts_of(request)
        for name in names:
            hashes = _sides(self.content.inputs, name)
            for path, file, digest in zip(
                files[name], self.content.files[name], hashes, strict=True
            ):
                if _facts(path) != file and survey(path).sha256 != digest:
                    raise CorpusError(
                        f"{display_name(path)} is not the text that the shards of {self.store} "
                        "were planned for",
                        hint=PLAN_AGAIN,
                    )

    def parts(self, shard: Shard, request: PreparationRequest) -> list[CorpusPart]:
        """The lines of a shard, none of a corpus that it has no line of."""
        corpora = {corpus.name: corpus for corpus in request.corpora}
        lines, before = line_counts(self.content.inputs), dict[str, int]()
        for name in lines:
            before[name] = sum(lines[each] for each in before)
        return [
            CorpusPart(
                corpora[part.corpus],
                part.first,
                part.lines,
                before[part.corpus],
                (LineStart(*part.starts[0]), LineStart(*part.starts[1])),
            )
            for part in self.content.shards[shard.number - 1]
        ]

    def read(self, shard: Shard) -> ShardRecord:
        """The record of a shard, whose files have the hashes in it.

        Raises CorpusError where it is damaged or belongs to another plan.
        """
        path = self.path_of(shard)
        try:
            record = ShardRecord.model_validate(read_json(path / RECORD))
            whole = record.plan == self.sha256 and all(
                sha256_of(path / f"train.{ending}") == digest
                for ending, digest in record.sha256.items()
            )
        except (ValueError, OSError):
            whole = False
        if not whole:
            raise CorpusError(
                f"{path} is damaged, or was made by an earlier plan",
                hint=f"make it again: --shard {shard} --overwrite",
            )
        return record

    def split_of(self, shard: Shard, record: ShardRecord, dtype: np.dtype[Any]) -> TokenizedSplit:
        return open_split(self.path_of(shard), "train", record.pairs, record.tokens, dtype)

    def refuse_missing(self) -> None:
        """Raises ConfigError unless every shard is there."""
        shards = [Shard(number, self.count) for number in range(1, self.count + 1)]
        missing = [shard for shard in shards if not (self.path_of(shard) / RECORD).is_file()]
        if not missing:
            return
        begun = [
            str(shard.number)
            for shard in missing
            if self.path_of(shard).with_name(f"{shard.folder}.partial").exists()
        ]
        numbers = _listed([str(shard.number) for shard in missing])
        unfinished = f" (begun, but not finished: {_listed(begun)})" if begun else ""
        raise ConfigError(
            f"{len(missing)} of the {self.count} shards of {self.store} "
            f"{plural(len(missing), 'is', 'are')} missing: {numbers}{unfinished}",
            hint=f"run the same command with --shard {missing[0]} for each of them",
        )


PLAN_AGAIN = "plan the shards again: --plan-shards N --overwrite"


def shards_folder(store: Path) -> Path:
    """Where the shards of a store are, until they are merged."""
    return Path(f"{store}.shards")


def write_plan(
    folder: Path,
    request: PreparationRequest,
    inputs: PreparationInputs,
    planned: PlannedStore,
    count: int,
) -> None:
    """Write the plan of `count` shards beside the SentencePiece models in a folder."""
    plan = _Plan(
        request=_described(request),
        links=inputs.links_key,
        head=planned.head,
        inputs=planned.inputs,
        files={n: [_facts(path) for path in paths] for n, paths in texts_of(request).items()},
        shards=[_divide(inputs, number, count) for number in range(1, count + 1)],
        piece_key=planned.piece_key,
        sha256=hashes_of_models(sorted(folder.glob("*.model"))),
    )
    write_json(folder / PLAN, plan.model_dump())


def _divide(inputs: PreparationInputs, number: int, count: int) -> list[_Part]:
    """The parts of corpora in a shard, and where they begin in the texts."""
    return [
        _Part(
            corpus=name,
            first=lines.start,
            lines=len(lines),
            starts=[[*side.start_of(lines.start)] for side in inputs.texts[name]],
        )
        for name, lines in lines_of_shard(inputs.lines, number, count).items()
        if lines
    ]


def _described(request: PreparationRequest) -> dict[str, Any]:
    """All of a request that shards must agree in, as JSON values, by names for messages."""
    chosen = {*request.choose}
    settings = {
        f"data.{name}": "chosen by the corpus" if name in chosen else value
        for name, value in request.config.model_dump().items()
    }
    values = {
        "languages": request.languages,
        "corpora": [(each.name, each.weight, each.tag) for each in request.corpora],
        "pieces (--pieces-of)": hashes_of_models(request.pieces),
    }
    return json.loads(json.dumps(settings | values))  # type: ignore[no-any-return]


def texts_of(request: PreparationRequest) -> dict[str, CorpusFiles]:
    """Source and target of each corpus, and of the validation set."""
    return {corpus.name: corpus.files for corpus in request.corpora} | {VALID: request.valid}


def _facts(path: Path) -> _File | None:
    try:
        status = path.stat()
    except OSError:
        return None  # reading it says why
    return _File(size=status.st_size, modified=status.st_mtime_ns)


def _sides(inputs: dict[str, Any], name: str) -> list[str]:
    """The hashes of both sides of a corpus or of the validation set."""
    top = {MAIN: "train", VALID: "valid"}
    sides = inputs[top[name]] if name in top else inputs["corpora"][name]
    return [sides["source"]["sha256"], sides["target"]["sha256"]]


def _listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - 20
    return ", ".join(names[:20]) + (f" and {more:,} more" if more > 0 else "")
