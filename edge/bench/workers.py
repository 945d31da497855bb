"""Processes that run networks: in this environment or in another one, whose runtime this one cannot have."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hw.errors import BundleError, ConfigError

__all__ = ["RUNTIMES", "Runtime", "Worker", "find_runtimes", "open_worker"]

# By the format that they read; the first of a format is what the rig uses.
RUNTIMES = {"ai-edge-litert": "tflite", "tflite-runtime": "tflite", "onnxruntime": "onnx"}

_SCRIPT = Path(__file__).with_name("worker.py")
# As the script itself would start, but for its folder, whose modules must not be found as anybody's.
_START = (
    "import runpy, sys; sys.path[:] = [p for p in sys.path if p]; "
    "runpy.run_path(sys.argv[1], run_name='__main__')"
)


@dataclass(frozen=True, slots=True)
class Runtime:
    """A library that runs networks, in an environment.

    Attributes
    ----------
    name : of its package
    python : the interpreter of its environment
    version : of the package
    """

    name: str
    python: str
    version: str

    @property
    def reads(self) -> str:
        """The format that it reads: `tflite` or `onnx`."""
        return RUNTIMES[self.name]

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"


class Worker:
    """A process with one runtime loaded; it is asked one thing at a time.

    Attributes
    ----------
    loaded : its answer to the request to load the runtime
    """

    def __init__(self, python: str, name: str, errors: IO[str]) -> None:
        self._errors = errors
        self._title = f"{name} of {python}"
        try:
            self._process = subprocess.Popen(
                [python, "-c", _START, str(_SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        except OSError as error:
            raise ConfigError(
                f"{python}: cannot be started ({error.strerror}); give --python an interpreter"
            ) from error
        try:
            self.loaded = self.ask({"do": "load", "runtime": name})
        except BaseException:
            self.close()
            raise

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request as `edge.bench.worker` explains and return the answer.

        Raises
        ------
        BundleError
            The runtime refuses, or its process has died over it.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            status = self._process.wait()
            raise BundleError(f"{self._title}: its process died (status {status}{self._last_words()})")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BundleError(f"{self._title}: {answer['error']}")
        return answer

    def open(self, model: Path, threads: int, asks: int, seed: int = 0) -> dict[str, Any]:
        """Open a model and ask it once."""
        return self.ask({"do": "open", "model": str(model), "threads": threads, "asks": asks, "seed": seed})

    def run(self, model: int, seconds: float, *, least: int = 1, bare: bool = False) -> dict[str, Any]:
        """Ask an opened model again and again; `bare` without giving it inputs and taking its outputs."""
        return self.ask({"do": "run", "model": model, "seconds": seconds, "least": least, "bare": bare})

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().splitlines() if line.strip()]
        return f": {lines[-1]}" if lines else ""


@contextmanager
def open_worker(runtime: Runtime) -> Iterator[Worker]:
    """Start a process with a runtime, and end it afterwards.

    Raises
    ------
    BundleError
        The runtime cannot be loaded.
    """
    with _started(runtime.python, runtime.name) as worker:
        yield worker


@contextmanager
def _started(python: str, name: str) -> Iterator[Worker]:
    with ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace"))
        worker = Worker(python, name, errors)
        stack.callback(worker.close)
        yield worker


def find_runtimes(pythons: Sequence[str] = ()) -> tuple[list[Runtime], list[str]]:
    """Look which runtimes there are, here and in other environments.

    Parameters
    ----------
    pythons : interpreters of other environments

    Returns
    -------
    list of Runtime
        Those that can be loaded, each from the first environment that has it in its version.
    list of str
        What was not found, and why, a line each.

    Raises
    ------
    ConfigError
        An interpreter cannot be started, or has no runtime at all.
    """
    found, missing = _runtimes_of(sys.executable)
    for python in pythons:
        theirs, reasons = _runtimes_of(python)
        missing += reasons
        if not theirs:
            raise ConfigError(
                f"{python}: has none of {', '.join(RUNTIMES)} ({reasons[0]}); install one there or leave the "
                "option out"
            )
        here = {(runtime.name, runtime.version) for runtime in found}
        found += [runtime for runtime in theirs if (runtime.name, runtime.version) not in here]
    return found, missing


def _runtimes_of(python: str) -> tuple[list[Runtime], list[str]]:
    found, missing = [], []
    for name in RUNTIMES:
        try:
            with _started(python, name) as worker:
                found.append(Runtime(name, python, worker.loaded["version"]))
        except BundleError as error:
            missing.append(str(error))
    return found, missing
