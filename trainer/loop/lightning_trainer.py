"""Lightning's trainer as our runs use it: the loop, devices and precision; files and figures are ours."""

import logging
import signal
import warnings
from typing import Literal

import lightning
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

_LOUD = ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda")

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


def run_training(
    module: lightning.LightningModule,
    device: torch.device,
    *,
    epochs: int,
    callback: lightning.Callback,
    clip_norm: float,
    accumulation: int = 1,
) -> None:
    """Train so many epochs, each with its validation; Lightning itself writes and prints nothing.

    Raises KeyboardInterrupt, SystemExit: with the status of the signal, when one ended the run.
    """
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)
    gpu = device.type == "cuda"
    with warnings.catch_warnings():
        # That no logger, no checkpoint callback and no worker processes are there is meant.
        warnings.filterwarnings("ignore", category=UserWarning, module=r"lightning\.")
        # Lightning 2.6 asks torch for a name that torch is about to drop.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        trainer = lightning.Trainer(
            accelerator="gpu" if gpu else "cpu",
            devices=1,
            precision=choose_precision(device),
            max_epochs=epochs,
            gradient_clip_val=clip_norm,
            accumulate_grad_batches=accumulation,
            callbacks=[callback],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        try:
            trainer.fit(module)
        except SIGTERMException as ended:
            # Lightning would leave with 0, as if the run were done.
            raise SystemExit(128 + signal.SIGTERM) from ended
        except SystemExit as ended:
            # And with 1 for Ctrl-C, as if it had failed.
            raise KeyboardInterrupt from ended


def choose_precision(device: torch.device) -> Precision:
    """That of the weights on the CPU; half on a GPU: bfloat16 where it has it, else float16 (A-10)."""
    if device.type != "cuda":
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
