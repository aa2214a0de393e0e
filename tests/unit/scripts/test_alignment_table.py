"""The table of alignment quality on the Greek New Testament."""

import argparse

import alignment_table
from alignment_table import GUIDED, METHODS, Model, Work

AER = {"value": 0.5, "low": 0.4567, "high": 0.6}
SHIFT = {"rows": 0, "reason": "", "aer": {"0": 0.5, "1": 0.7, "-1": 0.8}}
LINKS = {"aer": AER, "shifts": [SHIFT]}
MODEL = {"order": "luong", "guidance": "people", "source": "grc", "target": "en"}
RESULTS = [
    {"program": "eflomal 2.0.0", "aer": {"forward": AER, "union": AER}},
    {"model": MODEL, "aer": LINKS, "posterior": LINKS, "bleu": 12.345, "chrf": 34.5},
    {"both": MODEL, "aer": dict.fromkeys(METHODS, AER)},
    {"trained_on": MODEL, "aer": AER, "shifts": [SHIFT]},
]


def test_every_result_has_a_row():
    asked = argparse.Namespace(minutes=25.0, updates=None, threads=1)
    lines = list(alignment_table.page(RESULTS, asked))
    rate = "0.500 (0.457 to 0.600)"
    assert f"| eflomal 2.0.0, union | {rate} |" in lines
    measures = f"{rate} | {rate} | 0 | 0.800, 0.500, 0.700 | 12.35 | 34.50"
    assert f"| luong | people | grc-en | {measures} |" in lines
    assert f"| luong | people | {rate} | {rate} | {rate} |" in lines
    assert f"| luong | people | grc-en | {rate} |" in lines
    assert any(line.startswith("25 minutes, on 1 thread,") for line in lines)


def test_a_result_is_measured_once(tmp_path):
    work, calls = Work(tmp_path, tmp_path, (), 1), []

    def measure() -> dict[str, int]:
        calls.append(1)
        return {"aer": len(calls)}

    for model in (MODEL, MODEL, MODEL | {"order": "bahdanau"}):
        alignment_table.record(work.results, {"model": model}, measure)
    assert len(calls) == 2 and len(work.results.read_text().splitlines()) == 2


def test_links_are_written_in_both_directions(tmp_path):
    work = Work(tmp_path, tmp_path, (), 1)
    alignment_table.write_both_directions(work, "test", "people", [{(0, 2), (1, 0)}, set()])
    assert work.links("test", "grc", "en", "people").read_text() == "1-0 0-2\n\n"
    assert work.links("test", "en", "grc", "people").read_text() == "2-0 0-1\n\n"


def test_models_have_names_of_their_own():
    names = {Model("luong", guidance, "grc", "en").name for guidance in GUIDED}
    assert len(names) == len(GUIDED)
    assert Model(**MODEL).reverse.reverse == Model(**MODEL)
