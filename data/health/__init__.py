"""The health of a parallel corpus: what is worth knowing before hours of training, as values.

Both files are read once, side by side and in blocks of lines; for each line only its lengths, a
64-bit hash and its traces stay in memory (about 40 bytes a pair). A second, shorter pass fetches
the text of examples. What training would refuse is a fault; what makes it worse is a warning.
"""
