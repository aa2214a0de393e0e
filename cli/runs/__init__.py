"""Runs: configuration, directory, training into it, translating with it."""
