"""Output on the terminal, and input from it."""
