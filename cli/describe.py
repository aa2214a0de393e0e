"""The command `describe`: what a store, run or checkpoint holds, or what a preset is."""

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seq2seq.errors import UserError

if TYPE_CHECKING:
    from cli.preset import Preset
    from cli.run_directory import RunDirectory

WIDTH = 100  # columns that a preset's prose is wrapped to; its equations are never wider


def describe(
    path: Annotated[
        Path, typer.Argument(help="A token store, run directory or checkpoint, or a preset's name.")
    ],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    samples: Annotated[
        bool, typer.Option("--samples", help="How a run's samples were translated over time.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Prove every file to be what was written.")
    ] = False,
) -> None:
    """Say what a store, run or checkpoint holds, and verify it; or what a preset is.

    With --verify, exit code 4 where anything of it is damaged.
    """
    from cli.console import write_json, write_line
    from cli.preset import preset_names, read_preset

    if verify:
        _verify(path, as_json=json)
        return
    if samples:
        course = _samples(path)
        if json:
            write_json({"schema_version": 1, "kind": "samples", "samples": course})
            return
        for line in _sample_course(course):
            write_line(line)
        return
    if str(path) in preset_names() and not path.exists():
        preset = read_preset(str(path))
        if json:
            write_json({"schema_version": 1, **_preset_facts(preset)})
            return
        for line in _preset_lines(preset):
            write_line(line)
        return
    facts = _facts(path)
    if json:
        write_json({"schema_version": 1, **facts})
        return
    for line in _lines(facts):
        write_line(line)


def _verify(path: Path, *, as_json: bool) -> None:
    """Say of each part of a store, run or checkpoint whether it is whole."""
    from cli.console import write_json, write_line
    from seq2seq.errors import CheckpointError, CorpusError

    parts: list[dict[str, str | None]] = []
    for part, check in _checks(path):
        problem: str | None = None
        try:
            found = check()
            problem = found if isinstance(found, str) else None
        except (CheckpointError, CorpusError, OSError) as error:
            problem = error.message if isinstance(error, UserError) else str(error)
        parts.append({"part": part, "problem": problem})
        if not as_json:
            write_line(f"damaged  {part}: {problem}" if problem else f"whole    {part}")
    damaged = [each for each in parts if each["problem"]]
    if as_json:
        write_json({"schema_version": 1, "kind": "verification", "parts": parts})
    if damaged:
        raise CheckpointError(
            f"{len(damaged)} of {len(parts)} parts of {path} are damaged",
            hint="what is whole can still be used; restore the rest from a copy",
        )


Check = Callable[[], object]
"""Says in a string how something is damaged, or raises it."""


def _checks(path: Path) -> Iterator[tuple[str, Check]]:
    """The parts of what is at a path, each with what says or raises how it is damaged."""
    from cli.run_directory import RunDirectory
    from data.token_store import META, TokenStore
    from data.tokenization import probe
    from seq2seq.checkpoint import MANIFEST, verify

    def checkpoint(folder: Path) -> Check:
        return lambda: verify(folder)

    def parsed(model: Path) -> Check:
        return lambda: probe(model)

    if (path / META).is_file():
        store = TokenStore.open(path)
        yield "every file of the store, by its SHA-256", store.verify
        for model in sorted(path.glob("*.model")):
            yield f"{model.name}, parsed in a process of its own", parsed(model)
        return
    if not (path / "config.toml").is_file():
        if not (path / MANIFEST).is_file():
            _facts(path)  # says what it should be
        yield path.name, checkpoint(path)
        return
    run = RunDirectory.open(path)
    yield "config.toml and provenance.json", lambda: (run.config, run.provenance)
    for name, digest in sorted(run.provenance["pieces_sha256"].items()):
        yield f"{name}, by its SHA-256", _hashed(path / name, digest)
        if (path / name).is_file():
            yield f"{name}, parsed in a process of its own", parsed(path / name)
    for name in ("best", "last"):
        if (run.checkpoints / name).exists():
            yield f"checkpoints/{name}", _named(run, name)
    for folder in sorted((*run.checkpoints.glob("update-*"), *run.checkpoints.glob("averaged"))):
        yield f"checkpoints/{folder.name}", checkpoint(folder)
    yield "metrics.jsonl", run.read_metrics
    yield "samples.jsonl", run.read_samples


def _hashed(path: Path, digest: str) -> Check:
    from seq2seq.files import sha256_of

    return lambda: (
        None if path.is_file() and sha256_of(path) == digest else f"{path} is missing or damaged"
    )


def _named(run: "RunDirectory", name: str) -> Check:
    from seq2seq.checkpoint_folder import pointed

    return lambda: None if pointed(run.checkpoints, name) else "it names no checkpoint"


def _facts(path: Path) -> dict[str, Any]:
    from cli.preset import preset_names
    from data.token_store import META
    from seq2seq.checkpoint import MANIFEST
    from seq2seq.errors import CheckpointError

    if (path / META).is_file():
        return _store_facts(path)
    if (path / "config.toml").is_file():
        return _run_facts(path)
    if (path / MANIFEST).is_file():
        return {"kind": "checkpoint", **_checkpoint_facts(path)}
    raise CheckpointError(
        f"{path} is neither a token store, nor a run directory, nor a checkpoint",
        hint="stores are made by `seq2seq preprocess`, runs by `seq2seq train`; presets are "
        + ", ".join(preset_names()),
    )


def _samples(path: Path) -> list[dict[str, Any]]:
    """What samples.jsonl of a run holds, in order."""
    from cli.run_directory import RunDirectory
    from seq2seq.errors import CheckpointError

    run = RunDirectory.open(path)
    found = run.read_samples()
    if not found:
        raise CheckpointError(
            f"{path} has no samples yet", hint="they are written at each validation of a training"
        )
    return found


def _sample_course(samples: list[dict[str, Any]]) -> list[str]:
    """Each sentence with its translation at every validation."""
    lines: list[str] = []
    width = max(len(f"{each['update']:,}") for each in samples) + len("update ")
    for number in dict.fromkeys(each["line"] for each in samples):
        course = [each for each in samples if each["line"] == number]
        lines += [f"line {number:,} of the validation set"]
        lines += [f"  {'source':{width}}  {course[0]['source']}"]
        for each in course:
            when = f"update {each['update']:>{width - 7},}"
            lines += [f"  {when}  {each['translation']}"]
        lines += [f"  {'reference':{width}}  {course[0]['reference']}", ""]
    return lines[:-1]


def _preset_facts(preset: "Preset") -> dict[str, Any]:
    return {
        "kind": "preset",
        "name": preset.name,
        "title": preset.title,
        "paper": preset.paper,
        "equations": preset.equations,
        "model": preset.model,
        "published": preset.published,
        "same": preset.same,
        "deviations": preset.deviations,
        "command_line": preset.command(),
    }


def _preset_lines(preset: "Preset") -> list[str]:
    from cli.preset import setting_lines

    return [
        preset.title,
        *textwrap.wrap(preset.paper, WIDTH),
        "",
        "equations:",
        *(f"  {line}" for line in preset.equations.splitlines()),
        "",
        "structure, at about a quarter of the published widths:",
        *(f"  {line}" for line in setting_lines(preset.model)),
        "",
        "published sizes, with --paper-sizes:",
        *(f"  {line}" for line in setting_lines(preset.published)),
        "",
        "as published:",
        *_items(preset.same),
        "",
        "not as published:",
        *_items(preset.deviations),
        "",
        "train it:",
        f"  {preset.command()}",
        f"  {preset.command('--paper-sizes')}",
    ]


def _items(texts: list[str]) -> list[str]:
    return [
        line
        for text in texts
        for line in textwrap.wrap(text, WIDTH, initial_indent="  - ", subsequent_indent="    ")
    ]


def _store_facts(path: Path) -> dict[str, Any]:
    from data.token_store import TokenStore

    store = TokenStore.open(path)
    splits = {
        name: {
            "pairs": split["pairs"],
            "pieces": split["tokens"],
            "read": split["cleaning"]["read"],
            "dropped": split["cleaning"]["reasons"],
        }
        for name, split in store.meta["splits"].items()
    }
    return {
        "kind": "token store",
        "path": str(path),
        "source_language": store.languages[0],
        "target_language": store.languages[1],
        "source_vocabulary": store.meta["source_vocabulary"],
        "target_vocabulary": store.meta["target_vocabulary"],
        "splits": splits,
        "corpora": {
            corpus.name: {"pairs": len(corpus.pairs), "weight": corpus.weight, "tag": corpus.tag}
            for corpus in store.corpora()
        },
        "inputs": store.meta["inputs"],
        "sha256": store.sha256,
        "config": {"data": store.config.model_dump()},
    }


def _run_facts(path: Path) -> dict[str, Any]:
    from cli.run_directory import RunDirectory
    from seq2seq.checkpoint_folder import pointed
    from seq2seq.model import count_parameters

    run = RunDirectory.open(path)
    checkpoints = {
        name: _checkpoint_facts(found)
        for name in ("best", "last")
        if (found := pointed(run.checkpoints, name))
    }
    return {
        "kind": "run",
        "path": str(path),
        "source_language": run.languages[0],
        "target_language": run.languages[1],
        "parameters": count_parameters(run.build_model()),
        "checkpoints": checkpoints,
        "samples": len({each["line"] for each in run.read_samples()}),
        "created": run.provenance["created"],
        "command_line": run.provenance["command_line"],
        "versions": run.provenance["versions"],
        "store": run.provenance["store"],
        "started_from": run.provenance.get("started_from") or {},
        "tags": list(run.tokenizer("source").tags),
        "inputs": run.provenance["inputs"],
        "config": run.config.model_dump(),
    }


def _checkpoint_facts(path: Path) -> dict[str, Any]:
    from cli.recorder import figures
    from seq2seq.checkpoint import MODEL, verify

    verified = verify(path)
    state = verified.state
    size = sum(file.stat().st_size for file in path.iterdir())
    return {
        "path": str(path),
        "update": state.update,
        "epoch": state.position.epoch,
        "seconds": round(state.seconds, 1),
        "best_update": state.best_update,
        "best_nats_per_token": state.best_nats,
        "measured": figures(state.measured) if state.measured else {},
        "model_sha256": verified.hashes[MODEL],
        "megabytes": round(size / 1e6, 1),
        "verified": True,
    }


def _lines(facts: dict[str, Any], indent: int = 0) -> list[str]:
    """Nested facts as indented `name: value` lines."""
    lines = []
    for name, value in facts.items():
        label = " " * indent + name.replace("_", " ")
        if isinstance(value, dict):
            lines += [f"{label}:", *_lines(value, indent + 2)] if value else [f"{label}: none"]
        elif isinstance(value, list | tuple):
            lines.append(f"{label}: {' '.join(map(str, value))}")
        elif isinstance(value, int) and not isinstance(value, bool):
            lines.append(f"{label}: {value:,}" if name != "seed" else f"{label}: {value}")
        else:
            lines.append(f"{label}: {'not set' if value is None else value}")
    return lines
