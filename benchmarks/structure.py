"""How is the tree built: sizes, folders, modules with a single importer, class names that recur?

    python -m benchmarks.structure [--quick] [--json FILE] [--root DIR] [--list]

Counts the source of the product: no tests, no generated stubs, no benchmarks.
"""

import argparse
import ast
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import run

ROOMS = (
    "cli", "defaults", "inference", "model_store", "pretraining", "services", "trainer", "vector_index",
)  # fmt: skip
WIDE_FOLDER_FILES = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One source file. `imports`: dotted names of the modules of the tree that it imports, lazily too."""

    name: str
    path: Path
    line_count: int
    imports: frozenset[str]
    classes: tuple[str, ...]


def read_modules(root: Path) -> Mapping[str, Module]:
    """Every module of the rooms below `root`, by dotted name."""
    paths = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for room in ROOMS
        for path in sorted((root / room).rglob("*.py"))
    }
    return {name: _read(name, path, paths.keys()) for name, path in paths.items()}


def _read(name: str, path: Path, known: Collection[str]) -> Module:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    return Module(
        name=name,
        path=path,
        line_count=text.count("\n"),
        imports=frozenset(imported for imported in _imported(tree) if imported in known) - {name},
        classes=tuple(
            node.name for node in tree.body if isinstance(node, ast.ClassDef) and node.name[0] != "_"
        ),
    )


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def single_importers(modules: Mapping[str, Module]) -> dict[str, str]:
    """Modules with exactly one importer, and that importer. Packages and entry points do not count."""
    importers: defaultdict[str, set[str]] = defaultdict(set)
    for module in modules.values():
        for imported in module.imports:
            importers[imported].add(module.name)
    return {
        name: next(iter(importers[name]))
        for name, module in modules.items()
        if len(importers[name]) == 1 and module.path.name not in ("__init__.py", "__main__.py")
    }


def wide_folders(modules: Mapping[str, Module]) -> dict[str, int]:
    """Folders with more than `WIDE_FOLDER_FILES` modules beside `__init__`, and how many they hold."""
    counts = Counter(
        module.path.parent.as_posix() for module in modules.values() if module.path.name != "__init__.py"
    )
    return {folder: count for folder, count in counts.items() if count > WIDE_FOLDER_FILES}


def recurring_classes(modules: Mapping[str, Module]) -> dict[str, list[str]]:
    """Public top-level class names that more than one module defines, with those modules."""
    owners: defaultdict[str, list[str]] = defaultdict(list)
    for module in modules.values():
        for name in module.classes:
            owners[name].append(module.name)
    return {name: places for name, places in sorted(owners.items()) if len(places) > 1}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The checkout, and whether to name what is counted."""
    parser.add_argument("--root", type=Path, default=Path(), help="Checkout to measure. Default: this one.")
    parser.add_argument(
        "--list",
        action="store_true",
        help="Print each single importer, wide folder and recurring class name.",
    )


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The counts of one checkout."""
    modules = read_modules(options.root.resolve())
    if options.list:
        print("\n".join(names(modules)))
    sizes = [module.line_count for module in modules.values() if module.path.name != "__init__.py"]
    return {
        "source_lines": {
            "all": sum(module.line_count for module in modules.values()),
            **{
                room: sum(
                    module.line_count for name, module in modules.items() if name.partition(".")[0] == room
                )
                for room in ROOMS
            },
        },
        "modules": {"count": len(sizes), "median_lines": median(sizes), "most_lines": max(sizes)},
        "single_importers": len(single_importers(modules)),
        "wide_folders": len(wide_folders(modules)),
        "recurring_classes": len(recurring_classes(modules)),
    }


def names(modules: Mapping[str, Module]) -> Iterator[str]:
    """A line for each module, folder and class name that is counted."""
    for name, importer in sorted(single_importers(modules).items()):
        yield f"single importer: {name} <- {importer} ({modules[name].line_count} lines)"
    for folder, count in wide_folders(modules).items():
        yield f"wide folder: {folder} ({count} files)"
    for name, places in recurring_classes(modules).items():
        yield f"recurring class: {name}: {', '.join(places)}"


if __name__ == "__main__":
    run("structure", __doc__, measure, add_options)
