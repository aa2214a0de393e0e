"""`seq2seq compare`: a grid of trainings, and their results on one test set.

A system is a choice of settings, a trial one training of it, from one seed. The folder OUT holds

comparison.json      the systems with their settings, the seeds, stores and test sets
tests/               copies of the test sets: STORE.source, STORE.reference and STORE.links
trials/NAME/         the run directory of each trial
translations/NAME    its translations of the test set
results/NAME.json    what was measured on it; a trial with a result is done
learnt/              lexicon and links that trials learn from a store; it may be removed
significance.json    tests that were computed, by the hashes of what they compare
"""
