"""Properties are tried with the same examples in every run, so that a red main stays red until it is mended.

`make fuzz` draws others each time. A run of several folders ends with the time that each of them took.
"""

from collections import Counter
from pathlib import PurePosixPath
from typing import Final

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("fuzz", deadline=None, print_blob=True)
settings.load_profile("repeatable")

_DEPTH: Final = 3  # of a folder, such as tests/services/ranker


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print seconds of tests, set-up and tear-down by folder, the longest first; workers' seconds add up."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                folder = PurePosixPath(report.nodeid.partition("::")[0]).parent
                seconds["/".join(folder.parts[:_DEPTH])] += report.duration
    if len(seconds) < 2:
        return
    terminalreporter.section("seconds by folder")
    for folder_name, total in seconds.most_common():
        terminalreporter.write_line(f"{total:8.1f}  {folder_name}")
    terminalreporter.write_line(f"{seconds.total():8.1f}  in all")
