"""The command `demo`: the whole main job on a corpus that is at hand, in a few minutes."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.commands.train import AttentionOrder, ScoreName, leave

if TYPE_CHECKING:
    from cli.runs.directory import RunDirectory
    from cli.runs.translator import Translation
    from cli.terminal.live import Probe
    from data.catalogue import Direction
    from data.corpus import SentencePair
    from data.token_store import TokenStore

SMALL_CORPUS = 10_000  # pairs; with fewer, recipe `tiny` suits the few minutes, and few pieces
SHOWN = 5  # translations shown of each held-out set


def demo(
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="A new folder.  [seq2seq-demo]")
    ] = None,
    corpus: Annotated[str, typer.Option(help="A name of `seq2seq corpus list`.")] = "emoji",
    source_language: Annotated[
        str | None, typer.Option("--source-language", metavar="L", help="Translate from this.")
    ] = None,
    target_language: Annotated[
        str | None, typer.Option("--target-language", metavar="L", help="Translate into this.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="Training time at most.")] = 2,
    attention: Annotated[
        AttentionOrder, typer.Option(help="When the decoder looks at the source.")
    ] = AttentionOrder.LUONG,
    score: Annotated[
        ScoreName, typer.Option(help="How a query is compared with a key.")
    ] = ScoreName.GENERAL,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order and dropout.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads torch uses.")] = None,
) -> None:
    """Do the whole main job on an embedded corpus, in minutes.

    The corpus is the names of emoji in 14 languages. Its held-out sets are honest: "new
    combinations" has bases and modifiers that training saw, but never together; "new names" has
    bases that training never saw.
    """
    from cli.runs.config import read_recipe, resolve
    from cli.runs.directory import RunDirectory
    from cli.runs.interruption import Interrupted, Terminated
    from data import catalogue

    direction = catalogue.choose(
        corpus, source_language=source_language, target_language=target_language
    )
    folder = directory or _free_folder(Path("seq2seq-demo"))
    catalogue.refuse_occupied(folder)
    settings: dict[str, dict[str, Any]] = {
        "model": {"attention": attention.value, "score": score.value},
        "training": {"minutes": minutes, "seed": seed, "patience": 0},
    }
    resolve(settings)  # a bad choice is refused before anything is written
    paths = DemoPaths(folder, direction.source_language, direction.target_language)
    splits = _get_corpus(direction, paths)
    store = _preprocess(paths, len(splits["train"]))
    recipe = "tiny" if len(splits["train"]) < SMALL_CORPUS else "small"
    layers = (read_recipe(recipe), settings, {"data": store.meta["config"]})
    run = RunDirectory.create(paths.run, resolve(*layers), store)
    held_out = {name: pairs for name, pairs in splits.items() if name not in ("train", "valid")}
    probe = choose_probe(next(iter(held_out.values())))
    try:
        _train(run, store, probe, recipe=recipe, threads=threads)
    except (Interrupted, KeyboardInterrupt, Terminated) as error:
        leave(error, paths.run, paths.store)
    _report(paths, held_out, probe)


@dataclass(frozen=True)
class DemoPaths:
    """What the demo leaves behind, all in one folder."""

    folder: Path
    source_language: str
    target_language: str

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    def text(self, split: str) -> tuple[Path, Path]:
        return (
            self.corpus / f"{split}.{self.source_language}",
            self.corpus / f"{split}.{self.target_language}",
        )


def _free_folder(wanted: Path) -> Path:
    """The folder itself, or with the first free number: no earlier demo is touched."""
    number, folder = 1, wanted
    while folder.exists():
        number += 1
        folder = wanted.with_name(f"{wanted.name}-{number}")
    return folder


def _get_corpus(direction: "Direction", paths: DemoPaths) -> dict[str, list["SentencePair"]]:
    from cli.terminal.console import note
    from data import catalogue

    contents = catalogue.fetch(direction, tell=note)
    paths.folder.mkdir(parents=True, exist_ok=True)
    catalogue.write(direction, contents, paths.corpus)
    counts = ", ".join(
        f"{_title(split)} {len(pairs):,}" for split, pairs in contents.splits.items()
    )
    _heading(
        f"1  Corpus: {direction.entry.name}, {paths.source_language} to {paths.target_language}"
    )
    note(f"pairs: {counts}; written to {paths.corpus}")
    return contents.splits


def _preprocess(paths: DemoPaths, pairs: int) -> "TokenStore":
    from cli.terminal.console import note
    from data.config import DataConfig
    from data.corpora import CorpusFiles
    from data.preparation.pipeline import prepare

    config = DataConfig(vocabulary_size=1000 if pairs < SMALL_CORPUS else 8000)
    if paths.target_language in ("ja", "zh", "ko") and pairs < SMALL_CORPUS:
        config = DataConfig(vocabulary_size=2000)  # each character wants a piece of its own
    prepared = prepare(
        CorpusFiles(*paths.text("train")),
        CorpusFiles(*paths.text("valid")),
        paths.store,
        config,
        source_language=paths.source_language,
        target_language=paths.target_language,
    )
    meta = prepared.store.meta
    _heading("2  Pieces: SentencePiece, cleaned and encoded")
    note(
        f"{meta['source_vocabulary']:,} joint pieces, used {meta['splits']['train']['tokens']:,} "
        f"times in the training set; written to {paths.store}"
    )
    return prepared.store


def _train(
    run: "RunDirectory",
    store: "TokenStore",
    probe: "SentencePair",
    *,
    recipe: str,
    threads: int | None,
) -> None:
    from cli.runs.device import choose_device
    from cli.runs.training import train_run
    from cli.terminal.console import note
    from cli.terminal.live import training_reporter

    model = run.config.model
    device = choose_device("auto", threads)
    _heading(f"3  Training: recipe {recipe}, attention {model.attention}, score {model.score}")
    note(f"a held-out sentence to watch: {probe.source}")
    watched = _watch(run, probe, device) if model.attention != "none" else None
    reporter = training_reporter(run, watched)
    train_run(run, store, device=device, reporter=reporter)


def _watch(run: "RunDirectory", probe: "SentencePair", device: str) -> "Probe":
    """Translate the probe greedily, with the model as it is in the middle of training."""
    from cli.runs.config import build_section
    from cli.runs.translator import Translator
    from seq2seq.evaluation.alignment import Alignment, merge_pieces
    from seq2seq.model import EncoderDecoder

    search = build_section("search", {"beam": 1})
    pieces = run.tokenizer("source"), run.tokenizer("target")

    def look(model: EncoderDecoder) -> Alignment:
        (translation,) = Translator(model, *pieces, search, device=device).translate([probe.source])
        alignment = translation.candidates[0].alignment
        assert alignment is not None
        return merge_pieces(alignment)

    return look


def choose_probe(pairs: list["SentencePair"]) -> "SentencePair":
    """A sentence long enough to watch and short enough for a screen, of many different words."""
    fitting = [pair for pair in pairs if 5 <= len(pair.source.split()) <= 8]
    return max(fitting or pairs, key=lambda pair: len(set(pair.source.split())))


def _report(
    paths: DemoPaths, held_out: dict[str, list["SentencePair"]], probe: "SentencePair"
) -> None:
    from cli.commands.evaluate import translate_all
    from cli.commands.score import show_quality, warn_of_doubts
    from cli.runs.translator import Translator
    from cli.terminal.console import note, write_line
    from seq2seq.evaluation.quality import score_corpus

    translator = Translator.load(paths.run)
    _heading("4  Scores on what training never saw")
    examples: dict[str, list[tuple[SentencePair, str]]] = {}
    for name, pairs in held_out.items():
        texts, _ = translate_all(translator, [pair.source for pair in pairs])
        report = score_corpus(
            texts,
            [[pair.target for pair in pairs]],
            target_language=paths.target_language,
            confidence=True,
        )
        write_line(_title(name))
        show_quality(report)
        write_line("")
        warn_of_doubts(report)
        examples[name] = list(zip(pairs, texts, strict=True))
    _heading("5  Translations beside their references")
    for name, rows in examples.items():
        write_line(_title(name))
        step = max(1, len(rows) // SHOWN)
        for pair, text in rows[::step][:SHOWN]:
            write_line(f"  source       {pair.source}")
            write_line(f"  translation  {text}")
            write_line(f"  reference    {pair.target}" + ("  (same)" * (text == pair.target)))
            write_line("")
    _heading("6  Where each word of a translation looked at the source")
    (translation,) = translator.translate([probe.source])
    _draw(translation, probe)
    _heading("Try next")
    run, (source, _) = shlex.quote(str(paths.run)), paths.text(next(iter(held_out)))
    note(f"seq2seq translate {run} --interactive")
    note(f"seq2seq align {run} {shlex.quote(str(source))} | head -60")
    note(
        f"seq2seq train {shlex.quote(str(paths.store))} {shlex.quote(str(paths.folder))}/bahdanau "
        "--recipe tiny --attention bahdanau --score additive --minutes 2"
    )


def _draw(translation: "Translation", probe: "SentencePair") -> None:
    from cli.terminal.console import stdout_console, write_line
    from cli.terminal.drawing import draw
    from seq2seq.evaluation.alignment import merge_pieces
    from seq2seq.rendering.text import draw_alignment

    console = stdout_console()
    write_line(f"source       {probe.source}")
    write_line(f"translation  {translation.text}")
    write_line(f"reference    {probe.target}")
    write_line("")
    alignment = translation.candidates[0].alignment
    if alignment is not None:
        draw(draw_alignment(merge_pieces(alignment), width=console.width, caution=True), console)
        write_line("")


def _title(split: str) -> str:
    return split.replace("-", " ")


def _heading(text: str) -> None:
    """A step of the demo, on stderr: stdout has the results alone."""
    from rich.text import Text

    from cli.terminal.console import stderr_console

    stderr_console().print(Text(f"\n{text}", style="bold"))
