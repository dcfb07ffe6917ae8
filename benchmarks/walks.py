"""How many source files do two requests cross, counted by recording which files execute a function?

    python -m benchmarks.walks [--quick] [--json FILE] [--root CHECKOUT] [--list]

`rank`: one Rank of three new pictures, embedder and ranker together, from the first byte to the reply.
`label`: K-Fashion label files become a served attribute encoder: prepare, train, export, serve.
The commands run in their own processes with a profile function; what their imports execute does not count.
--quick leaves `label` out.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from atelier.ranker.v1 import ranker_pb2, ranker_pb2_grpc

from benchmarks.report import run
from services.client.health import await_serving

ROOMS = ("cli", "inference", "model_store", "services", "trainer", "vector_index")
RECOMMENDER = "atelier.recommender.v1.RecommenderService"
RECORDER = """
import atexit, json, os, signal, sys, threading
files, state = set(), {"on": os.environ.get("WALK_RECORD") == "all"}
root, out = os.environ["WALK_ROOT"] + os.sep, os.environ["WALK_OUT"]
def profile(frame, event, arg):
    if state["on"] and event == "call":
        code = frame.f_code
        if code.co_flags & 1 and code.co_filename.startswith(root):  # a function, not a module or class body
            files.add(code.co_filename[len(root):])
def dump(*_):
    state["on"] = False
    state["dumps"] = state.get("dumps", 0) + 1
    path = os.path.join(out, f"{os.getpid()}-{state['dumps']}.json")
    with open(path + ".part", "w") as stream:
        json.dump(sorted(files), stream)
    os.rename(path + ".part", path)
def begin(*_):
    files.clear()
    state["on"] = True
threading.setprofile(profile)
sys.setprofile(profile)
if os.environ.get("WALK_RECORD") == "window":
    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, dump)
else:
    atexit.register(dump)
"""


class Walk:
    """Runs commands of one checkout in a temporary folder with the recorder in place."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self.recorder = folder / "recorder"
        self.recorder.mkdir()
        (self.recorder / "sitecustomize.py").write_text(RECORDER)

    def run(self, *arguments: str, record: Path | None = None) -> str:
        """Run a command to its end and return what it printed. Raises RuntimeError: if it fails."""
        done = subprocess.run(
            self._command(arguments), cwd=self.root, env=self._environment(record, "all"),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(
                f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    @contextmanager
    def services(self, store: Path, record: Path, mode: str) -> Iterator[Mapping[str, str]]:
        """The three services on free ports: their addresses by name."""
        record.mkdir(parents=True, exist_ok=True)
        data = self.folder / f"data-{record.name}"
        arguments = ("up", "--store", str(store), "--data", str(data), "--any-port", "--json")
        with subprocess.Popen(
            self._command(arguments), cwd=self.root, env=self._environment(record, mode),
            stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            try:
                assert process.stdout is not None
                yield _addresses(process.stdout)
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(60)

    def _command(self, arguments: Sequence[str]) -> list[str]:
        if arguments[0].endswith(".py"):
            return [sys.executable, *arguments]
        return [sys.executable, "-c", "from cli.main import app; app()", *arguments]

    def _environment(self, record: Path | None, mode: str) -> dict[str, str]:
        paths = [str(self.root), str(self.root / "protos")]
        variables = {**os.environ, "WANDB_MODE": "offline", "PYTHONPATH": os.pathsep.join(paths)}
        if record is not None:
            record.mkdir(parents=True, exist_ok=True)
            variables |= {"WALK_ROOT": str(self.root), "WALK_OUT": str(record), "WALK_RECORD": mode}
            variables["PYTHONPATH"] = os.pathsep.join([str(self.recorder), *paths])
        return variables


def _addresses(stream: Iterator[str]) -> Mapping[str, str]:
    text = ""
    for line in stream:
        text += line
        try:
            body = json.loads(text)
        except ValueError:
            continue
        return {str(name): str(service["grpc"]) for name, service in body.items()}
    raise RuntimeError(f"the services printed no addresses: {text}")


def rank(walk: Walk, store: Path, images: Sequence[Path]) -> set[str]:
    """Files of services, inference and model_store that execute while a Rank is answered.

    What a poll or a health check executes meanwhile drops out: only files of every one of five calls count.
    """
    record = walk.folder / "rank"
    with (
        walk.services(store, record, "window") as addresses,
        grpc.insecure_channel(addresses["ranker"]) as channel,
    ):
        stub = ranker_pb2_grpc.RankerServiceStub(channel)  # type: ignore[no-untyped-call]
        await_serving(addresses["recommender"], RECOMMENDER, timeout_s=120)  # no model loads meanwhile
        _wait_until_ready(stub, images[:3])  # connections and sessions are open now
        windows = [_recorded_call(stub, record, images[n : n + 3]) for n in range(3, 18, 3)]
    return set.intersection(*windows)


def _request(images: Sequence[Path]) -> ranker_pb2.RankRequest:
    candidates = [ranker_pb2.Candidate(id=path.name, image=path.read_bytes()) for path in images]
    return ranker_pb2.RankRequest(candidates=candidates)


def _wait_until_ready(stub: ranker_pb2_grpc.RankerServiceStub, images: Sequence[Path]) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            stub.Rank(_request(images))
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE or time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return


def _recorded_call(stub: ranker_pb2_grpc.RankerServiceStub, record: Path, images: Sequence[Path]) -> set[str]:
    children = _children(record)
    for child in children:
        os.kill(child, signal.SIGUSR1)
    time.sleep(0.05)  # a signal has no answer to wait for
    stub.Rank(_request(images))
    before = len(list(record.glob("*.json")))
    for child in children:
        os.kill(child, signal.SIGUSR2)
    _wait_for(record, before + len(children))
    files = recorded(record)
    for path in record.glob("*.json"):
        path.unlink()
    return {file for file in files if file.split("/")[0] in ("services", "inference", "model_store")}


def _children(record: Path) -> list[int]:
    """The embedder's and the ranker's process."""
    processes = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            command = (entry / "cmdline").read_bytes().decode().split("\0")
            environment = (entry / "environ").read_bytes().decode().split("\0")
        except OSError:
            continue
        ours = f"WALK_OUT={record}" in environment
        if ours and any(name in command for name in ("services.embedder", "services.ranker")):
            processes.append(int(entry.name))
    if len(processes) != 2:
        raise RuntimeError(f"expected embedder and ranker, found the processes {processes}")
    return processes


def _wait_for(folder: Path, count: int) -> None:
    end = time.monotonic() + 30
    while len(list(folder.glob("*.json"))) < count:
        if time.monotonic() > end:
            raise RuntimeError("a service did not write its record within 30 s")
        time.sleep(0.05)


def label(walk: Walk, store: Path) -> dict[str, set[str]]:
    """Files of all rooms that execute on the way from label files to an answer, by stage."""
    raw, garments, out = (walk.folder / name for name in ("raw", "garments", "run"))
    walk.run("fashion", "synthesise", "--kfashion", "--count", "60", "--out", str(raw))
    records = {name: walk.folder / f"label-{name}" for name in ("prepare", "train", "export", "serve")}
    walk.run(
        "fashion", "prepare", "--kfashion", str(raw), "--styles", "all", "--out", str(garments),
        record=records["prepare"],
    )  # fmt: skip
    walk.run(
        "fashion", "train", "--data", str(garments), "--out", str(out), "--store", str(store),
        "--cache", str(walk.folder / "cache"), "--quick", record=records["train"],
    )  # fmt: skip
    walk.run(
        "trainer/export.py", "fashion", "--checkpoint", str(out / "checkpoints/best_model.pt"),
        "--store", str(store), record=records["export"],
    )  # fmt: skip
    versions = sorted(int(path.name) for path in (store / "fashion-attributes").glob("[0-9]*"))
    walk.run("models", "promote", "fashion-attributes", str(versions[-1]), "--store", str(store))
    with walk.services(store, records["serve"], "all") as addresses:
        query = json.loads((garments / "garments.jsonl").read_text().splitlines()[0])["attributes"]
        address = addresses["recommender"]
        await_serving(address, RECOMMENDER, timeout_s=60)
        walk.run("catalog", "import", str(garments), "--address", address)
        walk.run("recommend", "--attributes", json.dumps(query), "--address", address)
    return {name: recorded(folder) for name, folder in records.items()}


def recorded(folder: Path) -> set[str]:
    """Files of the rooms that any process recorded in `folder`."""
    files = {file for path in folder.glob("*.json") for file in json.loads(path.read_text())}
    return {file for file in files if file.split("/")[0] in ROOMS}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The checkout, and whether to name the files."""
    parser.add_argument("--root", type=Path, default=Path(), help="Checkout to measure. Default: this one.")
    parser.add_argument("--list", action="store_true", help="Name the files.")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """How many files each walk crosses, the label file's by stage too."""
    with tempfile.TemporaryDirectory(prefix="walks-", ignore_cleanup_errors=True) as folder:
        walk = Walk(options.root.resolve(), Path(folder))
        store, pictures = walk.folder / "store", walk.folder / "pictures"
        walk.run("models", "defaults", "--store", str(store))
        walk.run("artwork", "synthesise", "--out", str(pictures), "--count", "40")
        images = sorted(path for path in pictures.rglob("*") if path.suffix in (".jpg", ".png"))
        walks = {"rank": rank(walk, store, images)}
        stages = {} if options.quick else label(walk, store)
    walks |= {f"label_{name}": files for name, files in stages.items()}
    if stages:
        walks["label"] = set().union(*stages.values())
    if options.list:
        for name, files in walks.items():
            print("\n".join((name, *(f"    {file}" for file in sorted(files)))))
    return {f"{name}_files": len(files) for name, files in walks.items()}


if __name__ == "__main__":
    run("walks", __doc__, measure, add_options)
