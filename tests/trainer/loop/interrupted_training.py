"""A training that receives a signal in its second step; its argument names the signal."""

import os
import signal
import sys

import lightning
import torch

from trainer.loop.fitting import FitSettings, run_training


class Interrupted(lightning.LightningModule):
    """One weight, and a process that is told to stop."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.number = number

    def training_step(self, batch, step):
        if step == 1:
            os.kill(os.getpid(), self.number)
        return self.weight.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self):
        return range(100)

    def val_dataloader(self):
        return range(1)

    def validation_step(self, batch, step):
        print("an epoch ended")


if __name__ == "__main__":
    # A shell that runs tests in the background hands an ignored SIGINT on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run_training(
            Interrupted(signal.Signals[sys.argv[1]]),
            torch.device("cpu"),
            FitSettings(max_epochs=2, patience=2, clip_norm=1.0),
            epochs=2,
            callback=lightning.Callback(),
        )
    except KeyboardInterrupt:
        sys.exit(130)
