"""The signals that end a program; some systems lack SIGHUP."""

import signal

ENDING_SIGNALS = tuple(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))
)
