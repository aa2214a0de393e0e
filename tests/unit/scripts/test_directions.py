"""The table of Multi30k in several directions."""

import directions
import pytest


def result(direction: str, seed: int, test: float) -> dict:
    scored = {
        "bleu": test,
        "signature": "cased",
        "tokenised_bleu": test + 1,
        "tokenised_signature": "tokenised",
    }
    return {
        "direction": direction,
        "seed": seed,
        "recipe": "small",
        "settings": ["training.updates=5"],
        "minutes": 60.0,
        "updates": 5,
        "parameters": 3_200_000,
        "scores": {
            "last": {"valid": scored | {"bleu": 40.0}, "test": scored},
            "averaged": {"valid": scored | {"bleu": 41.0}, "test": scored},
        },
        "jobs": 1,
        "date": "2026-11-25",
        "machine": "a machine",
        "products": "float32",
    }


def test_a_row_has_the_mean_and_the_deviation_over_seeds():
    page = list(
        directions.page_lines(
            [result("de-en", 1, 42.0), result("de-en", 2, 43.0), result("en-fr", 1, 60.0)]
        )
    )
    # by hand: mean 42.5, sqrt(((0.5)^2 + (0.5)^2) / 1) = 0.707
    assert (
        "| de-en | single model | 1, 2 | 40.0 ± 0.0 | 42.5 ± 0.7 | 43.5 ± 0.7 | 60 | 5 | 3.2 M |"
        in page
    )
    assert "| en-fr | average of 5 checkpoints | 1 | 41.0 | 60.0 | 61.0 | 60 | 5 | 3.2 M |" in page


def test_tokenised_bleu_ignores_case_and_splits_hyphens():
    same = directions.tokenised_bleu(
        ["Ein Mann im T-Shirt isst „Pizza“."], ['ein mann im t - shirt isst "pizza" .'], "de"
    )
    # the tokenizer marks a hyphen that it split: "@-@" in one, "-" in the other
    assert 50 < same["tokenised_bleu"] < 100
    again = directions.tokenised_bleu(
        ["Ein Mann im T-Shirt isst „Pizza“."], ['ein mann im t-shirt isst "pizza".'], "de"
    )
    assert again["tokenised_bleu"] == pytest.approx(100)
    assert "tok:none" in again["tokenised_signature"]
