"""The help of commands with many options."""

from program import call_main

from cli import app as program


def test_everyday_options_come_before_groups_of_others():
    result = call_main(program.main, "translate", "--help")
    assert result.code == 0 and not result.err
    titles = [line for line in result.out.split("\n") if line.endswith(":") and line[0] != " "]
    assert titles[:2] == ["Arguments:", "Options:"]
    assert {"Search:", "Sampling:"} <= {*titles[2:]}
    everyday, _, rest = result.out.partition("\nSearch:")
    for option in ("--beam", "--n-best", "--with", "--set", "--help"):
        assert option in everyday
    search, _, sampling = rest.partition("\nSampling:")
    assert "--prefix" in search and "--mbr" in search and "--top-k" in sampling
