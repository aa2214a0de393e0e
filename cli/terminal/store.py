"""Contents of a token store, as tables for people or as JSON values."""

from collections.abc import Sequence
from typing import Any

from cli.terminal.console import note, warn, write_json, write_line
from cli.terminal.screen import stdout_console, table
from data.config import DataConfig
from data.health.report import Finding
from data.health.sufficiency import store_findings
from data.preparation.pipeline import PreparationResult
from data.preparation.shard_plan import Shard, ShardPlan, ShardRecord
from seq2seq.system.figures import counted, percent
from seq2seq.system.shell import command


def report_store(prepared: PreparationResult, *, as_json: bool) -> None:
    """Report on a store that is complete: what is in it, what was chosen, and warnings."""
    store = prepared.store
    findings = store_findings(store)
    if as_json:
        report = store_json(store.meta) | {"warnings": findings_json(findings)}
        write_json(report | {"stages_reused": prepared.stages_reused})
    else:
        print_store(store.meta)
    if "ids" in prepared.stages_reused:
        note(f"{store.path} was prepared already; nothing was done")
    elif prepared.stages_reused:
        note("the pieces were learnt already and have been used again")
    if choice := choice_line(store.meta):
        note(choice)
    for finding in findings:
        warn(finding.sentence())
    note("next: " + command("train", store.path, "RUN"))


def report_plan(plan: ShardPlan, was_there: bool, *, as_json: bool) -> None:
    """Report that the shards of a store are planned and may be prepared."""
    if as_json:
        write_json({"schema_version": 1, "shards": plan.count, "pairs": plan.lines})
    else:
        write_line(f"{counted(plan.count, 'shard')} of {counted(plan.lines, 'pair')}")
    if was_there:
        note(f"the shards of {plan.store} were planned already; nothing was done")
    if choice := choice_line(plan.planned.head):
        note(choice)
    last = f" to {plan.count}/{plan.count}" if plan.count > 1 else ""
    note(
        f"next: this command with --shard 1/{plan.count}{last} in place of --plan-shards, on any "
        "machines; then with --merge-shards"
    )


def report_shard(shard: Shard, record: ShardRecord, was_there: bool, *, as_json: bool) -> None:
    """Report the counts of a shard that is finished."""
    if as_json:
        counts = {"read": record.read, "pairs": record.pairs, "tokens": record.tokens}
        write_json({"schema_version": 1, "shard": [shard.number, shard.count], **counts})
    else:
        write_line(
            f"shard {shard}: {counted(record.pairs, 'pair')} of {record.read:,}, "
            f"{counted(record.tokens, 'token')}"
        )
    if was_there:
        note(f"shard {shard} was prepared already; nothing was done")


def findings_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    keys = ("code", "message", "count", "advice")
    return [{key: getattr(finding, key) for key in keys} for finding in findings]


def choice_line(meta: dict[str, Any]) -> str | None:
    """Which settings were chosen by the corpus and why; None where all of them were given."""
    if "choice" not in meta:
        return None
    choice, config = meta["choice"], DataConfig(**meta["config"])
    parts = []
    if "vocabulary_size" in choice["settings"]:
        parts.append(_pieces_for_words(config, choice["source_words"], choice["target_words"]))
    if "character_coverage" in choice["settings"]:
        parts.append(f"a piece of its own for {percent(config.character_coverage)} of characters")
    if "normalization" in choice["settings"] and config.normalization == "identity":
        altered = percent(choice["altered_targets"])
        parts.append(f"no normalization, as it would change {altered} of the targets")
    how = "; change with --vocabulary-size or --set data.NAME=VALUE"
    return f"chosen for this corpus: {', '.join(parts)}{how}" if parts else None


def _pieces_for_words(config: DataConfig, source_words: int, target_words: int) -> str:
    size = f"{config.vocabulary_size:,}"
    if config.joint:
        return f"{size} joint pieces for {source_words + target_words:,} words"
    return f"{size} pieces a side for {max(source_words, target_words):,} words"


def store_json(meta: dict[str, Any]) -> dict[str, Any]:
    """Languages, vocabulary sizes and counts from the meta.json of a store."""
    keys = ("source_language", "target_language", "source_vocabulary", "target_vocabulary")
    report = {"schema_version": 1, **{key: meta[key] for key in keys}, "splits": meta["splits"]}
    report |= {"config": meta["config"], "choice": meta.get("choice", {})}
    if "output_pieces" in meta:
        report["output_pieces"] = meta["output_pieces"]["count"]
    if "links" in meta:
        report["links"] = {name: meta["links"][name] for name in ("origin", "pairs", "links")}
    return report | ({"corpora": meta["corpora"]} if "corpora" in meta else {})


def print_store(meta: dict[str, Any]) -> None:
    """Tables of the pairs of each split and of what cleaning dropped, with the reasons."""
    console = stdout_console()
    parts = _parts(meta)
    rows = [
        (name, f"{part['cleaning']['read']:,}", f"{part['pairs']:,}", f"{part['tokens']:,}")
        for name, part in parts.items()
    ]
    console.print(table("Token store", ("split", "pairs read", "pairs kept", "tokens"), rows))
    dropped = [
        (name, reason, f"{count:,}", ", ".join(map(str, part["cleaning"]["examples"][reason])))
        for name, part in parts.items()
        for reason, count in part["cleaning"]["reasons"].items()
    ]
    if dropped:
        columns = ("split", "reason", "pairs", "for example, lines")
        console.print(table("Dropped pairs", columns, dropped))
    sizes = f"{meta['source_vocabulary']:,}"
    if not meta["config"]["joint"]:
        sizes += f" and {meta['target_vocabulary']:,}"
    kind = "joint" if meta["config"]["joint"] else "separate"
    console.print(f"vocabulary: {sizes} {kind} {meta['config']['piece_model']} pieces")
    if "output_pieces" in meta:
        count = f"{meta['output_pieces']['count']:,} of {meta['target_vocabulary']:,}"
        console.print(f"output pieces: {count}, those of training targets and all bytes")
    if "links" in meta:
        links = meta["links"]
        found = f"{links['links']:,} in {counted(links['pairs'], 'pair')}, from {links['origin']}"
        console.print(f"links of words: {found}", soft_wrap=True)


def _parts(meta: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The splits by name, but each corpus by itself where training has several."""
    parts = dict(meta["splits"])
    if "corpora" in meta:
        corpora = {f"train: {_corpus_label(corpus)}": corpus for corpus in meta["corpora"]}
        parts = corpora | {name: part for name, part in parts.items() if name != "train"}
    return parts


def _corpus_label(corpus: dict[str, Any]) -> str:
    """For example "back, weight 0.5, tag back"."""
    words = [str(corpus["name"])]
    words += [f"weight {corpus['weight']:g}"] if corpus["weight"] != 1 else []
    words += [f"tag {corpus['tag']}"] if corpus["tag"] else []
    return ", ".join(words)
