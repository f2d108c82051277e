"""What a case has found: rows with their aims, kept in a file after each and shown as a table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from regseg_core.files import write_bytes
from regseg_ros.benchmark.figures import Figures

Value = float | int | str


@dataclass(frozen=True)
class Aim:
    """What is wanted of one figure; a figure that misses it is said, and nothing fails."""

    what: str
    found: float
    limit: float
    at_least: bool = False

    @property
    def reached(self) -> bool:
        """Whether it is at most the limit; at least, where that is wanted."""
        return self.found >= self.limit if self.at_least else self.found <= self.limit

    def __str__(self) -> str:
        wanted = "at least" if self.at_least else "at most"
        verdict = "reached" if self.reached else "NOT reached"
        return f"{self.what}: {self.found:.2f}, aim {wanted} {self.limit:g}: {verdict}"


@dataclass(frozen=True)
class Row:
    """One measurement of a case."""

    case: str
    title: str
    values: Mapping[str, Value]
    aims: Sequence[Aim] = ()

    @classmethod
    def of(cls, case: str, title: str, figures: Figures, aims: Sequence[Aim] = ()) -> Row:
        """All figures of a load."""
        return cls(case, title, asdict(figures), aims)


@dataclass
class Rows:
    """All that was found so far; `path`: of the JSON file, and of a table beside it."""

    machine: str
    path: Path | None = None
    rows: list[Row] = field(default_factory=list)

    def note(self, row: Row) -> None:
        """Keeps and prints it. Raises FileError."""
        self.rows.append(row)
        print(f"{row.case}: {row.title}")
        print("    " + ", ".join(f"{name} {shown(value)}" for name, value in row.values.items()))
        for aim in row.aims:
            print(f"    {aim}", flush=True)
        if self.path is not None:
            found = [
                {
                    **asdict(row),
                    "values": {name: _kept(value) for name, value in row.values.items()},
                    "reached": [aim.reached for aim in row.aims],
                }
                for row in self.rows
            ]
            table = {"machine": self.machine, "rows": found}
            write_bytes(self.path, (json.dumps(table, indent=1) + "\n").encode())
            write_bytes(self.path.with_suffix(".md"), (self.markdown() + "\n").encode())

    def markdown(self) -> str:
        """Tables of the aims, of what all loads have, and of what other rows have."""
        parts = [f"Measured on {self.machine}."]
        if aims := [(row, aim) for row in self.rows for aim in row.aims]:
            lines = ["| case | what | found | aim | |", "|---|---|---|---|---|"]
            lines += [
                f"| {row.case}: {row.title} | {aim.what} | {aim.found:.2f}"
                f" | {'≥' if aim.at_least else '≤'} {aim.limit:g}"
                f" | {'reached' if aim.reached else '**not reached**'} |"
                for row, aim in aims
            ]
            parts.append("\n".join(lines))
        if loads := [row for row in self.rows if "p50" in row.values]:
            names = list(_COLUMNS)
            lines = [f"| case | {' | '.join(_COLUMNS.values())} |", "|---" * (len(names) + 1) + "|"]
            lines += [
                f"| {row.case}: {row.title} |"
                f" {' | '.join(shown(row.values[name]) for name in names)} |"
                for row in loads
            ]
            parts.append("\n".join(lines))
        for row in self.rows:
            if row not in loads:
                lines = [f"| {row.case}: {row.title} | |", "|---|---|"]
                lines += [f"| {name} | {shown(value)} |" for name, value in row.values.items()]
                parts.append("\n".join(lines))
        return "\n\n".join(parts)


_COLUMNS = {
    "backend": "backend",
    "sent": "sent",
    "masks": "masks",
    "dropped": "dropped",
    "lost": "lost",
    "throughput": "masks/s",
    "call": "call ms",
    "call_p95": "its p95",
    "p50": "p50 ms",
    "p95": "p95",
    "p99": "p99",
    "beyond": "beyond the call",
    "share": "share of 1/call",
    "node_cpu": "node CPU ms",
    "camera_cpu": "camera",
    "sink_cpu": "sink",
    "resident": "resident MiB",
    "proportional": "proportional",
    "private": "private",
    "peak": "peak",
}


def _kept(value: Value) -> Value | None:
    """JSON has no word for what is not a number."""
    return None if isinstance(value, float) and math.isnan(value) else value


def shown(value: Value) -> str:
    """A value as a table has it."""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)
