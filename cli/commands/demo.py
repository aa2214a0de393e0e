"""`seq2seq demo`: prepare, train, score and align on a small corpus, in a few minutes."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands import options

DirectoryArgument = Annotated[
    Path | None,
    typer.Argument(metavar="DIR", help="A new folder for all files.  [seq2seq-demo]"),
]
CorpusOption = Annotated[
    str, typer.Option(metavar="NAME", help="A name from `seq2seq corpus list`.")
]
MinutesOption = Annotated[
    float, typer.Option(min=0.01, metavar="N", help="Stop training after so many minutes.")
]


def demo(
    directory: DirectoryArgument = None,
    corpus: CorpusOption = "emoji",
    source_language: options.CorpusSourceLanguage = None,
    target_language: options.CorpusTargetLanguage = None,
    minutes: MinutesOption = 2,
    attention: options.Attention = options.AttentionChoice.LUONG,
    score: options.Score = options.ScoreChoice.GENERAL,
    seed: options.Seed = 1,
    threads: options.TrainingThreads = None,
) -> None:
    """Try everything on a small corpus, in a few minutes.

    Prepares a corpus, trains a model on it, scores its translations and draws its attention.

    The corpus is the names of emoji in 14 languages and needs no download. It has two test sets:
    "new combinations" combines nouns and modifiers that are in the training set, but never
    together; "new names" has nouns that are not in the training set at all.
    """
    from data import catalogue

    direction = catalogue.choose(
        corpus, source_language=source_language, target_language=target_language
    )
    folder = directory or _unused(Path("seq2seq-demo"))
    catalogue.refuse_occupied(folder)

    from cli.terminal import demo as steps

    plan = steps.Demo(
        folder,
        direction,
        settings={
            "model": {"attention": attention and attention.value, "score": score and score.value},
            "training": {"minutes": minutes, "seed": seed, "patience": 0},
        },
    )
    splits = steps.write_corpus(plan)
    steps.prepare(plan)
    job = steps.create_job(plan, threads=threads)
    test_sets = {name: pairs for name, pairs in splits.items() if name not in ("train", "valid")}
    watched = steps.choose_sentence(next(iter(test_sets.values())))
    with job.underway(threads=threads):
        steps.train(job, watched, threads)
    translator = steps.load(plan)
    translations = steps.translate_and_score(plan, translator, test_sets)
    steps.show_translations(translations)
    steps.show_attention(translator, watched)
    steps.suggest_next(plan, next(iter(test_sets)))


def _unused(wanted: Path) -> Path:
    """The folder itself, or with the first number that is free."""
    number, folder = 1, wanted
    while folder.exists():
        number += 1
        folder = wanted.with_name(f"{wanted.name}-{number}")
    return folder
