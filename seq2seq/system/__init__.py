"""Files, locks, cores and memory: what the operating system gives and takes."""
