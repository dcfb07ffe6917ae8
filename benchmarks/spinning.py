"""Should a graph's waiting threads spin? `python -m benchmarks.spinning GRAPH [--rounds N] [--json FILE]`

Both settings are measured in turn within one run: a lone caller, back to back and with pauses, and two
processes at once, as the embedder and the ranker are on one machine. Read the ratios, not the absolutes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

PAUSE_S = 0.02
SECONDS = 1.5
SPINNING, SLEEPING = "spinning", "sleeping"
STATES = (SPINNING, SLEEPING)


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
    """Per question and setting one figure a round, the order turned round each time."""
    sessions = {state: open_graph(path, state) for state in STATES}
    pairs = {state: [_child(path, state) for _ in range(2)] for state in STATES}
    figures: dict[str, dict[str, list[float]]] = {
        name: {state: [] for state in STATES}
        for name in ("lone caller, ms", "lone caller with pauses, ms", "two processes, calls/s")
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
    command = [sys.executable, "-m", "benchmarks.spinning", str(path), "--child", state]
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


def _show(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("graph", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", choices=STATES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        _serve(given.graph, given.child)
        return
    figures = measure(given.graph, given.rounds)
    for name, found in figures.items():
        ratio = statistics.median(found[SLEEPING]) / statistics.median(found[SPINNING])
        spinning, sleeping = (_show(found[state]) for state in STATES)
        print(f"{name:30} spinning {spinning}  sleeping {sleeping}  ratio {ratio:.2f}")
    if given.json:
        given.json.write_text(json.dumps({"machine": os.cpu_count(), "figures": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
