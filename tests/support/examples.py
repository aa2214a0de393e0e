"""How many examples a property test draws: few as a rule, 40 times as many in a thorough run.

`HYPOTHESIS_PROFILE=thorough scripts/test` is that run; it draws other examples every time.
"""

import os

from hypothesis import settings

USUAL, THOROUGH = 100, 4000

settings.register_profile(
    "usual", max_examples=USUAL, derandomize=True, deadline=None, print_blob=True
)
settings.register_profile("thorough", max_examples=THOROUGH, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))


def examples(usual: int) -> settings:
    """The settings of a test that draws this many examples in the usual run."""
    profile = settings.default
    assert profile
    return settings(max_examples=usual * profile.max_examples // USUAL)
