"""A run that dies in the middle of an epoch: `python -m tests.trainer.fashion.dying_run PICKLE STAGE EPOCH`.

The arguments of the run come from the test that starts it, in its own temporary folder.
"""

import os
import pickle
import signal
import sys
from pathlib import Path

from trainer.fashion.module import EncoderModule
from trainer.fashion.train import train_fashion


def main(arguments: Path, stage: str, epoch: int) -> None:
    config, garments, image, space = pickle.loads(arguments.read_bytes())
    real = EncoderModule.training_step
    done: list[int] = []

    def dying(self: EncoderModule, batch):
        if (self.stage, self.epoch) == (stage, epoch):
            done.append(1)
            if len(done) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        return real(self, batch)

    EncoderModule.training_step = dying  # type: ignore[method-assign]
    train_fashion(config, garments, image, space)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
