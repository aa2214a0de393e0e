"""BLEU as published Multi30k systems report it."""

import pytest
from tokenised_bleu import tokenised_bleu


def test_case_is_ignored_and_hyphens_are_split():
    hypothesis = ["Ein Mann im T-Shirt isst „Pizza“."]
    # the tokenizer marks a hyphen that it split: "@-@" in one, "-" in the other
    assert 50 < tokenised_bleu(hypothesis, ['ein mann im t - shirt isst "pizza" .'], "de")[0] < 100
    score, signature = tokenised_bleu(hypothesis, ['ein mann im t-shirt isst "pizza".'], "de")
    assert score == pytest.approx(100) and "tok:none" in signature
