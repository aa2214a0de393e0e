"""Our trainer beside its peers: the same pieces, pairs and model in each, timed by one clock.

job.py          what all systems have in common, and the description of one training
timer.py        the clock inside every trainer: whole updates, target tokens without padding
corpus.py       our token store as text that the peers read, and their pieces as text again
peers.py        the peers: their environments, versions and patches
opennmt.py      OpenNMT-py  } settings(), train() and translation() of each; train() runs in that
joey.py         Joey NMT    } system's own Python, so these modules import nothing of ours but
eole.py         Eole        } job and timer
ours.py         seq2seq, by the same interface
child.py        one training in a process of its own
preparation.py  from a token store to the trainings requested
machine.py      the machine measured on, and other processes that use it
products.py     the time that the matrix products of an update take alone
measurement.py  rounds of trainings in turn, medians, ratios
quality.py      BLEU after a number of minutes
decoding.py     sentences a second of whole files
latency.py      how long one sentence takes; latency_child.py times the search of the peers
commits.py      the search of several commits in turn, each in a process of search_child.py
report.py       the tables
"""
