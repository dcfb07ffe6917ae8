import re
import subprocess
import sys

CODE = """
import logging
from trainer.console_log import log_to_console
log_to_console()
logging.getLogger("trainer.loop.device").warning("no CUDA device: training on the CPU")
logging.getLogger("trainer.loop.device").info("not shown")
"""


def test_a_line_has_its_time_its_logger_and_its_level():
    """The console log of a training is in the seeds' format (Q-8)."""
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=60
    )

    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    line = "trainer.loop.device - WARNING - no CUDA device: training on the CPU"
    assert re.fullmatch(f"{time} - {re.escape(line)}\n", done.stderr)
