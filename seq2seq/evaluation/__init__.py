"""Judging translations and alignments."""
