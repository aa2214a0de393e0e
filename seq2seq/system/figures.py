"""Numbers as people read them: sizes, shares, counts, and charts of one line."""

from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"


def megabytes(size: int) -> str:
    """Bytes on a disk or to download: 0.37 MB, 8.8 MB, 1,234 MB."""
    count = size / 1e6
    if count < 1:
        return f"{count:.2g} MB"
    return f"{count:,.1f} MB" if count < 100 else f"{count:,.0f} MB"


def gibibytes(size: int) -> str:
    """Bytes of memory: 1.5 GiB, or 512 MiB where that is less than one."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def percent(share: float) -> str:
    """Never 0 % of something, never 100 % of less than all."""
    if 0 < share < 0.001:
        return "under 0.1 %"
    if 0.999 < share < 1:
        return "over 99.9 %"
    return f"{100 * share:.1f} %"


def percentile(values: Sequence[float], percent: int) -> float:
    """The least of the values that more than `percent` % of them do not exceed, or the largest."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def plural(count: int, one: str, many: str) -> str:
    """The word that goes with a count."""
    return one if count == 1 else many


def counted(count: int, noun: str) -> str:
    """1 line, 2,000 lines."""
    return f"{count:,} {plural(count, noun, noun + 's')}"


def sparkline(values: Sequence[float], *, width: int) -> str:
    """Values over time in `width` blocks, the lowest to the highest, the newest at the right."""
    if len(values) > width:
        step = len(values) / width
        values = [*(values[int(i * step)] for i in range(width - 1)), values[-1]]
    if not values:
        return ""
    low, high = min(values), max(values)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((value - low) * scale)] for value in values)


def bars(counts: Sequence[int]) -> str:
    """A histogram in eighths of its greatest count; a count above 0 gets at least one eighth."""
    top = max(counts)
    return "".join((" " + BLOCKS)[-(-8 * count // top) if top else 0] for count in counts)
