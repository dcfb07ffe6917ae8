"""Should a graph's waiting threads spin?

    python -m benchmarks.spinning [--quick] [--json FILE] [--graph FILE] [--rounds 7]

Both settings are measured in turn within one run: a lone caller, back to back and with pauses, and two
processes at once, as the embedder and the ranker are on one machine. Read the ratios, not the absolutes.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import defaults
from benchmarks.report import run
from model_store.store import ModelStore

PAUSE_S = 0.02
SECONDS = 1.5
SPINNING, SLEEPING = "spinning", "sleeping"
STATES = (SPINNING, SLEEPING)
CHILD = "--child"


def open_graph(path: Path, state: str) -> Any:
    """A session on every core whose waiting threads spin or sleep."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(state == SPINNING)))
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def call(session: Any, seconds: float, pause_s: float = 0.0) -> list[float]:
    """Milliseconds of each call, one picture a call, for `seconds`."""
    node = session.get_inputs()[0]
    pixels = np.random.default_rng(0).integers(0, 256, (1, *node.shape[1:]), dtype=np.uint8)
    taken, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        session.run(None, {node.name: pixels})
        taken.append((time.perf_counter() - started) * 1_000)
        time.sleep(pause_s)
    return taken


def measure(path: Path, rounds: int) -> dict[str, dict[str, list[float]]]:
    """One figure a round for each question and setting; the order of the settings alternates."""
    sessions = {state: open_graph(path, state) for state in STATES}
    pairs = {state: [_child(path, state) for _ in range(2)] for state in STATES}
    figures: dict[str, dict[str, list[float]]] = {
        name: {state: [] for state in STATES}
        for name in ("lone_caller_ms", "lone_caller_with_pauses_ms", "two_processes_calls_per_second")
    }
    for number in range(rounds):
        for state in STATES if number % 2 else reversed(STATES):
            lone, paused, both = (figures[name][state] for name in figures)
            lone.append(statistics.median(call(sessions[state], SECONDS)))
            paused.append(statistics.median(call(sessions[state], SECONDS, PAUSE_S)))
            for child in pairs[state]:
                child.stdin.write("go\n")
                child.stdin.flush()
            both.append(sum(int(child.stdout.readline()) for child in pairs[state]) / SECONDS)
    for child in (child for pair in pairs.values() for child in pair):
        child.stdin.close()
        child.wait()
    return figures


def _child(path: Path, state: str) -> Any:
    command = [sys.executable, "-m", "benchmarks.spinning", str(path), CHILD, state]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    return child


def _serve(path: Path, state: str) -> None:
    session = open_graph(path, state)
    call(session, 0.5)
    print("ready", flush=True)
    for _ in sys.stdin:
        print(len(call(session, SECONDS)), flush=True)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The graph and the number of rounds; `--child` is how the benchmark starts its own processes."""
    parser.add_argument("--graph", type=Path, help="ONNX file. Default: the packaged fashion-image.")
    parser.add_argument("--rounds", type=int, default=7, help="Rounds, both settings in each. Default: 7.")


def measure_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Per question the median, least and most of each setting, and the ratio of the medians."""
    graph = options.graph or ModelStore.at(defaults.STORE).resolve("fashion-image").path("model.onnx")
    rounds = measure(graph, 2 if options.quick else options.rounds)
    return {
        question: {
            **{state: _summary(values) for state, values in by_state.items()},
            "sleeping_to_spinning": statistics.median(by_state[SLEEPING])
            / statistics.median(by_state[SPINNING]),
        }
        for question, by_state in rounds.items()
    }


def _summary(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


if __name__ == "__main__":
    if CHILD in sys.argv:
        _serve(Path(sys.argv[1]), sys.argv[3])
    else:
        run("spinning", __doc__, measure_settings, add_options)
