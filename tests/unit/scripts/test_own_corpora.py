"""The table of trainings on small corpora."""

import own_corpora


def result(corpus: str, *, judged: bool, chosen: float, checkpoints: dict[str, float]) -> dict:
    return {
        "corpus": corpus,
        "judged": judged,
        "variant": "default",
        "minutes": 10.0,
        "threads": 1,
        "jobs": 2,
        "trials": None,
        "updates": 4070,
        "parameters": 5_200_000,
        "bleu": 12.34,
        "signature": "cased",
        "chrf": chosen,
        "chrf_of_other_checkpoints": checkpoints,
        "aer": 0.633 if "greek" in corpus else None,
        "date": "2026-11-28",
        "machine": "a machine",
    }


RESULTS = [
    result("emoji en-de", judged=True, chosen=40.0, checkpoints={"update-2": 40.5, "averaged": 39}),
    result("greek-nt grc-en", judged=False, chosen=31.0, checkpoints={"update-1": 30.0}),
]


def test_corpora_that_are_only_judged_come_last_and_are_marked():
    rows = [line for line in own_corpora.page_lines(RESULTS) if "default" in line]
    assert rows[-2:] == [
        "| greek-nt grc-en | default | 10 | 12.3 | 31.0 | 0.63 | 0.0 | 4,070 | 5.2 M |",
        "| emoji en-de, *judged* | default | 10 | 12.3 | 40.0 |  | 0.5 | 4,070 | 5.2 M |",
    ]


def test_how_far_the_best_is_behind_is_the_mean_over_all_trainings():
    assert "Behind the best on average: 0.25 chrF." in own_corpora.page_lines(RESULTS)


def test_default_is_set_beside_other_variants_on_judged_corpora_alone():
    changes = {"variant": "tuned", "trials": 12, "bleu": 13.34, "chrf": 39.5}
    tuned = [each | changes for each in RESULTS]
    other = RESULTS[0] | {"corpus": "emoji en-fr", "bleu": 20.0, "chrf": 40.0}
    tuned.append(other | {"variant": "tuned", "bleu": 23.0, "chrf": 40.1})
    lines = list(own_corpora.page_lines([*RESULTS, other, *tuned]))
    assert any(line.startswith("| greek-nt grc-en | tuned, 12 trials | 10 |") for line in lines)
    assert [line for line in lines if line.startswith("Default beside")] == [
        "Default beside *tuned*, 10 minutes, mean over 2 of the judged corpora: "
        "-2.0 BLEU (at worst -3.0) and +0.2 chrF (at worst -0.1)."
    ]
    assert not any("beside" in line for line in own_corpora.page_lines(RESULTS))


def test_folders_of_different_cuts_differ():
    assert len({corpus.folder for corpus in own_corpora.CORPORA}) == len(own_corpora.CORPORA)
