"""`python -m tests.services.gateway.page.vendor`: the page's libraries, fetched anew from the npm registry.

Each file is the published one, byte for byte but for the one rewrite its entry names: a bare import becomes
relative, a script becomes a module. `manifest.json` beside them records versions, licences and both digests.
"""

import hashlib
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

VENDOR: Final = Path(__file__).resolve().parents[4] / "services" / "gateway" / "page" / "vendor"
MANIFEST: Final = VENDOR / "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class VendoredFile:
    """A file of a package: where it is published, the name it has here, and what is rewritten in it."""

    source: str
    name: str
    replace: tuple[str, str] | None = None
    append: str = ""

    def rewritten(self, published: str) -> str:
        """The text as the page loads it. Raises ValueError: if the text to replace is not there once."""
        text = "\n".join(
            line for line in published.split("\n") if not line.startswith("//# sourceMappingURL")
        )
        if self.replace:
            old, new = self.replace
            if text.count(old) != 1:
                raise ValueError(f"{self.source} holds {old!r} {text.count(old)} times, not once")
            text = text.replace(old, new)
        return text + self.append


@dataclass(frozen=True, slots=True, kw_only=True)
class VendoredPackage:
    """A package of the npm registry, pinned."""

    package: str
    version: str
    licence: str
    licence_file: str
    files: tuple[VendoredFile, ...] = field(default=())


PACKAGES: Final = (
    VendoredPackage(
        package="preact",
        version="11.2.0",
        licence="MIT",
        licence_file="LICENSE",
        files=(
            VendoredFile(source="dist/preact.mjs", name="preact.js"),
            VendoredFile(
                source="hooks/dist/hooks.mjs",
                name="preact-hooks.js",
                replace=('from"preact"', 'from"./preact.js"'),
            ),
        ),
    ),
    VendoredPackage(
        package="htm",
        version="3.1.1",
        licence="Apache-2.0",
        licence_file="LICENSE",
        files=(VendoredFile(source="dist/htm.mjs", name="htm.js"),),
    ),
    VendoredPackage(
        package="uplot",
        version="1.6.32",
        licence="MIT",
        licence_file="LICENSE",
        files=(
            VendoredFile(
                source="dist/uPlot.iife.min.js", name="uplot.js", append="\nexport default uPlot;\n"
            ),
            VendoredFile(source="dist/uPlot.min.css", name="uplot.css"),
        ),
    ),
    VendoredPackage(
        package="@picocss/pico",
        version="2.1.1",
        licence="MIT",
        licence_file="LICENSE.md",
        files=(VendoredFile(source="css/pico.classless.slate.min.css", name="pico.css"),),
    ),
)


def sha256(data: bytes) -> str:
    """The digest of bytes, 64 hexadecimal characters."""
    return hashlib.sha256(data).hexdigest()


def vendor(package: VendoredPackage) -> dict[str, Any]:
    """Fetch a package, write its files and its licence; its entry of the manifest."""
    with tempfile.TemporaryDirectory() as folder:
        archive = _packed(package, Path(folder))
        contents = _members(archive)
        entry = {
            "name": package.package,
            "version": package.version,
            "licence": package.licence,
            "licence_file": f"{_short(package)}.LICENSE",
            "package_sha256": sha256(archive.read_bytes()),
            "files": [_write(each, contents) for each in package.files],
        }
    (VENDOR / str(entry["licence_file"])).write_bytes(contents[package.licence_file])
    return entry


def _short(package: VendoredPackage) -> str:
    return package.package.rpartition("/")[2]


def _packed(package: VendoredPackage, folder: Path) -> Path:
    command = ["npm", "pack", "--silent", f"{package.package}@{package.version}"]
    run = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return folder / run.stdout.strip()


def _members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {
            member.name.removeprefix("package/"): stream.read()
            for member in tar
            if (stream := tar.extractfile(member)) is not None
        }


def _write(file: VendoredFile, contents: Mapping[str, bytes]) -> dict[str, str]:
    published = contents[file.source]
    written = file.rewritten(published.decode()).encode()
    (VENDOR / file.name).write_bytes(written)
    return {
        "file": file.name,
        "source": file.source,
        "source_sha256": sha256(published),
        "sha256": sha256(written),
    }


def main() -> None:
    """Fetch every package and write the manifest."""
    VENDOR.mkdir(parents=True, exist_ok=True)
    entries = [vendor(package) for package in PACKAGES]
    MANIFEST.write_text(json.dumps({"packages": entries}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
