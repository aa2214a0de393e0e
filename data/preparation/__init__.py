"""From two text files to a token store: clean, learn pieces, encode; streamed, on all cores.

Memory does not grow with the corpus: pieces are learnt from a bounded sample, and chunks of lines
go to worker processes and their ids to disk, in order. The store is written as `STORE.partial` and
renamed at the end; stages that an interrupted run finished there are not repeated.
"""
