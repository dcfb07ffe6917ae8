"""`python trainer/export.py [artwork|fashion]`: publish every model to the model store.

Settings come from `config/`; heads without a checkpoint are published untrained and called so.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if __name__ == "__main__":
    # Started as a file, Python looks for modules beside it first, where this room's own names would
    # stand before those of libraries.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

if TYPE_CHECKING:
    from trainer.artwork.config import ArtworkConfig
    from trainer.fashion.config import FashionConfig
    from trainer.publication.publish import Published, PublishTarget

Family = Literal["all", "artwork", "fashion"]

FAILED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """The options of the command line."""

    family: Family
    backbone: str | None
    checkpoint: Path | None
    config: Path | None
    settings: dict[str, Any]
    fused: bool

    def checkpoint_of(self, settings: "ArtworkConfig | FashionConfig") -> Path | None:
        """The trained part: that of the command line, else that of the settings."""
        return self.checkpoint or (Path(settings.checkpoint) if settings.checkpoint else None)

    def exports_backbone(self, checkpoint: Path | None) -> bool:
        """A checkpoint names its own backbone, which is in the store already."""
        return checkpoint is None or self.backbone is not None


def export(
    family: Annotated[Family, typer.Argument(help="Models to publish.")] = "all",
    backbone: Annotated[
        str | None,
        typer.Option(
            help="Hub name or directory of the frozen network. Default: `backbone.source` in --config."
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint of the trained head or attribute encoder. Default: `checkpoint` in --config."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings file, YAML. Default: config/artwork.yml and config/fashion.yml."),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Setting that overrides the file, NAME=VALUE: backbone.height=518."),
    ] = None,
    store: Annotated[Path, typer.Option(help="Directory of the model store.", envvar="ATELIER_STORE")] = Path(
        "var/models"
    ),
    alias: Annotated[
        str | None,
        typer.Option(help="Alias to set. Default: production for a model without one, else candidate."),
    ] = None,
    form: Annotated[
        Literal["onnx", "torchscript"], typer.Option("--format", help="Format of the graphs.")
    ] = "onnx",
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--int8", help="Folder of pictures to calibrate eight-bit versions of the frozen networks with."
        ),
    ] = None,
    half: Annotated[
        Path | None,
        typer.Option(
            "--fp16", help="Folder of pictures to check half-precision versions of the frozen networks with."
        ),
    ] = None,
    fused: Annotated[
        bool, typer.Option(help="Also publish artwork-encoder, backbone and head as one graph.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the published versions as JSON.")] = False,
) -> None:
    """Publish every model to the model store."""
    if family == "all" and (backbone or checkpoint or config or change):
        raise typer.BadParameter("--backbone, --checkpoint, --config and --set need `artwork` or `fashion`")
    if (calibration or half) is not None and form != "onnx":
        raise typer.BadParameter("--int8 and --fp16 make ONNX graphs, not TorchScript")
    with _reported():
        from model_store.names import check_name
        from model_store.store import ModelStore
        from trainer.configuration import parse_settings
        from trainer.publication.publish import PublishTarget

        if alias is not None:
            # Before anything is published that no alias would name.
            check_name(alias, "alias")
        options = ExportOptions(
            family=family,
            backbone=backbone,
            checkpoint=checkpoint,
            config=config,
            settings=parse_settings(change or ()),
            fused=fused,
        )
        target = PublishTarget(
            store=ModelStore.at(store),
            alias=alias,
            form=form,
            calibration=calibration,
            half=half,
            notify=_notify,
        )
        published = list(publish_models(options, target))
    if as_json:
        print(json.dumps([_summary(model) for model in published], indent=2))


def publish_models(options: ExportOptions, target: "PublishTarget") -> Iterator["Published"]:
    """Each model as it is published: what a head stands on before the head."""
    if options.family != "fashion":
        yield from _artwork(options, target)
    if options.family != "artwork":
        yield from _fashion(options, target)


def _artwork(options: ExportOptions, target: "PublishTarget") -> Iterator["Published"]:
    from trainer.artwork import export as artwork
    from trainer.artwork.backbone import export_artwork_backbone
    from trainer.artwork.config import read_artwork_config
    from trainer.publication.frozen import check_folders

    settings = read_artwork_config(options.config, _over(options, "backbone.source"))
    target = replace(target, limits=settings.pictures.limits())
    checkpoint, backbone = options.checkpoint_of(settings), None
    if options.exports_backbone(checkpoint):
        check_folders(target)
        made = export_artwork_backbone(settings.backbone, target)
        backbone = made.version
        yield made
    head = artwork.export_artwork_head(settings, target, checkpoint=checkpoint, backbone=backbone)
    yield head
    if options.fused:
        stands_on = artwork.backbone_of(target.store, head.version)
        if stands_on.manifest.format == head.version.manifest.format:
            yield artwork.export_artwork_encoder(stands_on, head.version, target)
        else:
            target.notify(f"{artwork.ENCODER} left out: {stands_on} and {head.version} are of two formats")


def _fashion(options: ExportOptions, target: "PublishTarget") -> Iterator["Published"]:
    from trainer.fashion import export as fashion
    from trainer.fashion.config import read_fashion_config
    from trainer.publication.frozen import check_folders

    settings = read_fashion_config(options.config, _over(options, "image.source"))
    target = replace(target, limits=settings.pictures.limits())
    checkpoint, image = options.checkpoint_of(settings), None
    if options.exports_backbone(checkpoint):
        check_folders(target)
        made = fashion.export_fashion_image(settings.image, target)
        image = made.version
        yield made
    yield fashion.export_fashion_attributes(settings, target, checkpoint=checkpoint, image=image)


def _over(options: ExportOptions, source: str) -> dict[str, Any]:
    return options.settings | ({source: options.backbone} if options.backbone else {})


def _summary(published: "Published") -> dict[str, Any]:
    version = published.version
    return {
        "model": version.name,
        "version": version.number,
        "digest": version.digest,
        "space_id": version.space_id,
        "format": version.manifest.format,
        "alias": published.alias,
        "fresh": published.fresh,
        "trained": version.manifest.provenance.trained,
        "metrics": version.manifest.metrics,
    }


def _notify(line: str) -> None:
    print(line, file=sys.stderr)


@contextmanager
def _reported() -> Iterator[None]:
    """Print one line for expected errors; let others raise."""
    from inference.errors import InferenceError
    from model_store.errors import StoreError
    from trainer.errors import TrainerError

    try:
        yield
    except (TrainerError, StoreError, InferenceError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(FAILED) from error


if __name__ == "__main__":
    from trainer.console_log import log_to_console

    log_to_console()
    typer.run(export)
