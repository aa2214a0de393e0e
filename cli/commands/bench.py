"""`seq2seq bench`: how fast a run translates on this machine."""

from typing import Annotated, Any

import typer

from cli.commands import options
from cli.terminal.console import note, write_json
from seq2seq.system.figures import counted

SentencesOption = Annotated[
    int, typer.Option(min=1, metavar="N", help="Sentences translated together.")
]
RepeatsOption = Annotated[
    int, typer.Option(min=1, metavar="N", help="How often each setting is measured, in turn.")
]


def bench(
    run: options.Run,
    sentences: SentencesOption = 100,
    repeats: RepeatsOption = 3,
    json: options.JsonOutput = False,
    checkpoint: options.Checkpoint = "best",
    threads: options.Threads = None,
    device: options.Device = "auto",
) -> None:
    """Measure how fast a run translates on this machine.

    Validation sentences are translated by greedy search and with a beam of 5, in every precision
    that the device has, with and without a shortlist: sentences and target tokens a second, all
    together, as the median, least and most of the repetitions; the time that one sentence takes
    alone (half of them take at most p50, 95 % at most p95); and the most memory that was held.
    """
    import torch

    from cli.runs import bench as measuring
    from cli.runs.device import choose_device
    from cli.runs.directory import RunDirectory
    from cli.runs.translator import Translator
    from cli.terminal.bench import measure_with_progress, print_bench
    from seq2seq.checkpoints.checkpoint import MODEL

    opened = RunDirectory.open(run)
    chosen = choose_device(device, threads)

    def load(search: dict[str, Any]) -> Translator:
        return Translator.load(
            run, checkpoint=checkpoint, search=search, device=chosen, threads=threads
        )

    verified = opened.verified(checkpoint)
    texts = measuring.bench_sentences(opened, sentences)
    settings = measuring.bench_settings(opened, chosen, note)
    results = measure_with_progress(load, settings, texts, repeats=repeats)
    used = torch.get_num_threads()
    if json:
        write_json(
            {
                "schema_version": 1,
                "run": str(run),
                "checkpoint": verified.path.name,
                "model_sha256": verified.hashes[MODEL],
                "device": chosen,
                "threads": used,
                "sentences": len(texts),
                "repeats": repeats,
                "results": [each.as_json() for each in results],
            }
        )
        return
    title = f"{counted(len(texts), 'sentence')}, {chosen}, {counted(used, 'thread')}"
    print_bench(title, results)
