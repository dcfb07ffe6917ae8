"""Other engines over the same items and filters, each in an environment that this module makes.

Environments lie in `var/peers/<engine>` and are made once. Engines run in this machine's process, ours
through gRPC. An engine that cannot be had is named with the reason.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.recommend import engines
from benchmarks.recommend.workload import CONDITIONS, Workload

ENVIRONMENTS: Final = Path("var/peers")
PACKAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "hnswlib": ("numpy==2.4.6", "hnswlib==0.8.0"),
    "qdrant": ("numpy==2.4.6", "qdrant-edge-py==0.9.0"),
    "milvus": ("numpy==2.4.6", "pymilvus==3.0.2", "milvus-lite==3.2.2"),
}
_MOST_S: Final = 1_200


def compare(workload: Workload, read: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of each engine, and its p50 as a multiple of ours where it is measured (above 1: we are
    ahead). read: the times of our calls of one caller, by filter; "by_item" without one."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data.npz"
        everything = np.arange(workload.count)
        arrays = {f"allowed_{key}": condition.mask(everything) for key, condition in CONDITIONS.items()}
        arrays |= {"vector_ND": workload.vectors, "query_QD": workload.vectors[workload.asked]}
        np.savez(data, **arrays, own_Q=workload.asked, allow_pickle=False)
        for engine in PACKAGES:
            figures[engine] = measured = _measure(engine, data)
            for key in ("plain", *CONDITIONS):
                ours = read["by_item" if key == "plain" else key]
                if key in measured:
                    measured[key]["p50_of_ours"] = round(measured[key]["p50_ms"] / ours["p50_ms"], 2)
    return figures


def _measure(engine: str, data: Path) -> dict[str, Any]:
    try:
        python = _environment(engine)
        command = [str(python), str(engines.__file__), engine, str(data)]
        run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_MOST_S)
        figures: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        return {"not_measured": (error.stderr.strip().splitlines() or ["no message"])[-1]}
    except subprocess.TimeoutExpired:
        return {"not_measured": f"it took more than {_MOST_S} s"}
    return figures


def _environment(engine: str) -> Path:
    """The Python of an engine's environment. Raises CalledProcessError: if its packages cannot be had."""
    folder = ENVIRONMENTS / engine
    python = folder.resolve() / "bin" / "python"
    done = folder / "installed.json"
    wanted = json.dumps(PACKAGES[engine])
    if not done.exists() or done.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", folder], capture_output=True, text=True, check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES[engine]]
        subprocess.run(install, capture_output=True, text=True, check=True)
        done.write_text(wanted)
    return python
