"""`python -m tests.sbom LOCK OUT`: what an image holds, as CycloneDX, from the lock that it is made from.

Reads the lock alone and asks no network: the same lock gives the same packages and hashes anywhere.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot5
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
# The platform of the images.
_IMAGE = {
    "sys_platform": "linux",
    "platform_system": "Linux",
    "os_name": "posix",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
}


def components(lock: str) -> Iterator[Component]:
    """A component for each package of a lock that Linux installs, with the hashes of its distributions.

    Raises ValueError: for a package without a version or without a hash, naming it.
    """
    for entry in re.split(r"\n(?=[A-Za-z0-9])", lock.strip()):
        requirement = Requirement(entry.partition("\\")[0].strip())
        if requirement.marker is not None and not requirement.marker.evaluate(_IMAGE):
            continue
        hashes, pins = _HASH.findall(entry), [each.version for each in requirement.specifier]
        if len(pins) != 1 or not hashes:
            raise ValueError(f"{requirement.name} is not pinned to a version with hashes")
        name = canonicalize_name(requirement.name)
        url = PackageURL(type="pypi", name=name, version=pins[0])
        yield Component(
            name=name,
            version=pins[0],
            type=ComponentType.LIBRARY,
            purl=url,
            bom_ref=url.to_string(),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in hashes],
        )


def main(lock: Path, out: Path) -> None:
    """Write the document of one lock."""
    bom = Bom(components=components(lock.read_text(encoding="utf-8")))
    image = Component(name=f"atelier-{lock.stem}", type=ComponentType.CONTAINER, bom_ref="image")
    bom.metadata.component = image
    bom.register_dependency(image, bom.components)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(JsonV1Dot5(bom).output_as_string(indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"{out}: {len(bom.components)} packages\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
