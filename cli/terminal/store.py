"""What a token store contains, as tables for people or as JSON values."""

from typing import Any

from cli.terminal.screen import stdout_console, table


def store_json(meta: dict[str, Any]) -> dict[str, Any]:
    """Languages, vocabulary sizes and counts from the meta.json of a store."""
    keys = ("source_language", "target_language", "source_vocabulary", "target_vocabulary")
    report = {"schema_version": 1, **{key: meta[key] for key in keys}, "splits": meta["splits"]}
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
