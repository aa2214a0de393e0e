"""`seq2seq bench` from the shell: a row for each setting, and figures that fit together."""

import json
import shutil
from types import SimpleNamespace

from program import call

from cli.runs.bench import BenchResult, BenchSetting, measure
from seq2seq.config import SearchConfig
from seq2seq.kernels.precision import has_bfloat16_products
from seq2seq.kernels.products import has_int8_products

QUICK = ("--threads", "1", "--sentences", "3", "--repeats", "2")


def precisions():
    return 1 + has_bfloat16_products("cpu") + has_int8_products()


def test_every_setting_is_measured(run):
    done = call("bench", run, *QUICK, "--json")
    assert done.code == 0, done.err
    value = json.loads(done.out)
    assert value["schema_version"] == 1
    assert (value["threads"], value["sentences"], value["repeats"]) == (1, 3, 2)
    settings = [(each["beam"], each["precision"], each["shortlist"]) for each in value["results"]]
    assert len({*settings}) == len(settings) == 2 * precisions() * 2
    for each in value["results"]:
        speed = each["sentences_per_second"]
        assert 0 < speed["min"] <= speed["median"] <= speed["max"]
        assert each["tokens_per_second"]["median"] >= speed["median"]
        assert 0 < each["latency_ms"]["p50"] <= each["latency_ms"]["p95"]
        assert each["peak_memory_bytes"] > 2**20


def test_without_the_token_store_the_samples_are_translated(run, tmp_path):
    elsewhere = shutil.copytree(run, tmp_path / "run")
    (elsewhere / "lexicon.safetensors").unlink(missing_ok=True)
    provenance = json.loads((elsewhere / "provenance.json").read_text())
    provenance["store"]["path"] = str(tmp_path / "gone")
    (elsewhere / "provenance.json").write_text(json.dumps(provenance))
    config = (elsewhere / "config.toml").read_text()
    own = config.replace("# vocabulary is not set", 'vocabulary = "gone"')
    (elsewhere / "config.toml").write_text(own)
    done = call("bench", elsewhere, *QUICK)
    assert done.code == 0, done.err
    assert "no shortlist: " in done.err
    title, *rows = done.out.splitlines()
    assert title.startswith("3 sentences, cpu, 1 thread")
    assert sum("float32" in row for row in rows) == 2
    assert "sentences/s" in rows[0] and len({*map(len, rows)}) == 1


def test_a_setting_is_measured_whatever_the_run_searches_with():
    loaded = []

    def load(search):
        loaded.append(search)
        return SimpleNamespace(translate=lambda lines: [])

    settings = [BenchSetting(1, "float32", 0), BenchSetting(5, "int8", 50)]
    assert [each.setting for each in measure(load, settings, ["ba"], repeats=1)] == settings
    assert [SearchConfig(**each) for each in loaded] == [
        SearchConfig(beam=1), SearchConfig(beam=5, precision="int8", shortlist=50)
    ]  # fmt: skip
    assert all(each.keys() == SearchConfig.model_fields.keys() for each in loaded)


def test_percentiles_are_those_of_the_sorted_latencies():
    result = BenchResult(
        BenchSetting(1, "float32", 0), latencies=[i / 1000 for i in range(100, 0, -1)]
    )
    assert (result.latency(50), result.latency(95)) == (0.051, 0.096)
