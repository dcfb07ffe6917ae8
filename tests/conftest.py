"""Properties are tried with the same examples in every run, so that a red main stays red until it is mended.

`make fuzz` draws others each time.
"""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("fuzz", deadline=None, print_blob=True)
settings.load_profile("repeatable")
