"""`atelier models …`: what is published, and which version an alias means."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.errors import CommandError, reported
from cli.extras import training_extra
from cli.output import console, print_json, print_table
from model_store.aliases import PRODUCTION, Alias
from model_store.errors import StoreError
from model_store.garbage import Finding, collect, survey
from model_store.storage import LocalStorage
from model_store.store import ModelStore, Version

app = typer.Typer(
    no_args_is_help=True, help="List, show, verify, promote, roll back and collect published models."
)

Store = Annotated[Path, typer.Option(help="Model store.", envvar="ATELIER_STORE")]
AliasName = Annotated[str, typer.Option(help="Alias to move.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_STORE = Path("var/models")


@app.command("list")
def list_models(store: Store = DEFAULT_STORE, as_json: Json = False) -> None:
    """List every version with the aliases that mean it."""
    with reported():
        versions = [_summary(opened, aliases) for opened, aliases in _versions(ModelStore.at(store))]
        if as_json:
            print_json(versions)
            return
        columns = (
            "model",
            "#version",
            "aliases",
            "precision",
            "#dimension",
            "trained",
            "#MB",
            "digest",
            "created",
        )
        print_table("", columns, [_row(version) for version in versions])


@app.command()
def show(
    name: str, version: Annotated[int | None, typer.Argument()] = None, store: Store = DEFAULT_STORE
) -> None:
    """Print the manifest of a version (default: what `production` means) as JSON."""
    with reported():
        opened = _open(ModelStore.at(store), name, version)
        body = {"version": opened.number, "digest": opened.digest, "space_id": opened.space_id}
        print_json({**body, **opened.manifest.model_dump(mode="json")})


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="Model; every model when left out.")] = None,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Hash every file of every version; exit 1 when one is not what was published."""
    with reported():
        models = ModelStore.at(store)
        results = [
            {"model": each, "version": number, "problem": _problem(models, each, number)}
            for each in ([name] if name else models.names())
            for number in models.numbers(each)
        ]
        if as_json:
            print_json(results)
        else:
            rows = [(r["model"], r["version"], r["problem"] or "whole") for r in results]
            print_table("", ("model", "#version", "state"), rows)
        damaged = [result for result in results if result["problem"]]
        if damaged:
            raise CommandError(f"{len(damaged)} of {len(results)} versions are damaged")


@app.command()
def promote(
    name: str,
    version: int,
    alias: AliasName = PRODUCTION,
    expect: Annotated[
        int | None, typer.Option(help="Fail unless the alias means this version now; 0: unset.")
    ] = None,
    store: Store = DEFAULT_STORE,
) -> None:
    """Make an alias mean a version, once its files are verified. Services take it up by themselves."""
    with reported():
        models = ModelStore.at(store)
        opened = models.open(name, version)
        models.verify(opened)
        moved = models.aliases.move(name, alias, version, opened.digest, expect=expect)
        _tell(name, alias, moved)


@app.command()
def rollback(name: str, alias: AliasName = PRODUCTION, store: Store = DEFAULT_STORE) -> None:
    """Make an alias mean what it meant before."""
    with reported():
        models = ModelStore.at(store)
        _tell(name, alias, models.aliases.rollback(name, alias))


@app.command()
def copy(
    name: Annotated[str, typer.Argument(help="Model.")],
    to: Annotated[Path, typer.Option(help="Store to copy into; made when it is not there.")],
    version: Annotated[
        int | None, typer.Option(min=1, help="Version; that in production by default.")
    ] = None,
    alias: Annotated[str | None, typer.Option(help="Alias to move there; none by default.")] = None,
    origin: Annotated[
        bool, typer.Option("--origin/--no-origin", help="Copy what an eight-bit version was made of, too.")
    ] = True,
    store: Store = DEFAULT_STORE,
) -> None:
    """Copy a version, with what it was derived from or composed of, into another store."""
    with reported():
        from inference.golden import check_in_child
        from model_store.transfer import copy_version

        with _writable(to):
            to.mkdir(parents=True, exist_ok=True)
            target = ModelStore.at(to)
            original = _open(ModelStore.at(store), name, version)
            copied = copy_version(original, target, check_in_child, with_origin=origin)
            if alias is not None:
                target.aliases.move(name, alias, copied.number, copied.digest)
    meant = f"; {name}@{alias} means it" if alias else ""
    console.print(f"{to}: {copied}, {copied.manifest.precision}{meant}", highlight=False, markup=False)


@app.command()
def defaults(store: Store = DEFAULT_STORE) -> None:
    """Publish default models where a store has none in production; needs the train extra.

    Their image models come with Atelier, compact and trained; their heads are trained on drawn pictures.
    """
    with reported(), training_extra(), tempfile.TemporaryDirectory(prefix="atelier-") as scratch:
        from cli.demo_models import Workshop, publish_missing
        from trainer.progress import bars

        with _writable(store), bars() as progress:
            shop = Workshop(root=Path(scratch), store=store)
            published = publish_missing(shop, lambda line: console.print(line, highlight=False), progress)
    done = f"published {', '.join(published)}" if published else "models are in production already"
    console.print(f"{store}: {done}", highlight=False)


@app.command()
def gc(
    store: Store = DEFAULT_STORE,
    keep_days: Annotated[float, typer.Option(min=0.0, help="Versions younger than this are kept.")] = 7.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go, and why not.")] = False,
    as_json: Json = False,
) -> None:
    """Remove versions that no alias reaches, now or three moves back, and no kept manifest names."""
    with reported():
        storage, keep = LocalStorage(store), timedelta(days=keep_days)
        findings = survey(storage, keep) if dry_run else collect(storage, keep)
    gone = [finding for finding in findings if not finding.kept_because]
    if as_json:
        print_json({"dry_run": dry_run, "versions": [_collected(finding) for finding in findings]})
        return
    shown = findings if dry_run else gone
    rows = [(f.name, f.number, f"{f.byte_count / 1e6:.1f}", f.kept_because or "goes") for f in shown]
    if rows:
        print_table("", ("model", "#version", "#MB", "kept because" if dry_run else "outcome"), rows)
    freed = sum(finding.byte_count for finding in gone) / 1e6
    verb = "would be freed" if dry_run else "freed"
    console.print(f"{len(gone)} of {len(findings)} versions, {freed:.1f} MB {verb}", highlight=False)


def _collected(finding: Finding) -> dict[str, Any]:
    return {
        "name": finding.name,
        "version": finding.number,
        "byte_count": finding.byte_count,
        "removed": not finding.kept_because,
        "kept_because": finding.kept_because,
    }


@contextmanager
def _writable(store: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise CommandError(f"{store} cannot be written to") from error


def _tell(name: str, alias: str, moved: Alias) -> None:
    before = f" (before: version {moved.history[0].version})" if moved.history else ""
    console.print(f"{name}@{alias} means version {moved.target.version}{before}", markup=False)


def _open(models: ModelStore, name: str, number: int | None) -> Version:
    return models.resolve(name) if number is None else models.open(name, number)


def _versions(models: ModelStore) -> list[tuple[Version, list[str]]]:
    found = []
    for name in models.names():
        aliases = models.aliases.list(name)
        for number in models.numbers(name):
            meaning = sorted(alias for alias, read in aliases.items() if read.target.version == number)
            found.append((models.open(name, number), meaning))
    return found


def _summary(version: Version, aliases: list[str]) -> dict[str, Any]:
    manifest = version.manifest
    return {
        "name": version.name,
        "version": version.number,
        "aliases": aliases,
        "precision": manifest.precision,
        "dimension": manifest.dimension,
        "trained": manifest.provenance.trained,
        "bytes": sum(entry.size for entry in manifest.files.values()),
        "digest": version.digest,
        "space_id": version.space_id,
        "created_at": manifest.provenance.created_at.isoformat(),
    }


def _row(summary: dict[str, Any]) -> tuple[object, ...]:
    return (
        summary["name"],
        summary["version"],
        ", ".join(summary["aliases"]),
        summary["precision"],
        summary["dimension"],
        "yes" if summary["trained"] else "untrained",
        f"{summary['bytes'] / 1e6:.1f}",
        summary["digest"][:12],
        summary["created_at"][:16],
    )


def _problem(models: ModelStore, name: str, number: int) -> str:
    try:
        models.verify(models.open(name, number))
    except StoreError as error:
        return str(error)
    return ""
