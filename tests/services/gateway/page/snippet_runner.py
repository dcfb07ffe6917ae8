"""Runs what "Copy as…" offers, as it is, beside the pictures that it names."""

import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, expect

_ROOT = Path(__file__).resolve().parents[4]
# buf speaks the same reflection; the options are those that the page writes.
_GRPCURL = """#!/bin/sh
set -e
[ "$1 $2" = "-plaintext -d" ] || exit 64
data=$3; [ "$data" = @ ] && data=@-
exec {buf} curl --protocol grpc --http2-prior-knowledge -d "$data" "http://$4/$5"
"""


def copied(page: Page) -> dict[str, str]:
    """The three forms of what the view asks; an empty text where there is none."""
    page.get_by_role("button", name="Copy as…").click()
    texts = {}
    for name in ("curl", "Python", "grpcurl"):
        page.get_by_role("tab", name=name, exact=True).click()
        expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute("aria-selected", "true")
        snippet = page.locator("pre.snippet")
        texts[name] = snippet.inner_text() if snippet.count() else ""
    page.keyboard.press("Escape")
    return texts


def run_snippet(name: str, text: str, folder: Path, tools: Path) -> str:
    """What the command prints; it runs in the folder of the pictures. Fails if the command does."""
    grpcurl = tools / "grpcurl"
    grpcurl.write_text(_GRPCURL.format(buf=Path(sys.executable).with_name("buf")))
    grpcurl.chmod(0o755)
    command = [sys.executable, "-c", text] if name == "Python" else ["bash", "-euo", "pipefail", "-c", text]
    run = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={
            "PATH": f"{tools}:/usr/bin:/bin",
            "PYTHONPATH": f"{_ROOT}:{_ROOT / 'protos'}",
            "HOME": str(tools),
        },
    )
    assert run.returncode == 0, f"{text}\n{run.stderr}"
    return run.stdout
