"""`atelier fashion augment`: what training will see, before it is trained."""

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import reported
from cli.extras import training_extra
from cli.fashion.app import Change, Config, Data, app
from cli.output import console


@app.command()
def augment(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder to write results/augmentation_samples.png into.")],
    config: Config = None,
    change: Change = None,
) -> None:
    """Draw a few garments before and after augmentation, as `train` does when pictures are augmented."""
    with reported(), training_extra():
        from trainer.configuration import parse_settings
        from trainer.fashion.config import read_fashion_config
        from trainer.fashion.data.opening import open_garments
        from trainer.fashion.data.records import split_records
        from trainer.fashion.sample_sheet import SAMPLES, draw_samples

        settings = read_fashion_config(config, parse_settings(change or ()))
        settings, garments = open_garments(data, settings)
        split = split_records(garments, settings.training.seed)
        for sample in draw_samples(split.train, settings, out / SAMPLES):
            console.print(sample.item_id, markup=False, highlight=False)
            console.print(f"  before  {sample.before}", markup=False, highlight=False)
            console.print(f"  after   {sample.after}", markup=False, highlight=False)
        console.print(f"wrote {out / SAMPLES}", markup=False, highlight=False)
