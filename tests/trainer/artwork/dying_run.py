"""A run that dies in the middle of an epoch: `python -m tests.trainer.artwork.dying_run PICKLE EPOCH STEP`.

The arguments of the run come from the test that starts it, in its own temporary folder.
"""

import os
import pickle
import signal
import sys
from pathlib import Path

from trainer.artwork.module import RankingModule
from trainer.artwork.train import train_artwork


def main(arguments: Path, epoch: int, step: int) -> None:
    config, artworks, backbone, space = pickle.loads(arguments.read_bytes())
    real, done = RankingModule.training_step, [0]

    def dying(self: RankingModule, batch):
        done[0] = done[0] + 1 if self.epoch == epoch else 0
        if done[0] == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, batch)

    RankingModule.training_step = dying  # type: ignore[method-assign]
    train_artwork(config, artworks, backbone, space)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
