"""How healthy a parallel corpus is: everything worth knowing before hours of training, as values.

Both files are read once, side by side and in bounded pieces; of each line there remain its lengths,
a 64-bit hash and its traces (about 40 bytes a pair). A second, shorter reading fetches the text of
examples. What training would refuse is a fault; what it would survive, but badly, a warning.
"""
