"""Charts as SVG and PNG, by Vega-Lite, and SVG as PNG.

The package vl-convert-python brings all of it along: it needs no browser, no network and no other
package. SVG of Vega-Lite takes CSS variables as colours, so the charts of a page follow its light
or dark scheme, and keeps text as text.
"""

from collections.abc import Sequence
from pathlib import Path

from cli.terminal.report.charts import (
    FILE_THEME,
    PAGE_THEME,
    Chart,
    specification,
)
from seq2seq.errors import ConfigError, ResourceError
from seq2seq.system.files import replacing

try:
    import vl_convert
except ImportError as error:
    raise ConfigError(
        "PNG and the pictures of a report need vl-convert-python, which is not installed",
        hint="install it with `pip install 'seq2seq-trainer[report]'`; a report is text without -o "
        "and --pictures, and `seq2seq align --format svg` needs no package",
    ) from error

WIDE, NARROW, FILE = 470, 330, 640  # pixels
HEIGHT = 280
PNG_SCALE = 2


def page_svg(chart: Chart, systems: Sequence[str], *, width: int) -> str:
    """A chart for a page, with the page's own colours."""
    spec = specification(chart, systems, PAGE_THEME, width=width, height=HEIGHT)
    return str(vl_convert.vegalite_to_svg(spec, vl_version="5.20"))


def png_of(svg: str) -> bytes:
    """An SVG picture as PNG, with the fonts of the package where the system has none."""
    return bytes(vl_convert.svg_to_png(svg, scale=PNG_SCALE))


def write_pictures(charts: Sequence[Chart], systems: Sequence[str], folder: Path) -> list[Path]:
    """Write each chart as NAME.svg and NAME.png; returns the files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = []
        for chart in charts:
            spec = specification(chart, systems, FILE_THEME, width=FILE, height=HEIGHT)
            svg = vl_convert.vegalite_to_svg(spec, vl_version="5.20")
            png = vl_convert.vegalite_to_png(spec, vl_version="5.20", scale=PNG_SCALE)
            for ending, content in (("svg", svg.encode()), ("png", png)):
                path = folder / f"{chart.name}.{ending}"
                with replacing(path) as partial:
                    partial.write_bytes(content)
                files.append(path)
        return files
    except OSError as error:
        raise ResourceError(
            f"{folder} cannot be written: {error.strerror}",
            hint="choose a folder that you may write to",
        ) from error
