"""The steps of `seq2seq demo`: headings and progress go to stderr, results to stdout."""

from dataclasses import dataclass
from pathlib import Path

from cli.runs.config import Values, build_section, resolve
from cli.runs.preparation import preparation_request
from cli.runs.shared_cores import threads_of_training
from cli.runs.training import train_run
from cli.runs.training_job import TrainingJob, new_run
from cli.runs.translator import Translator
from cli.runs.views import Selection, guided_selection
from cli.terminal.console import heading, note, write_line
from cli.terminal.live import AlignSentence, training_reporter
from cli.terminal.pictures import ShownRun, caution_line, draw_views, picture
from cli.terminal.quality import print_quality, warn_about_scores
from cli.terminal.translations import translate_with_progress
from data import catalogue
from data.catalogue import Direction
from data.corpus import SentencePair
from data.preparation import pipeline
from seq2seq.evaluation.alignment import Alignment, merge_pieces
from seq2seq.evaluation.quality import score_corpus
from seq2seq.model import EncoderDecoder
from seq2seq.system.shell import command

SHOWN = 5  # translations that are shown of each test set

Splits = dict[str, list[SentencePair]]
Translations = dict[str, list[tuple[SentencePair, str]]]
"""By test set, each pair with the model's translation of its source."""


@dataclass(frozen=True)
class Demo:
    """The direction and the settings of a demo, and the folder of its files."""

    folder: Path
    direction: Direction
    settings: Values

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def languages(self) -> tuple[str, str]:
        return self.direction.source_language, self.direction.target_language

    def text(self, split: str) -> tuple[Path, Path]:
        """The source and target file of a split."""
        source, target = self.languages
        return self.corpus / f"{split}.{source}", self.corpus / f"{split}.{target}"


def write_corpus(demo: Demo) -> Splits:
    """Fetch the corpus and write its text files; raises ConfigError for settings that clash."""
    resolve(demo.settings)
    contents = catalogue.fetch(demo.direction, notify=note)
    demo.folder.mkdir(parents=True, exist_ok=True)
    catalogue.write_corpus(demo.direction, contents, demo.corpus)
    counts = ", ".join(
        f"{_title(split)} {len(pairs):,}" for split, pairs in contents.splits.items()
    )
    source, target = demo.languages
    heading(f"1  Corpus: {demo.direction.entry.name}, {source} to {target}")
    note(f"pairs: {counts}; written to {demo.corpus}")
    return contents.splits


def prepare(demo: Demo) -> None:
    """Clean the text, learn subword pieces and write the token store."""
    texts = demo.text("train"), demo.text("valid")
    with preparation_request(*texts, demo.store, settings={}, languages=demo.languages) as request:
        store = pipeline.prepare(request).store
    heading("2  Subword pieces: learnt with SentencePiece; the text is cleaned and encoded")
    note(
        f"{store.meta['source_vocabulary']:,} pieces, shared by both languages; the training set "
        f"has {store.meta['splits']['train']['tokens']:,} tokens; written to {demo.store}"
    )


def create_job(demo: Demo, *, threads: int | None) -> TrainingJob:
    """A run with the settings that `train` chooses for the corpus."""
    model = demo.settings["model"]
    heading(f"3  Training: attention {model['attention']}, score {model['score']}")
    return new_run(
        demo.run,
        demo.store,
        recipe=None,
        preset={},
        settings=demo.settings,
        start_from=None,
        device="auto",
        threads=threads,
        note=note,
    ).create(note)


def choose_sentence(pairs: list[SentencePair]) -> SentencePair:
    """A pair with 5 to 8 source words, if there is one, and as many different ones as possible."""
    fitting = [pair for pair in pairs if 5 <= len(pair.source.split()) <= 8]
    return max(fitting or pairs, key=lambda pair: len(set(pair.source.split())))


def train(job: TrainingJob, watched: SentencePair, threads: int | None) -> None:
    """Train to the end; on a terminal, the attention of a watched sentence is drawn meanwhile."""
    note(f"a test sentence to watch: {watched.source}")
    attends = job.run.config.model.attention != "none"
    align = _aligner(job, watched.source) if attends else None
    reporter = training_reporter(job.run, align)
    shared = threads_of_training(threads, job.device)
    train_run(job.run, job.store, device=job.device, reporter=reporter, threads=shared)


def _aligner(job: TrainingJob, source: str) -> AlignSentence:
    """A function that translates a sentence greedily and returns the alignment of words."""
    search = build_section("search", {"beam": 1})
    tokenizers = job.run.tokenizer("source"), job.run.tokenizer("target")

    def align(model: EncoderDecoder) -> Alignment:
        translator = Translator(model, *tokenizers, search, device=job.device)
        (translation,) = translator.translate([source])
        alignment = translation.candidates[0].alignment
        assert alignment is not None
        return merge_pieces(alignment)

    return align


def load(demo: Demo) -> Translator:
    return Translator.load(demo.run)


def translate_and_score(demo: Demo, translator: Translator, test_sets: Splits) -> Translations:
    heading("4  Scores on the test sets")
    translations: Translations = {}
    for name, pairs in test_sets.items():
        texts, _ = translate_with_progress(translator, [pair.source for pair in pairs])
        report = score_corpus(
            texts,
            [[pair.target for pair in pairs]],
            target_language=demo.languages[1],
            confidence=True,
        )
        write_line(_title(name))
        print_quality(report)
        write_line("")
        warn_about_scores(report)
        translations[name] = list(zip(pairs, texts, strict=True))
    return translations


def show_translations(translations: Translations) -> None:
    """A few translations of each test set, spread over it, beside their references."""
    heading("5  Translations and their references")
    for name, rows in translations.items():
        write_line(_title(name))
        step = max(1, len(rows) // SHOWN)
        for pair, text in rows[::step][:SHOWN]:
            _write_translation(pair, text, indent="  ", mark="  (same)" * (text == pair.target))
            write_line("")


def show_attention(translator: Translator, pair: SentencePair) -> None:
    """The attention weights of one translation, or its saliency where there is no attention."""
    heading("6  Attention: which source words the model attended to for each word it wrote")
    run = ShownRun("", translator, guided_selection(translator, Selection("guided")))
    (translation,) = translator.translate([pair.source], head=run.selection.search_head)
    _write_translation(pair, translation.text)
    write_line("")
    draw_views(picture([run], pair.source, [translation]).views)
    if translator.has_attention:
        note(caution_line([run]))
    write_line("")


def suggest_next(demo: Demo, test_set: str) -> None:
    heading("Try next")
    source, _ = demo.text(test_set)
    note(command("translate", demo.run))
    note(command("align", demo.run, source) + " | head -60")
    note(
        command("train", demo.store, demo.folder / "bahdanau")
        + " --recipe tiny --attention bahdanau --score additive --minutes 2"
    )


def _write_translation(pair: SentencePair, text: str, indent: str = "", mark: str = "") -> None:
    write_line(f"{indent}source       {pair.source}")
    write_line(f"{indent}translation  {text}")
    write_line(f"{indent}reference    {pair.target}{mark}")


def _title(split: str) -> str:
    """A split's name as words: "new combinations" for "new-combinations"."""
    return split.replace("-", " ")
