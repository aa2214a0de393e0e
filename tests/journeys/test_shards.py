"""`preprocess` in shards: the three steps, and their reports."""

import json

from program import call


def test_a_store_is_planned_prepared_in_shards_and_merged(corpus, tmp_path):
    def step(*options: object):
        return call(*corpus.preprocess(tmp_path / "store", *options))

    refused = step("--merge-shards")
    assert refused.code == 2 and "--plan-shards N first" in refused.err
    both = step("--plan-shards", 1, "--shard", "1/1")
    assert both.code == 2 and "three steps" in both.err
    planned = step("--plan-shards", 2, "--json")
    assert json.loads(planned.out)["shards"] == 2
    assert "--shard 1/2 to 2/2" in planned.err
    for number in (1, 2):
        assert step("--shard", f"{number}/2").out.startswith(f"shard {number}/2: ")
    again = step("--shard", "2/2", "--json")
    assert "prepared already" in again.err and json.loads(again.out)["shard"] == [2, 2]
    merged = step("--merge-shards", "--json")
    assert json.loads(merged.out)["splits"]["train"]["cleaning"]["read"] == 1000
    assert call(*corpus.preprocess(tmp_path / "store")).err.count("prepared already") == 1
