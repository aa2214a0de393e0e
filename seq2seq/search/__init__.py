"""Finding the best translation under a model: greedy and beam search."""
