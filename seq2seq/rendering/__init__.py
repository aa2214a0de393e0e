"""Alignments as text that fits a width, as HTML and as SVG; knows neither models nor terminals."""
