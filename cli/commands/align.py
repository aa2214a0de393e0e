"""`seq2seq align`: attention weights as drawings, pages, Pharaoh links or JSON."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.commands import options
from cli.terminal.console import note


class Format(StrEnum):
    """How alignments are written."""

    TABLE = "table"
    PHARAOH = "pharaoh"
    JSON = "json"
    HTML = "html"
    SVG = "svg"
    PNG = "png"
    NPZ = "npz"


TargetArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="TARGET",
        help="Translations to align with SOURCE, line by line.  [translations by the model]",
    ),
]
FormatOption = Annotated[
    Format,
    typer.Option(
        "--format",
        help="A drawing for the terminal, Pharaoh links (source-target word numbers), one JSON "
        "object per line, a page that needs no network (html), a picture (svg, png), or a NumPy "
        "archive (npz).",
    ),
]
MeasuresAsJson = Annotated[
    bool, typer.Option("--json", help="With --gold or --statistics: print one JSON object.")
]
PiecesOption = Annotated[
    bool,
    typer.Option(
        "--pieces",
        help="Show subword pieces instead of words.",
        rich_help_panel=options.DRAWING,
    ),
]
ValuesOption = Annotated[
    bool,
    typer.Option(
        "--values",
        help="Short for --style values.",
        rich_help_panel=options.DRAWING,
    ),
]
HeadOption = Annotated[
    str,
    typer.Option(
        metavar="N",
        help="Which attention heads: the one that guided alignment taught, or else the mean of all "
        "(guided); the mean (mean); each by itself (all); or one, counted from 1.",
        rich_help_panel=options.DRAWING,
    ),
]
LayerOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Draw self-attention instead: decoder, or encoder-1 and so on.  [attention to the "
        "source]",
        rich_help_panel=options.DRAWING,
    ),
]
CompareOption = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="RUN",
        help="Draw the attention of another run beside it; may be repeated.",
        rich_help_panel=options.DRAWING,
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Write the page, picture or archive to this file."
    ),
]
HistoryOption = Annotated[
    bool,
    typer.Option(
        "--history",
        help="Draw the attention of every checkpoint that the run has, the oldest first, to TARGET "
        "or to the translation by --checkpoint.",
        rich_help_panel=options.DRAWING,
    ),
]


def align(
    run: options.Run,
    source: options.SourceText,
    target: TargetArgument = None,
    format_: FormatOption = Format.TABLE,
    pieces: PiecesOption = False,
    values: ValuesOption = False,
    style: options.Style = options.StyleChoice.AUTO,
    theme: options.Theme = options.ThemeChoice.AUTO,
    width: options.Width = None,
    head: HeadOption = "guided",
    layer: LayerOption = None,
    compare: CompareOption = None,
    history: HistoryOption = False,
    shift: options.Shift = options.ShiftChoice.GUIDED,
    weights: options.Weights = options.WeightsChoice.AUTO,
    threshold: options.Threshold = None,
    with_reverse: options.WithReverse = None,
    symmetrize: options.SymmetrizationOption = options.SymmetrizationChoice.INTERSECTION,
    reference: options.Reference = None,
    reference_base: options.ReferenceBase = None,
    statistics: options.Statistics = False,
    json: MeasuresAsJson = False,
    output: OutputOption = None,
    overwrite: options.Overwrite = False,
    beam: options.Beam = None,
    tag: options.Tag = None,
    checkpoint: options.Checkpoint = "best",
    set_: options.SearchSettings = None,
    threads: options.Threads = None,
    device: options.Device = "auto",
) -> None:
    """Show the attention between source and translation.

    For each word of a translation: how strongly the model attended to each source word when it
    wrote that word. Without TARGET the model translates SOURCE; with it, the given translations
    are aligned. Weights of subword pieces are merged into weights of words; ⏎ stands for the end
    of the sentence. Pharaoh format links each target word to the source word with the largest
    weight, and has one line for each input line. With --gold, the links are measured instead of
    shown, and with --statistics the attention; with --gold and --with-reverse, words are what
    stands between spaces. For a model without attention, gradient saliency is drawn.
    """
    from cli.runs import config, translator, views
    from cli.terminal import alignments, attention_statistics, pictures, word_links

    selection = views.Selection(views.parse_head(head), layer, pieces=pieces, weights=weights.value)
    asked = word_links.LinkRequest(
        shift=shift.steps,
        threshold=threshold,
        selection=selection,
        with_reverse=with_reverse,
        symmetrization=symmetrize.value,
        reference=reference,
        reference_base=reference_base,
        statistics=statistics,
        as_json=json,
    )
    asked.refuse_contradictions(format_.value, target)
    shown = pictures.PictureRequest(
        run,
        selection,
        pictures.Layout("values" if values else style.value, theme.value, width),
        compare=compare or (),
        history=history,
        shift=asked.fixed_shift,
        form=format_.value,
        output=output,
        overwrite=overwrite,
    )
    links = asked.is_measured or with_reverse is not None
    links = links or format_ in (Format.PHARAOH, Format.JSON, Format.NPZ)
    search = config.search_settings(set_, run=run, beam=beam, note=note)

    def origin(path: Path, checkpoint: str) -> translator.Origin:
        return translator.Origin(
            path, checkpoint=checkpoint, search=search, tag=tag, device=device, threads=threads
        )

    def load(path: Path, checkpoint: str) -> translator.Translator:
        return origin(path, checkpoint).load(note)

    shown.refuse_contradictions(
        links=links,
        archive=format_ is Format.NPZ,
        inputs=[source, target],
        runs=[origin(path, "best") for path in (run, *(compare or ()))],
    )
    model = load(run, checkpoint)
    if not links:
        shown.draw(model, source, target, load)
        return
    chosen = selection.for_run(model.run_config)
    model.require_attention(chosen.search_head)
    if asked.reference is not None or asked.with_reverse is not None:
        word_links.link_words(asked, model, run, source, target)
        return
    rows = asked.fixed_shift(model, note)
    if statistics:
        attention_statistics.report_statistics(
            model,
            source,
            target,
            head=chosen.search_head,
            shift=rows,
            pieces=pieces,
            as_json={"run": str(run), **model.provenance} if json else None,
        )
        return
    found = alignments.aligned_translations(model, source, target, head=chosen.search_head)
    posterior = selection.by_posterior(model, links=format_ is Format.PHARAOH)
    shifted = (model.with_weights(each, shift=rows, posterior=posterior) for each in found)
    if format_ is Format.NPZ:
        assert output is not None
        alignments.write_alignment_archive(shifted, output, pieces=pieces)
    else:
        as_json = format_ is Format.JSON
        alignments.write_alignments(shifted, as_json=as_json, pieces=pieces, threshold=threshold)
