"""The committed stubs are those that the committed protos make, and the protos are clean (S-1)."""

import subprocess
import sys
from pathlib import Path

import google.rpc.status_pb2
import pytest

ROOT = Path(__file__).resolve().parents[1]
PROTOS = sorted((ROOT / "protos").rglob("*.proto"))
INCLUDES = ["-I", str(ROOT / "protos"), "-I", str(Path(google.rpc.status_pb2.__file__).parents[2])]


def protoc(*options: str) -> None:
    """Run protoc in a child: the compiler inside grpc_tools keeps state between runs."""
    command = [sys.executable, "-m", "grpc_tools.protoc", *INCLUDES, *options, *map(str, PROTOS)]
    subprocess.run(command, check=True, timeout=60)


@pytest.mark.slow
def test_the_stubs_are_fresh(tmp_path: Path) -> None:
    """Generating again changes no byte of any committed stub."""
    protoc(f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", f"--grpc_python_out={tmp_path}")

    made = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*_pb2*")}
    kept = {
        path.relative_to(ROOT / "protos"): path.read_text()
        for path in (ROOT / "protos").rglob("*_pb2*")
        if "__pycache__" not in path.parts
    }
    assert made == kept, "run `make protos`"


@pytest.mark.slow
def test_the_protos_pass_buf_lint(tmp_path: Path) -> None:
    """buf's STANDARD rules hold for every file of ours."""
    image = tmp_path / "protos.binpb"
    protoc("--include_source_info", "--include_imports", "-o", str(image))
    buf = Path(sys.executable).parent / "buf"

    run = subprocess.run(
        [buf, "lint", image, "--config", ROOT / "buf.yaml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
