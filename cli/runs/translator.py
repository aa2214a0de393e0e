"""Translates text with a trained run: `Translator.load(run).translate(lines)`, in any program."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import torch

from cli.runs.chunks import fixed_chunks, lines_at_once
from cli.runs.config import RunConfig, build_section, ignore, section_settings
from cli.runs.device import choose_device
from cli.runs.directory import RunDirectory
from cli.runs.ensemble import Member, require_same_pieces, require_weights
from cli.runs.reranking import by_reverse_model, by_utility, require_reverse
from cli.runs.shortlists import shortlist_of
from cli.runs.text_rules import prefix_rules, text_rules
from cli.runs.translation import Candidate, PairScore, Translation
from data.corpora import NO_TAG
from data.corpus import SentencePair
from data.source_statistics import SourceComparison, SourceStatistics
from data.tokenization import Tokenizer
from seq2seq.batch import EOS
from seq2seq.checkpoints.checkpoint import MODEL, VerifiedCheckpoint
from seq2seq.config import SearchConfig
from seq2seq.errors import ConfigError
from seq2seq.evaluation.alignment import (
    END_OF_SENTENCE,
    Alignment,
    WordPieces,
    posterior,
    shift_rows,
)
from seq2seq.kernels.products import search_precision, search_products
from seq2seq.model import EncoderDecoder
from seq2seq.search.hypothesis import Hypothesis
from seq2seq.search.inference import Ensemble, Inference, SingleModel
from seq2seq.search.scoring import force_ids, score_ids
from seq2seq.search.shortlist import Shortlist
from seq2seq.search.translation import (
    TextRules,
    force,
    forced_log_probabilities,
    translate_ids,
)
from seq2seq.system.figures import counted

Line: TypeAlias = str | SentencePair
"""A source; or a pair of it and the text with which its translation is to begin."""
SCORING = SearchConfig().model_dump(exclude={"max_source_pieces"})
"""Search settings of a translator that only scores given translations: the defaults, but for the
maximum length of a source, which is that of its run."""


@dataclass(frozen=True)
class Origin:
    """The arguments of `Translator.load`."""

    path: Path | str
    checkpoint: str = "best"
    search: dict[str, Any] | None = None
    tag: str | None = None
    device: str = "auto"
    threads: int | None = None
    with_: Sequence[Path | str] = ()
    rescore_with: Path | str | None = None

    def load(self, notify: Callable[[str], None] = ignore) -> "Translator":
        """The translator that `Translator.load` returns for these arguments."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return Translator.load(**values, notify=notify)

    @property
    def files(self) -> list[Path]:
        """Everything that is read to load it: what a command must not write over.

        Raises what `Translator.load` raises for what is no run, and for bad settings.
        """
        reverse = () if self.rescore_with is None else (self.rescore_with,)
        run, *others = (RunDirectory.open(Path(p)) for p in (self.path, *self.with_, *reverse))
        files = [file for each in (run, *others) for file in each.own_files]
        search = search_of(run, self.search)
        if search.vocabulary is not None:
            files.append(Path(search.vocabulary))
        if search.shortlist:
            files.append(run.store_path)
        return files


def search_of(run: RunDirectory, changes: dict[str, Any] | None) -> SearchConfig:
    """The search settings of a run but for the changes. Raises ConfigError for a bad value."""
    found: SearchConfig = build_section("search", run.config.search.model_dump() | (changes or {}))
    return found


def scoring_settings(
    settings: Sequence[str] | None, note: Callable[[str], None] = ignore
) -> dict[str, Any]:
    """SCORING with the search settings given by --set.

    note: is given a line for each setting that has another name now

    Raises ConfigError for a setting that has no effect on the scores of given translations.
    """
    given = section_settings(settings, "search", note)
    for name in given:
        if name in SCORING:
            raise ConfigError(
                f"search.{name} has no effect on the scores of given translations",
                hint="leave it out: of the search settings only search.max_source_pieces has one",
            )
    return SCORING | given


class Translator:
    """A trained model with its tokenizers and search settings."""

    def __init__(
        self,
        model: EncoderDecoder,
        source: Tokenizer,
        target: Tokenizer,
        search: SearchConfig,
        *,
        tag: str | None = None,
        device: str = "cpu",
        checkpoint: VerifiedCheckpoint | None = None,
        training: SourceStatistics | None = None,
        others: Sequence[Member] = (),
        target_language: str | None = None,
        shortlist: Shortlist | None = None,
        reverse: "Translator | None" = None,
    ) -> None:
        """training: of the sources that the model was trained on, if it is known
        others: models with the same pieces, which translate with this one as an ensemble
        target_language: for the words of BLEU, with search.utility "bleu"
        reverse: translates in the other direction, to rescore the candidates of a beam

        Raises ConfigError for a tag that the tokenizer does not have, a precision that the device
        does not have, weights of an ensemble that are not as many as its models, words that are
        none, and a coverage penalty without attention.
        """
        require_weights(search, 1 + len(others))
        self.tag = tag
        self._rules = text_rules(target, search)
        self.precision = search_precision(search.precision, device)  # of its products
        self._products = search_products(self.precision, device)
        self._shortlist = shortlist
        self.origin: Origin | None = None  # how it was loaded, if it was
        self.checkpoint = checkpoint  # from which the weights were loaded, if they were
        self.model, self.search = model, search
        self._source, self._target = source, target
        self._tag_ids = [] if tag is None else [_tag_id(source, tag)]  # in front of every source
        self._device, self._training = device, training
        self._others, self.target_language = others, target_language
        self._reverse = reverse
        if reverse is not None and (search.mbr or search.sample):
            raise ConfigError(
                "rescoring ranks the candidates of a beam: not samples, and not by their utility",
                hint="leave out --rescore-with, or --sample and --mbr",
            )
        if search.coverage_penalty and not self.has_attention:
            raise ConfigError(
                "search.coverage_penalty needs attention, and this model has none",
                hint="leave it out",
            )

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        checkpoint: str = "best",
        search: dict[str, Any] | None = None,
        tag: str | None = None,
        device: str = "auto",
        threads: int | None = None,
        with_: Sequence[Path | str] = (),
        rescore_with: Path | str | None = None,
        notify: Callable[[str], None] = ignore,
    ) -> "Translator":
        """The model of a run directory.

        checkpoint: "best", "last" or the name of its folder
        search: settings of section `search` that replace those of the run, such as {"beam": 1}
        tag: of the sources, or "none"; None for that of the main corpus
        device: "auto", "cpu" or "cuda"
        threads: that torch uses; None leaves their number as it is
        with_: further runs with the same pieces, which translate with it as an ensemble; each with
            its "last" checkpoint, if that is the one that was asked for, else its "best"
        rescore_with: a run of the other direction, which rescores the candidates of the beam
        notify: called with what is done where that takes long

        Raises CheckpointError for a run that is damaged or has no checkpoint yet, and ConfigError
        for a tag that it does not have, a precision that the device does not have, or where runs
        have other pieces.
        """
        run = RunDirectory.open(Path(path))
        settings = search_of(run, search)
        verified = run.verified(checkpoint)
        chosen = choose_device(device, threads)
        model = run.load_model(verified)
        others = [RunDirectory.open(Path(each)) for each in with_]
        for other in others:
            require_same_pieces(run, other)
        reverse = None
        if rescore_with is not None:
            require_reverse(run, RunDirectory.open(Path(rescore_with)))
            reverse = cls.load(rescore_with, device=chosen, search=SCORING)
        name = checkpoint if checkpoint == "last" else "best"
        loaded = cls(
            model.to(chosen),
            run.tokenizer("source"),
            run.tokenizer("target"),
            settings,
            tag=run.main_tag if tag is None else None if tag == NO_TAG else tag,
            device=chosen,
            checkpoint=verified,
            training=run.source_statistics,
            others=[Member.load(each, name, chosen) for each in others],
            target_language=run.languages[1],
            shortlist=shortlist_of(run, settings.shortlist, notify),
            reverse=reverse,
        )
        loaded.origin = Origin(
            path, checkpoint, search, tag, device, threads, tuple(with_), rescore_with
        )
        return loaded

    def with_search(
        self, search: dict[str, Any], notify: Callable[[str], None] = ignore
    ) -> "Translator":
        """This model with other search settings; the weights are shared.

        search: the settings that change
        notify: called with what is done where that takes long

        Raises what `load` raises for these settings.
        """
        settings = build_section("search", self.search.model_dump() | search)
        shortlist = self._shortlist
        if settings.shortlist != self.search.shortlist:
            assert self.origin is not None, "only of a loaded translator"
            run = RunDirectory.open(Path(self.origin.path))
            shortlist = shortlist_of(run, settings.shortlist, notify)
        changed = Translator(
            self.model,
            self._source,
            self._target,
            settings,
            tag=self.tag,
            device=self._device,
            checkpoint=self.checkpoint,
            training=self._training,
            others=self._others,
            target_language=self.target_language,
            shortlist=shortlist,
            reverse=self._reverse,
        )
        if changed.precision == self.precision:
            changed._products = self._products  # whose weights are converted already
        if self.origin is not None:
            changed.origin = replace(self.origin, search=(self.origin.search or {}) | search)
        return changed

    @cached_property
    def comparison(self) -> SourceComparison:
        """Compares sources with those that the model was trained on."""
        return SourceComparison(self._source, self._training)

    @property
    def provenance(self) -> dict[str, Any]:
        """The checkpoint that was loaded and the search settings, as JSON values."""
        assert self.checkpoint is not None, "only of a loaded translator"
        ensemble = [each.provenance for each in self._others]
        rescored_with = None if self._reverse is None else self._reverse._named
        return {
            "checkpoint": self.checkpoint.path.name,
            "model_sha256": self.checkpoint.hashes[MODEL],
            **({"ensemble": ensemble} if ensemble else {}),
            **({"rescored_with": rescored_with} if rescored_with else {}),
            "search": self.search.model_dump(),
            "precision": self.precision,
        }

    @property
    def _named(self) -> dict[str, str]:
        """The run and the checkpoint that were loaded."""
        assert self.checkpoint is not None and self.origin is not None, "only if it was loaded"
        return {
            "run": str(self.origin.path),
            "checkpoint": self.checkpoint.path.name,
            "model_sha256": self.checkpoint.hashes[MODEL],
        }

    @property
    def name(self) -> str:
        """The last part of the path that it was loaded from."""
        return Path(self.origin.path).resolve().name if self.origin else "model"

    @cached_property
    def run_config(self) -> RunConfig:
        """The settings of the run that it was loaded from."""
        assert self.origin is not None, "only of a loaded translator"
        return RunDirectory.open(Path(self.origin.path)).config

    @property
    def device(self) -> str:
        return self._device

    @property
    def has_attention(self) -> bool:
        models = (self.model, *(each.model for each in self._others))
        return any(model.decoder.heads for model in models)

    @property
    def heads(self) -> int:
        """Number of attention heads; 0 without attention."""
        return self.model.decoder.heads

    @property
    def has_lexicon(self) -> bool:
        return self.model.lexicon is not None

    def require_attention(self, head: int | None = None) -> None:
        """Raises ConfigError if the model has no attention, or fewer heads."""
        if not self.has_attention:
            raise ConfigError(
                "this model was trained with attention none: there is no alignment to show",
                hint="train with --attention luong, bahdanau or conditional; the drawings of "
                "`seq2seq align` show gradient saliency instead",
            )
        if head is not None and not 1 <= head <= self.heads:
            raise ConfigError(
                f"there is no head {head}: this model has {counted(self.heads, 'attention head')}",
                hint=f"use 1 to {self.heads}, or leave --head out for the mean of all",
            )

    def require_lexicon(self) -> None:
        """Raises ConfigError if the model has no lexicon."""
        if not self.has_lexicon:
            raise ConfigError(
                "this model has no lexicon, which the posterior of links needs",
                hint="leave --weights out, or train with --set model.lexicon=50",
            )

    def translate(
        self,
        lines: Sequence[Line],
        *,
        n_best: int = 1,
        head: int | None = None,
    ) -> list[Translation]:
        """Translate lines; the results are in the same order.

        A line may be a pair: the source, and the text with which its translation is to begin.

        n_best: candidates of each line; the beam is made at least as wide. With search.sample they
            are samples, in the order in which they were drawn.
        head: whose attention becomes the alignment, counted from 1; None for the mean of all
        """
        pairs = [SentencePair(each, "") if isinstance(each, str) else each for each in lines]
        prefixed = not all(isinstance(each, str) for each in lines)
        candidates = max(n_best, self.search.mbr, self.search.beam if self._reverse else 1)
        return [
            replace(each, candidates=each.candidates[:n_best])
            for part in fixed_chunks(iter(pairs), size=lines_at_once(candidates))
            for each in self._translated(part, candidates, head=head, any_piece=prefixed)
        ]

    def _translated(
        self, pairs: Sequence[SentencePair], n_best: int, *, head: int | None, any_piece: bool
    ) -> list[Translation]:
        """The pairs' sources translated, with n best candidates at most.

        any_piece: see `_inference`
        """
        ids = [self._source.encode(pair.source) for pair in pairs]
        limit = self.search.max_source_pieces
        not_blank = [i for i, line_ids in enumerate(ids) if line_ids]
        sources = [[*self._tag_ids, *ids[i][:limit]] for i in not_blank]
        rules = prefix_rules(self._rules, self._target, [pairs[i].target for i in not_blank])
        with self._products.active() if self._products else nullcontext():
            found = translate_ids(
                self._inference(head, rules, any_piece=any_piece),
                sources,
                self.search,
                n_best=n_best,
                rules=rules,
                threads=torch.get_num_threads() if self._device == "cpu" else 1,
            )
        searched = [
            tuple(self._candidate(ids[i][:limit], hypothesis) for hypothesis in hypotheses)
            for i, hypotheses in zip(not_blank, found, strict=True)
        ]
        cut = {i: self._source.decode(ids[i][:limit]) for i in not_blank if len(ids[i]) > limit}
        ranked = self._reranked([cut.get(i, pairs[i].source) for i in not_blank], searched)
        candidates = dict(zip(not_blank, ranked, strict=True))
        return [
            Translation(
                pair.source,
                candidates.get(i, ()),
                truncated=len(ids[i]) > limit,
                source_ids=tuple(ids[i]),
            )
            for i, pair in enumerate(pairs)
        ]

    def _reranked(
        self, sources: Sequence[str], candidates: list[tuple[Candidate, ...]]
    ) -> list[tuple[Candidate, ...]]:
        """The candidates of each line in the order of the settings, if it is not the search's."""
        if self.search.mbr:
            language = self.target_language
            return [by_utility(own, self.search, target_language=language) for own in candidates]
        if self._reverse is not None:
            return by_reverse_model(sources, candidates, self._reverse, self.search)
        return candidates

    def align(self, source: str, target: str, *, head: int | None = None) -> Translation:
        """The probability and the alignment that the model gives to a translation of a line.

        head: whose attention becomes the alignment, counted from 1; None for the mean of all
        """
        return self.force(source, self._target.encode(target), head=head)

    def align_all(
        self, pairs: Sequence[SentencePair], *, head: int | None = None
    ) -> list[Translation]:
        """Align each pair as `align` does, in batches; the results have the order of the pairs."""
        limit = self.search.max_source_pieces
        ids = [self._source.encode(pair.source) for pair in pairs]
        targets = [self._target.encode(pair.target) for pair in pairs]
        filled = [i for i in range(len(pairs)) if ids[i] and targets[i]]
        sources = [[*self._tag_ids, *ids[i][:limit]] for i in filled]
        found = force_ids(self.single(head), sources, [targets[i] for i in filled])
        forced = dict(zip(filled, found, strict=True))
        return [
            Translation(
                pair.source,
                (self._candidate(ids[i][:limit], forced[i]),) if i in forced else (),
                truncated=i in forced and len(ids[i]) > limit,
            )
            for i, pair in enumerate(pairs)
        ]

    def force(
        self, source: str, target_ids: Sequence[int], *, head: int | None = None
    ) -> Translation:
        """Align a source and a translation that is given as ids, with or without EOS."""
        ids, limit = self._source.encode(source), self.search.max_source_pieces
        target_ids = [each for each in target_ids if each != EOS]
        if not ids or not target_ids:
            return Translation(source, (), truncated=False)
        inference = self._inference(head, None, any_piece=True)
        hypothesis = force(inference, [*self._tag_ids, *ids[:limit]], target_ids)
        return Translation(
            source, (self._candidate(ids[:limit], hypothesis),), truncated=len(ids) > limit
        )

    def posterior(self, source: str, candidate: Candidate, alignment: Alignment) -> Alignment:
        """The probability that a target piece comes from a source piece, given what is written.

        It follows from attention and the lexicon of the model, which it must have. The alignment is
        one of the candidate, of pieces.
        """
        lexicon = self.model.lexicon
        assert lexicon is not None
        source_ids = [*self.source_ids(source)[len(self._tag_ids) :], EOS]
        target_ids = torch.tensor(candidate.ids[: len(alignment.target)])
        likelihoods = lexicon.link_likelihoods(
            torch.tensor(source_ids[: len(alignment.source)], device=self.device),
            self.model.output.columns[target_ids.to(self.device)],
        )
        return posterior(alignment, likelihoods.double().cpu().numpy())

    def weights(
        self,
        source: str,
        candidate: Candidate,
        alignment: Alignment,
        *,
        shift: int,
        posterior: bool = False,
    ) -> Alignment:
        """An alignment of a candidate with the weights of other steps: see `shift_rows`.

        posterior: whether these are replaced by what `posterior` makes of them
        """
        shifted = shift_rows(alignment, shift)
        return self.posterior(source, candidate, shifted) if posterior else shifted

    def with_weights(
        self, translation: Translation, *, shift: int, posterior: bool = False
    ) -> Translation:
        """A translation whose alignments have the weights that `weights` gives them."""

        def weighted(candidate: Candidate) -> Candidate:
            if (found := candidate.alignment) is None:
                return candidate
            found = self.weights(
                translation.source, candidate, found, shift=shift, posterior=posterior
            )
            return replace(candidate, alignment=found)

        return replace(translation, candidates=tuple(map(weighted, translation.candidates)))

    def log_probabilities(self, source: str, candidate: Candidate) -> list[float]:
        """The log-probability, in nats, of each piece of a candidate given those before it."""
        target = [each for each in candidate.ids if each != EOS]
        with self._products.active() if self._products else nullcontext():
            found = forced_log_probabilities(
                self._inference(None, None), self.source_ids(source), target
            )
        return found[: len(candidate.pieces)]

    def text_of(self, candidate: Candidate, end: int) -> str:
        """The text of the first `end` pieces of a candidate."""
        return self._target.decode(candidate.ids[:end])

    def score_pairs(self, pairs: Sequence[SentencePair]) -> list[PairScore]:
        """The log-probability of each target, piece by piece; the results are in the same order.

        A target is split into pieces as training does it, so a translation of the model's own has
        the log-probability that the search reported unless the model wrote it in other pieces. A
        blank target is scored as a translation without words.
        """
        ids = [self._source.encode(pair.source) for pair in pairs]
        limit = self.search.max_source_pieces
        scored = [i for i, source in enumerate(ids) if source]
        targets = {i: self._target.encode(pairs[i].target) for i in scored}
        sources = [[*self._tag_ids, *ids[i][:limit]] for i in scored]
        if self._others:
            ensemble, given = self._inference(None, None, any_piece=True), targets.values()
            found = [
                forced_log_probabilities(ensemble, *each)
                for each in zip(sources, given, strict=True)
            ]
        else:
            found = score_ids(self._single(self.model), sources, list(targets.values()))
        log_probabilities = dict(zip(scored, found, strict=True))
        return [
            PairScore(
                pair,
                tuple(self._target.pieces([*targets[i], EOS])) if i in targets else (),
                tuple(log_probabilities.get(i, ())),
                truncated=len(ids[i]) > limit,
            )
            for i, pair in enumerate(pairs)
        ]

    def words(self, source: str, target: str) -> tuple[WordPieces, WordPieces]:
        """The words between spaces of a pair, and which piece of it spells which."""
        found = zip((source, target), (self._source, self._target), strict=True)
        pairs = [(text.split(), each.encode_with_words([text])) for text, each in found]
        left, right = (WordPieces(tuple(w), tuple(e[0][1].tolist())) for w, e in pairs)
        return left, right

    def source_ids(self, line: str) -> list[int]:
        """The ids of a line as the model encodes it: the tag, if there is one, then the pieces."""
        return [*self._tag_ids, *self._source.encode(line)[: self.search.max_source_pieces]]

    def source_labels(self, line: str) -> tuple[str, ...]:
        """The pieces of a line that the model encodes, and the end-of-sentence symbol."""
        ids = self._source.encode(line)[: self.search.max_source_pieces]
        return (*self._source.pieces(ids), END_OF_SENTENCE)

    def single(self, head: int | None = None) -> SingleModel:
        """Its model alone, without the others of an ensemble."""
        return self._single(self.model, head)

    def _single(
        self, model: EncoderDecoder, head: int | None = None, shortlist: Shortlist | None = None
    ) -> SingleModel:
        """A model for search, with the attention of one head (from 1) or the mean of all."""
        return SingleModel(
            model,
            head=None if head is None else head - 1,
            tags=len(self._tag_ids),
            device=self._device,
            shortlist=shortlist,
        )

    def _inference(
        self, head: int | None, rules: TextRules | None, *, any_piece: bool = False
    ) -> Inference[Any]:
        """The model or ensemble for search; with a shortlist unless rules may need other ids.

        any_piece: whether any piece may be needed, as by prefixes; also for lines whose prefix is
            blank, so that no line depends on the others
        """
        any_piece = any_piece or (rules is not None and rules.any_piece)
        shortlist = None if any_piece else self._shortlist
        first = self._single(self.model, head, shortlist)
        if not self._others:
            return first
        others = (self._single(each.model, shortlist=shortlist) for each in self._others)
        return Ensemble((first, *others), self.search.ensemble_weights, self.search.ensemble)

    def _candidate(self, source: Sequence[int], hypothesis: Hypothesis) -> Candidate:
        alignment = None
        pieces = tuple(self._target.pieces(hypothesis.ids))
        if hypothesis.weights is not None:
            labels = (*self._source.pieces(source), END_OF_SENTENCE)
            alignment = Alignment(labels, pieces, hypothesis.weights.double().numpy())
        return Candidate(
            self._target.decode(hypothesis.ids),
            hypothesis.score,
            hypothesis.log_probability,
            hypothesis.ids,
            pieces,
            alignment,
        )


def _tag_id(tokenizer: "Tokenizer", tag: str) -> int:
    if tag in tokenizer.tags:
        return tokenizer.tags[tag]
    raise ConfigError(
        f"there is no tag {tag}",
        hint=f"this model has {', '.join(tokenizer.tags)}"
        if tokenizer.tags
        else "this model has no tags; `seq2seq preprocess --corpora` adds them to corpora",
    )
