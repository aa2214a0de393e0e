"""The command line: argv becomes a config and a run directory, results become text."""
