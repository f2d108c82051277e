"""The benchmark's processes: a request is a line of JSON on stdin, its answer one on stdout."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from regseg_ros.benchmark.costs import Memory, memory, processor_seconds
from regseg_ros.benchmark.load import BenchmarkError

#: Seconds for an answer: an engine may have to be compiled before it.
PATIENCE = 240.0


def serve(answers: Mapping[str, Callable[..., object]]) -> None:
    """Answers requests until stdin ends, which it does with the benchmark at the latest."""
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(answers[request.pop("ask")](**request)), flush=True)


def serve_beside(answers: Mapping[str, Callable[..., object]]) -> threading.Event:
    """The same in a thread of its own; the event is set when that ends: with stdin, or an error."""
    ended = threading.Event()

    def work() -> None:
        try:
            serve(answers)
        finally:
            ended.set()

    threading.Thread(target=work, name="answering", daemon=True).start()
    return ended


class Process:
    """A program of this checkout in a process of its own; its stderr goes to a file.

    `serves`: whether it answers requests, and ends with its stdin; others are interrupted.
    """

    def __init__(
        self,
        title: str,
        arguments: list[str],
        environment: Mapping[str, str],
        log: Path,
        serves: bool = True,
    ) -> None:
        self.title, self._log, self._serves = title, log, serves
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                start_new_session=True,
            )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def tell(self, what: str, **values: object) -> None:
        """Asks without waiting; `answer` waits. Raises BenchmarkError where it has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write((json.dumps({"ask": what, **values}) + "\n").encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._gone() from None

    def answer(self) -> Any:
        """To the oldest request without one. Raises BenchmarkError."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            raise BenchmarkError(f"the {self.title} has not answered for {PATIENCE:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise self._gone()
        try:
            return json.loads(line)
        except ValueError:
            raise BenchmarkError(f"the {self.title} has answered {line!r}") from None

    def ask(self, what: str, **values: object) -> Any:
        """Asks and waits. Raises BenchmarkError."""
        self.tell(what, **values)
        return self.answer()

    def check(self) -> None:
        """Raises BenchmarkError where the process has ended."""
        if self._process.poll() is not None:
            raise self._gone()

    def said(self) -> str:
        """What it has written on stderr."""
        return self._log.read_text(errors="replace")

    @property
    def processor_seconds(self) -> float:
        """That all its threads have used."""
        return processor_seconds(self._process.pid)

    @property
    def memory(self) -> Memory:
        """What it takes now, and the most so far."""
        return memory(self._process.pid)

    def stop(self) -> None:
        """Ends it, in order where it can."""
        assert self._process.stdin is not None and self._process.stdout is not None
        if not self._serves and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _gone(self) -> BenchmarkError:
        self._process.wait()
        last = "\n".join(self.said().splitlines()[-5:])
        return BenchmarkError(f"the {self.title} has ended: {last or 'it said nothing'}")
