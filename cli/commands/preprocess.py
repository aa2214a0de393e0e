"""The command `preprocess`: two text files become a token store."""

from pathlib import Path
from typing import Annotated, Any

import typer


def preprocess(
    source: Annotated[Path, typer.Argument(help="Training text, one sentence a line.")],
    target: Annotated[Path, typer.Argument(help="Its translation, line by line.")],
    store: Annotated[Path, typer.Argument(help="The token store to write, a new folder.")],
    valid_source: Annotated[Path, typer.Option(help="Validation text.")],
    valid_target: Annotated[Path, typer.Option(help="Its translation.")],
    source_language: Annotated[
        str | None, typer.Option(help="Source language code, as in 'de'.")
    ] = None,
    target_language: Annotated[
        str | None, typer.Option(help="Target language code; chooses BLEU's tokenizer.")
    ] = None,
    vocabulary_size: Annotated[int | None, typer.Option(help="Pieces a model.  [8000]")] = None,
    corpora: Annotated[
        Path | None,
        typer.Option(help="TOML file of further corpora, with their weights and tags."),
    ] = None,
    separate: Annotated[
        bool, typer.Option("--separate", help="A SentencePiece model for each language.")
    ] = False,
    pieces_of: Annotated[
        Path | None,
        typer.Option(help="A store or run whose pieces to use; for `train --start-from`."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="data.NAME=VALUE", help="Any setting.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processes that encode.  [all cores]")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a store made from other inputs.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Clean a corpus, learn its pieces, and write it as ids.

    Languages default to the files' endings. What is already done for the same files and settings is
    not done again. Gzip files work wherever text files do; "-" reads SOURCE from standard input.

    A file of --corpora has a table a corpus, as in [back], with source, target, and perhaps weight
    (how often an epoch takes each pair) and tag (a symbol in front of each source); [main] may have
    a weight and a tag.
    """
    from cli.runs.config import build_section, parse_settings
    from cli.terminal.console import note, write_json
    from data.config import DataConfig
    from data.corpora import CorpusFiles, Manifest, read_manifest
    from data.corpus import rereadable
    from data.preparation.pipeline import prepare

    values = only_section(parse_settings(set_ or []), "data")
    if vocabulary_size is not None:
        values["vocabulary_size"] = vocabulary_size
    if separate:
        values["joint"] = False
    pieces: list[Path] = []
    if pieces_of:
        pieces, of_pieces = _pieces_of(pieces_of)
        _refuse_other_pieces(values, of_pieces, pieces_of)
        values |= of_pieces
    config: DataConfig = build_section("data", values)
    manifest = read_manifest(corpora) if corpora else Manifest()
    with rereadable(source) as readable, _Bars() as bars:
        prepared = prepare(
            CorpusFiles(readable, target),
            CorpusFiles(valid_source, valid_target),
            store,
            config,
            source_language=source_language or _language_of(source),
            target_language=target_language or _language_of(target),
            manifest=manifest,
            pieces=pieces,
            processes=threads,
            overwrite=overwrite,
            progress=bars.show,
        )
    if json:
        write_json(report_of(prepared.store.meta) | {"stages_reused": prepared.stages_reused})
    else:
        show_report(prepared.store.meta)
    if "ids" in prepared.stages_reused:
        note(f"{store} was prepared already; nothing was done")
    elif prepared.stages_reused:
        note("the pieces were learnt already and have been used again")
    note(f"next: seq2seq train {store} RUN --recipe small")


_OF_PIECES = ("vocabulary_size", "joint", "piece_model", "character_coverage", "normalization")


def _pieces_of(path: Path) -> tuple[list[Path], dict[str, Any]]:
    """The SentencePiece models of a store or run, and the settings that made them."""
    from cli.runs.directory import CONFIG, RunDirectory
    from data.token_store import TokenStore

    if (path / CONFIG).is_file():
        run = RunDirectory.open(path)
        _ = run.tokenizer("source"), run.tokenizer("target")  # refuses those that are damaged
        config, models = run.config.data, path.glob("*.model")
    else:
        store = TokenStore.open(path)
        store.verify()
        config, models = store.config, path.glob("*.model")
    return sorted(models), {name: getattr(config, name) for name in _OF_PIECES}


def _refuse_other_pieces(values: dict[str, Any], taken: dict[str, Any], origin: Path) -> None:
    from seq2seq.errors import ConfigError

    for name, value in taken.items():
        if name in values and values[name] != value:
            raise ConfigError(
                f"data.{name} is to be {values[name]}, but the pieces of {origin} were learnt with "
                f"{value}",
                hint="leave it out, or learn new pieces without --pieces-of",
            )


def only_section(values: dict[str, dict[str, Any]], section: str) -> dict[str, Any]:
    """The settings of one section; raises ConfigError for one of another."""
    from seq2seq.errors import ConfigError

    for other in values:
        if other != section:
            raise ConfigError(
                f"{other}.* cannot be set here", hint=f"this command takes {section}.* settings"
            )
    return dict(values.get(section, {}))


def report_of(meta: dict[str, Any]) -> dict[str, Any]:
    """What a store holds, as plain values."""
    keys = ("source_language", "target_language", "source_vocabulary", "target_vocabulary")
    report = {"schema_version": 1, **{key: meta[key] for key in keys}, "splits": meta["splits"]}
    return report | ({"corpora": meta["corpora"]} if "corpora" in meta else {})


def show_report(meta: dict[str, Any]) -> None:
    """The store's counts, and what cleaning dropped and why."""
    from cli.terminal.console import stdout_console, table

    console = stdout_console()
    parts = _parts(meta)
    rows = [
        (name, f"{part['cleaning']['read']:,}", f"{part['pairs']:,}", f"{part['tokens']:,}")
        for name, part in parts.items()
    ]
    console.print(table("Token store", ("split", "pairs read", "pairs kept", "pieces"), rows))
    dropped = [
        (name, reason, f"{count:,}", ", ".join(map(str, part["cleaning"]["examples"][reason])))
        for name, part in parts.items()
        for reason, count in part["cleaning"]["reasons"].items()
    ]
    if dropped:
        console.print(table("Dropped", ("split", "why", "pairs", "for example, lines"), dropped))
    sizes = f"{meta['source_vocabulary']:,}"
    if not meta["config"]["joint"]:
        sizes += f" and {meta['target_vocabulary']:,}"
    kind = "joint" if meta["config"]["joint"] else "separate"
    console.print(f"{sizes} {kind} {meta['config']['piece_model']} pieces")


def _parts(meta: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The splits, and training's corpora each by itself where there are several."""
    parts = dict(meta["splits"])
    if "corpora" in meta:
        trained = {f"train: {_in_words(corpus)}": corpus for corpus in meta["corpora"]}
        parts = trained | {name: part for name, part in parts.items() if name != "train"}
    return parts


def _in_words(corpus: dict[str, Any]) -> str:
    """ "back, weight 0.5, tag back" """
    words = [str(corpus["name"])]
    words += [f"weight {corpus['weight']:g}"] if corpus["weight"] != 1 else []
    words += [f"tag {corpus['tag']}"] if corpus["tag"] else []
    return ", ".join(words)


def _language_of(path: Path) -> str | None:
    """ "de" for train.de and train.de.gz"""
    suffixes = [suffix[1:] for suffix in path.suffixes if suffix != ".gz"]
    return suffixes[-1] if suffixes and 2 <= len(suffixes[-1]) <= 3 else None


class _Bars:
    """A progress bar for each stage of the preparation."""

    def __init__(self) -> None:
        from cli.terminal.console import progress

        self._progress = progress()
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> "_Bars":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def show(self, stage: str, done: int, total: int) -> None:
        if stage not in self._tasks:
            text = "learning pieces" if stage == "pieces" else f"encoding {stage}"
            self._tasks[stage] = self._progress.add_task(text, total=total or None)
        self._progress.update(self._tasks[stage], completed=done, total=total or None)
