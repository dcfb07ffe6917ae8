"""A recommender that kills itself: `python -m tests.integration.crash.dying_recommender CHECKPOINT TURN`.

It ends by SIGKILL the TURN-th time that it passes the checkpoint of that name.
"""

import itertools
import os
import signal
import sys

from model_store.durable import observing
from services.recommender.__main__ import main


def run(checkpoint: str, turn: int) -> int:
    turns = itertools.count(1)

    def passed(name: str) -> None:
        if name == checkpoint and next(turns) == turn:
            os.kill(os.getpid(), signal.SIGKILL)

    with observing(passed):
        return main()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], int(sys.argv[2])))
