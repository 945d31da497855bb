"""Runs networks in a process of its own and tells how long that took; started by `edge.bench.workers`.

It stands alone, for it runs in other environments too, whose runtimes need another Python or another numpy:
it imports the standard library, numpy and the runtime that it is asked for, and keeps to what Python 3.9 can
read. Requests come as lines of JSON on stdin, answers go the same way to stdout. It asks for the time itself:
what it measures is too short to be seen from another process.

    {"do": "load", "runtime": R}                     -> {"import_s", "version", "peak_kb"}
    {"do": "open", "model": PATH, "threads": N,
     "asks": N, "seed": N}                           -> {"model", "load_s", "first_s", "peak_kb"}
    {"do": "run", "model": K, "seconds": S,
     "least": N, "bare": false}                      -> {"ms": [...], "cpu_s", "peak_kb"}
    {"do": "close", "model": K}                      -> {}

An answer with `error` says what a runtime has refused.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

# By the name of the package: the module and the class in it.
RUNTIMES = {
    "ai-edge-litert": ("ai_edge_litert.interpreter", "Interpreter"),
    "tflite-runtime": ("tflite_runtime.interpreter", "Interpreter"),
    "onnxruntime": ("onnxruntime", "InferenceSession"),
}


class Opened:
    """A network that can be asked."""

    def __init__(self, ask: Callable[[], None], bare: Callable[[], None]) -> None:
        self.ask = ask
        self.bare = bare


def peak_kb() -> int:
    """Return the most memory that this program has held, in KiB.

    From the kernel's high-water mark: `ru_maxrss` of a child begins with what its parent held.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    except OSError:
        pass
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def random_input(shape: Any, dtype: Any, random: np.random.Generator) -> Any:
    """Return an input of random numbers, as a camera's noise would be."""
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        # Wide integers are places and lengths, of which only 0 is always one.
        if kind.itemsize > 1:
            return np.zeros(shape, kind)
        return random.integers(limits.min, limits.max, shape, kind, endpoint=True)
    return random.normal(size=shape).astype(kind)


def open_tflite(make: Any, request: dict[str, Any]) -> Opened:
    """Open a TFLite model in one of the two interpreters."""
    interpreter = make(model_path=request["model"], num_threads=request["threads"])
    interpreter.allocate_tensors()
    random = np.random.default_rng(request["seed"])
    sinks = [tensor["index"] for tensor in interpreter.get_output_details()]
    given = [
        (tensor["index"], random_input(tensor["shape"], tensor["dtype"], random))
        for tensor in interpreter.get_input_details()
    ]

    def fill() -> None:
        for index, values in given:
            interpreter.set_tensor(index, values)

    def ask() -> None:
        for _ in range(request["asks"]):
            fill()
            interpreter.invoke()
            for index in sinks:
                interpreter.get_tensor(index)

    fill()
    return Opened(ask, interpreter.invoke)


def open_onnx(make: Any, request: dict[str, Any]) -> Opened:
    """Open an ONNX model; axes without a length have one of 1."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request["threads"]
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = make(request["model"], options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(request["seed"])
    types = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}
    given = {
        node.name: random_input(
            [n if isinstance(n, int) and n > 0 else 1 for n in node.shape], types[node.type], random
        )
        for node in session.get_inputs()
    }

    def once() -> None:
        session.run(None, given)

    def ask() -> None:
        for _ in range(request["asks"]):
            once()

    return Opened(ask, once)


def measure(ask: Callable[[], None], seconds: float, least: int) -> dict[str, Any]:
    """Ask again and again for some seconds."""
    clock = time.perf_counter
    took = []
    # All threads, of the program and of the kernel for it.
    cpu_s = time.process_time()
    end = clock() + seconds
    while True:
        begin = clock()
        ask()
        now = clock()
        took.append((now - begin) * 1e3)
        if now >= end and len(took) >= least:
            break
    return {"ms": took, "cpu_s": time.process_time() - cpu_s, "peak_kb": peak_kb()}


def main() -> None:
    """Answer requests until there are no more."""
    # A runtime may print; that must not end up between the answers.
    answers = sys.stdout
    sys.stdout = sys.stderr
    clock = time.perf_counter
    make: Any = None
    runtime = ""
    models: dict[int, Opened] = {}
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            begin = clock()
            if request["do"] == "load":
                runtime = request["runtime"]
                module, name = RUNTIMES[runtime]
                make = getattr(importlib.import_module(module), name)
                answer = {"import_s": clock() - begin, "version": metadata.version(runtime)}
            elif request["do"] == "open":
                opener = open_onnx if runtime == "onnxruntime" else open_tflite
                opened = opener(make, request)
                loaded = clock()
                opened.ask()
                number = max(models, default=0) + 1
                models[number] = opened
                answer = {"model": number, "load_s": loaded - begin, "first_s": clock() - loaded}
            elif request["do"] == "run":
                opened = models[request["model"]]
                ask = opened.bare if request["bare"] else opened.ask
                answer = measure(ask, request["seconds"], request["least"])
            else:
                del models[request["model"]]
            answer["peak_kb"] = peak_kb()
        except Exception as error:  # whatever a runtime refuses is an answer
            answer = {"error": f"{type(error).__name__}: " + " ".join(str(error).split())}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
