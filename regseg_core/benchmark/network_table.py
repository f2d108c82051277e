"""What was found of each network, and the table of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

#: What the others are compared with.
OURS = "regseg48"


@dataclass
class Row:
    """A network at one size; times in milliseconds a frame, from and to the host's memory."""

    network: str
    height: int
    width: int
    #: Parameters that inference uses, and multiply-adds of its convolutions.
    parameters: int
    multiply_adds: float
    times: dict[str, float] = field(default_factory=dict)
    #: Mean IoU in percent and epochs of the short training; None without one.
    miou: float | None = None
    epochs: int | None = None
    #: What could not be measured, and why.
    left_out: list[str] = field(default_factory=list)

    @property
    def best(self) -> tuple[str, float]:
        """The fastest backend and its time."""
        return min(self.times.items(), key=lambda entry: entry[1])


def table(rows: Sequence[Row]) -> str:
    """Markdown, one line a network and size; ratios are to OURS by the same backend."""
    ways = list(dict.fromkeys(way for row in rows for way in row.times))
    scored = any(row.miou is not None for row in rows)
    head = ["network", "size", "parameters, M", "multiply-adds, G"]
    head += [f"{way}, ms (/ {OURS})" for way in ways] + ["mIoU", "epochs"] * scored
    lines = [head, ["---"] * len(head)]
    for row in rows:
        same = [r for r in rows if (r.height, r.width) == (row.height, row.width)]
        ours = next((r.times for r in same if r.network == OURS), {})
        cells = [
            row.network,
            f"{row.height} x {row.width}",
            f"{row.parameters / 1e6:.2f}",
            f"{row.multiply_adds / 1e9:.1f}",
        ]
        for way in ways:
            time_here = row.times.get(way)
            ratio = f" ({time_here / ours[way]:.2f})" if time_here and way in ours else ""
            cells.append("" if time_here is None else f"{time_here:.1f}{ratio}")
        if scored:
            cells += ["" if row.miou is None else f"{row.miou:.1f}", str(row.epochs or "")]
        lines.append(cells)
    left_out = [f"\nLeft out: {row.network}, {why}" for row in rows for why in row.left_out]
    return "\n".join([*(f"| {' | '.join(cells)} |" for cells in lines), *left_out])
