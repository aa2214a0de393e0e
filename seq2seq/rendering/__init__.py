"""Alignments as text, with no knowledge of models or terminals."""
