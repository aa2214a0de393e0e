"""`seq2seq tune-rescoring`: the weights with which a run of the other direction rescores."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands import options
from cli.terminal.console import note, write_json, write_line
from data.corpus import read_aligned

ReverseArgument = Annotated[
    Path, typer.Argument(metavar="REVERSE", help="A run that translates in the other direction.")
]
ReferenceArgument = Annotated[
    Path,
    typer.Argument(
        metavar="REFERENCE",
        help="Reference translations of SOURCE, line by line: not the test set.",
    ),
]


def tune_rescoring(
    run: options.Run,
    reverse: ReverseArgument,
    source: options.SourceText,
    reference: ReferenceArgument,
    beam: options.Beam = None,
    json: options.JsonOutput = False,
    checkpoint: options.Checkpoint = "best",
    set_: options.SearchSettings = None,
    threads: options.Threads = None,
    device: options.Device = "auto",
) -> None:
    """Find the weights for `translate --rescore-with`.

    The candidates of a beam are translated back by REVERSE, and the weights of a grid are chosen
    whose best candidates have the highest chrF. Use a validation set, and a beam as wide as later.
    """
    from cli.runs import config, translator
    from cli.terminal.translations import candidates_with_progress
    from seq2seq.evaluation.rescoring import tuned_weights

    sources, references = read_aligned([source, reference])
    model = translator.Translator.load(
        run,
        rescore_with=reverse,
        checkpoint=checkpoint,
        search=config.search_settings(set_, run=run, beam=beam, note=note),
        threads=threads,
        device=device,
        notify=note,
    )
    candidates = candidates_with_progress(model, sources)
    found = tuned_weights(candidates, references)
    settings = {"reverse_weight": found.reverse_weight, "length_reward": found.length_reward}
    if json:
        write_json(
            {
                "schema_version": 1,
                **settings,
                "chrf": found.chrf,
                "chrf_before": found.chrf_before,
                "beam": model.search.beam,
                "run": str(run),
                "reverse": str(reverse),
            }
        )
        return
    write_line(" ".join(f"--set search.{name}={value:g}" for name, value in settings.items()))
    note(f"chrF {found.chrf:.2f}, without rescoring {found.chrf_before:.2f}")
