"""Translations of a model: beam and greedy search, sampling, given translations, saliency."""
