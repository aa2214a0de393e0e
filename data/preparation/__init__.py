"""From two text files to a token store: clean, learn pieces, encode; streamed, on all cores.

Memory does not grow with the corpus: pieces are learnt from a bounded sample, and encoding passes
chunks of lines to worker processes and their ids to disk, in order. Work happens in `STORE.partial`
and is renamed at the end; what an interrupted run has finished there is not done again.
"""
