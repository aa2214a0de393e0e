"""Alignments as text that fits a width; knows neither models nor terminals."""
