"""A line that says which model a translator has: what it is, languages, scores, precision."""

from pathlib import Path

from cli.runs.directory import RunDirectory
from cli.runs.history import AverageLine, ValidationLine, parse_history
from cli.runs.translator import Translator
from seq2seq.checkpoints.checkpoint import VerifiedCheckpoint
from seq2seq.config import ModelConfig
from seq2seq.training.events import ValidationScores


def introduction(translator: Translator) -> str:
    """Such as "run: lstm, luong, de-en, update 800: BLEU 31.2, chrF 55.0; float32"."""
    assert translator.origin is not None and translator.checkpoint is not None, "a loaded one"
    run = RunDirectory.open(Path(translator.origin.path))
    source, target = (language or "?" for language in run.languages)
    others = len(translator.origin.with_)
    model = _model(run.config.model) + (f" and {others} more" if others else "")
    return (
        f"{translator.name}: {model}, {source}-{target}, "
        f"{_progress(run, translator.checkpoint)}; {translator.precision}"
    )


def _progress(run: RunDirectory, checkpoint: VerifiedCheckpoint) -> str:
    """How long a checkpoint was trained and its scores on the validation set, where it has any."""
    updates = checkpoint.averaged or (checkpoint.state.update,)
    name = "average of updates" if checkpoint.averaged else "update"
    text = f"{name} {', '.join(f'{each:,}' for each in updates)}"
    scores = _scores(run, checkpoint)
    if scores is None:
        return text
    if scores.bleu is None or scores.chrf is None:
        return f"{text}: perplexity {scores.perplexity:.2f}"
    return f"{text}: BLEU {scores.bleu:.1f}, chrF {scores.chrf:.1f}"


def _model(model: ModelConfig) -> str:
    return f"{model.cell}, " + ("no attention" if model.attention == "none" else model.attention)


def _scores(run: RunDirectory, checkpoint: VerifiedCheckpoint) -> ValidationScores | None:
    """The scores of the validation at a checkpoint; a line that is being written is passed over."""
    found = None
    if run.metrics.is_file():
        with run.metrics.open(encoding="utf-8", errors="replace", newline="\n") as stream:
            for line in stream:
                if line.startswith('{"event": "update"'):  # nearly all lines
                    continue
                try:
                    parsed = parse_history(line)
                except ValueError:
                    continue
                match parsed:
                    case AverageLine() if tuple(parsed.updates) == tuple(checkpoint.averaged):
                        found = parsed.scores
                    case ValidationLine() if (
                        not checkpoint.averaged and parsed.update == checkpoint.state.update
                    ):
                        found = parsed.scores
    return found
