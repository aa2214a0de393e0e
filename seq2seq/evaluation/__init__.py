"""Scores of translations, and alignments with their error rate."""
