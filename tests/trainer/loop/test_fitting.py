import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_run_that_was_told_to_stop_does_not_claim_to_be_done(name: str, status: int):
    """Whoever waits for it sees the signal in its status, as of any other program."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.trainer.loop.interrupted_training", name],
        capture_output=True,
        timeout=100,
    )

    assert done.returncode == status, done.stderr.decode()[-2000:]
    assert b"an epoch ended" not in done.stdout
    assert b"Traceback" not in done.stderr
