"""The committed stubs are those that the committed protos make, and the protos are clean (S-1)."""

import subprocess
import sys
from pathlib import Path

import google.rpc.status_pb2
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).resolve().parents[1]
# What callers of v1 were promised; `make image` moves it.
IMAGE = ROOT / "protos" / "v1.binpb"
PROTOS = sorted((ROOT / "protos").rglob("*.proto"))
INCLUDES = ["-I", str(ROOT / "protos"), "-I", str(Path(google.rpc.status_pb2.__file__).parents[2])]


def protoc(*options: str) -> None:
    """Run protoc in a child: the compiler inside grpc_tools keeps state between runs."""
    command = [sys.executable, "-m", "grpc_tools.protoc", *INCLUDES, *options, *map(str, PROTOS)]
    subprocess.run(command, check=True, timeout=60)


def buf(command: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run buf with the project's configuration."""
    return subprocess.run(
        [Path(sys.executable).parent / "buf", command, *arguments, "--config", ROOT / "buf.yaml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


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

    run = buf("lint", image)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
def test_v1_is_kept(tmp_path: Path) -> None:
    """Nothing that a caller of v1 may use is gone from the protos, by the committed image. (S-1)"""
    protoc("--include_imports", "-o", str(tmp_path / "protos.binpb"))

    run = buf("breaking", tmp_path / "protos.binpb", "--against", IMAGE)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
def test_a_removed_field_and_a_renamed_method_break_v1(tmp_path: Path) -> None:
    """The comparison with the image sees what it is there to see."""
    image = FileDescriptorSet.FromString(IMAGE.read_bytes())
    file = next(each for each in image.file if each.name.endswith("recommender/v1/resources.proto"))
    item = next(message for message in file.message_type if message.name == "Item")
    del item.field[-1]
    service = next(each for each in image.file if each.name.endswith("ranker/v1/ranker.proto")).service[0]
    service.method[0].name = "Order"
    (tmp_path / "changed.binpb").write_bytes(image.SerializeToString())

    run = buf("breaking", tmp_path / "changed.binpb", "--against", IMAGE)
    assert run.returncode != 0
    assert 'on message "Item" was deleted' in run.stdout
    assert 'on service "RankerService" was deleted' in run.stdout
