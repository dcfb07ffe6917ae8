"""A study that dies in a trial: `python -m tests.trainer.fashion.studies.dying_study PICKLE TRIAL`.

The arguments of the study come from the test that starts it, in its own temporary folder.
"""

import os
import pickle
import signal
import sys
from pathlib import Path

from trainer.fashion.module import EncoderModule
from trainer.fashion.studies.tuning import EncoderObjective, tune_fashion


def main(arguments: Path, trial: int) -> None:
    train, real = EncoderObjective.__call__, EncoderModule.training_step
    begun: list[int] = []

    def counted(self: EncoderObjective, *given):
        begun.append(1)
        return train(self, *given)

    def dying(self: EncoderModule, batch):
        if len(begun) == trial and self.stage == "contrastive" and self.epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, batch)

    EncoderObjective.__call__ = counted  # type: ignore[method-assign]
    EncoderModule.training_step = dying  # type: ignore[method-assign]
    tune_fashion(*pickle.loads(arguments.read_bytes()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
