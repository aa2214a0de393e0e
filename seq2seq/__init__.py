"""Tensors in, tensors and scores out: RNN encoder-decoders with selectable attention.

Shapes stand in brackets, as in `keys [B, S, M]`, and `...` is any number of leading dimensions.

    B    sentences of a batch                  N    attention heads
    S    source positions; keys                D    width of a head; D_q, D_k, D_v of queries,
    L    queries                                    keys and values, D_p of projected keys
    T    target positions                      A    inner width of a score
    V    vocabulary                            F    coverage features of a source position
    E    width of embeddings                   O    width of readouts, the output layer's input
    H    width of a recurrent layer            G    gates of a recurrent layer, 4H or 3H
    M    width of memory and of contexts       I, X its input and its extra input
    Z    width of the source's summary         P    positions of tokens, without padding

In `seq2seq.search`, K is the beam, R the rows of a step (one for each unfinished hypothesis) and C
the candidates that continue a row. S' are the positions that an encoder leaves of S, V' the ids
that an output layer has logits for, U those of V' that a translation may have or a bias changes.
Formulas keep the letters of their papers.
"""
