"""`atelier models …`: what is published, and which version an alias means."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from cli.command import DEFAULT_STORE, Json, Store, command
from cli.errors import CommandError
from cli.output import print_answer, print_json, print_line, print_table
from model_store.aliases import PRODUCTION, Alias
from model_store.errors import StoreError
from model_store.garbage import Finding, collect, survey
from model_store.storage import LocalStorage
from model_store.store import ModelStore, Version

app = typer.Typer(
    no_args_is_help=True, help="List, show, verify, promote, roll back and collect published models."
)

Model = Annotated[str, Argument(help="Name of a model, as in artwork-head.")]
AliasName = Annotated[str, Option(help="Name of the alias to move.")]

_COLUMNS = (
    "model", "#version", "aliases", "precision", "#dimension", "trained", "#MB", "digest", "created",
)  # fmt: skip


@command(app, "list")
def list_models(store: Store = DEFAULT_STORE, as_json: Json = False) -> None:
    """List every version with the aliases that mean it."""
    versions = list(_summaries(ModelStore.at(store)))
    print_answer(versions, lambda _: print_table("", _COLUMNS, list(map(_row, versions))), as_json=as_json)


@command(app)
def show(
    name: Model,
    version: Annotated[
        int | None, Argument(help="Version number. Default: the version in production.")
    ] = None,
    store: Store = DEFAULT_STORE,
) -> None:
    """Print the manifest of a version as JSON."""
    opened = _open(ModelStore.at(store), name, version)
    body = {"version": opened.number, "digest": opened.digest, "space_id": opened.space_id}
    print_json({**body, **opened.manifest.model_dump(mode="json")})


@command(app)
def verify(
    name: Annotated[str | None, Argument(help="Name of the model to verify. Default: every model.")] = None,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Hash every file of every version; exit with 1 if a file is not as published."""
    models = ModelStore.at(store)
    results = [
        {"model": each, "version": number, "problem": _problem(models, each, number)}
        for each in ([name] if name else models.names())
        for number in models.numbers(each)
    ]
    rows = [(r["model"], r["version"], r["problem"] or "whole") for r in results]
    columns = ("model", "#version", "state")
    print_answer(results, lambda _: print_table("", columns, rows), as_json=as_json)
    damaged = [result for result in results if result["problem"]]
    if damaged:
        raise CommandError(f"{len(damaged)} of {len(results)} versions are damaged")


@command(app)
def promote(
    name: Model,
    version: Annotated[int, Argument(help="Number of the version that the alias will mean.")],
    alias: AliasName = PRODUCTION,
    expect: Annotated[int | None, Option(help="Version that the alias must mean now; 0: no version.")] = None,
    store: Store = DEFAULT_STORE,
) -> None:
    """Verify a version and make an alias mean it. Services follow the alias without a restart."""
    models = ModelStore.at(store)
    opened = models.open(name, version)
    models.verify(opened)
    _print_alias(name, alias, models.aliases.move(name, alias, version, opened.digest, expect=expect))


@command(app)
def rollback(name: Model, alias: AliasName = PRODUCTION, store: Store = DEFAULT_STORE) -> None:
    """Make an alias mean the version that it meant before."""
    _print_alias(name, alias, ModelStore.at(store).aliases.rollback(name, alias))


@command(app)
def copy(
    name: Model,
    to: Annotated[Path, Option(help="Directory of the store to copy into. Created if missing.")],
    version: Annotated[
        int | None, Option(min=1, help="Version number. Default: the version in production.")
    ] = None,
    alias: Annotated[str | None, Option(help="Alias to move in the store --to. Default: none.")] = None,
    origin: Annotated[
        bool,
        Option("--origin/--no-origin", help="Copy the origin of an eight-bit version, too."),
    ] = True,
    store: Store = DEFAULT_STORE,
) -> None:
    """Copy a version, with what it was derived from or composed of, into another store."""
    from inference.child_check import check_in_child
    from model_store.transfer import copy_version

    to.mkdir(parents=True, exist_ok=True)
    target = ModelStore.at(to)
    original = _open(ModelStore.at(store), name, version)
    copied = copy_version(original, target, check_in_child, with_origin=origin)
    if alias is not None:
        target.aliases.move(name, alias, copied.number, copied.digest)
    meant = f"; {name}@{alias} means it" if alias else ""
    print_line(f"{to}: {copied}, {copied.manifest.precision}{meant}")


@command(app)
def defaults(store: Store = DEFAULT_STORE) -> None:
    """Publish the models that come with Atelier, of each kind that a store has none of in production.

    They are compact and trained: image models on CC0 photographs and drawn pictures, heads on drawn ones.
    """
    from cli.default_models import publish_missing

    published = publish_missing(store, print_line)
    done = f"published {', '.join(published)}" if published else "models are in production already"
    print_line(f"{store}: {done}")


@command(app)
def gc(
    store: Store = DEFAULT_STORE,
    keep_days: Annotated[float, Option(min=0.0, help="Age in days up to which a version is kept.")] = 7.0,
    dry_run: Annotated[
        bool, Option("--dry-run", help="List what would be removed, and why the rest is kept.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove versions that no alias reaches, now or three moves back, and no kept manifest names."""
    storage, keep = LocalStorage(store), timedelta(days=keep_days)
    findings = survey(storage, keep) if dry_run else collect(storage, keep)
    gone = [finding for finding in findings if not finding.kept_because]
    if as_json:
        print_json({"dry_run": dry_run, "versions": [_collected(finding) for finding in findings]})
        return
    shown = findings if dry_run else gone
    rows = [(f.name, f.number, f"{f.byte_count / 1e6:.1f}", f.kept_because or "removed") for f in shown]
    if rows:
        print_table("", ("model", "#version", "#MB", "kept because" if dry_run else "outcome"), rows)
    freed = sum(finding.byte_count for finding in gone) / 1e6
    verb = "would be freed" if dry_run else "freed"
    print_line(f"{len(gone)} of {len(findings)} versions, {freed:.1f} MB {verb}")


def _collected(finding: Finding) -> dict[str, Any]:
    return {
        "name": finding.name,
        "version": finding.number,
        "byte_count": finding.byte_count,
        "removed": not finding.kept_because,
        "kept_because": finding.kept_because,
    }


def _print_alias(name: str, alias: str, moved: Alias) -> None:
    before = f" (before: version {moved.history[0].version})" if moved.history else ""
    print_line(f"{name}@{alias} means version {moved.target.version}{before}")


def _open(models: ModelStore, name: str, number: int | None) -> Version:
    return models.resolve(name) if number is None else models.open(name, number)


def _summaries(models: ModelStore) -> Iterator[dict[str, Any]]:
    for name in models.names():
        aliases = models.aliases.list(name)
        for number in models.numbers(name):
            meaning = sorted(alias for alias, read in aliases.items() if read.target.version == number)
            yield _summary(models.open(name, number), meaning)


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
