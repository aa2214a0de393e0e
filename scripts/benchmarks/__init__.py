"""Our trainer beside its peers: the same pieces, pairs and model in each, timed by one clock.

job.py          what is held equal, and what one training is told
window.py       the clock inside every trainer: whole updates, real target tokens
corpus.py       our token store as text that the peers read, and their pieces back as text
peers.py        which peers there are; their environments, versions and patches
opennmt.py      OpenNMT-py  } settings(), train() and translate() of each; train() runs in that
joey.py         Joey NMT    } system's own Python, so these modules import nothing of ours but
eole.py         Eole        } job and window
ours.py         seq2seq, by the same interface
machine.py      what the figures were measured on, and who else was using it
products.py     the time that the matrix products of an update take alone
measurement.py  rounds of trainings in turn, medians, ratios
quality.py      BLEU after so many minutes
report.py       the tables
"""
