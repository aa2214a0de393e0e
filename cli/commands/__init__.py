"""One module a command: a signature and a short story."""
