"""Every backend on this machine: first whether it is right, then how fast, against the roofline."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from regseg_core.arrays import Image
from regseg_core.backends.base import Job
from regseg_core.backends.eager import Eager
from regseg_core.backends.spec import GraphSpec
from regseg_core.benchmark.checks import Check, questions
from regseg_core.benchmark.machine import machine_folder
from regseg_core.benchmark.roofline import Device, costs, measure_device, roof
from regseg_core.benchmark.timing import at_once, device_times, host_times, waited
from regseg_core.benchmark.variants import AUTOCAST, Variant, variants, works
from regseg_core.data.opening import open_split
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.device import choose_device, device_title
from regseg_core.files import write_bytes
from regseg_core.labels import CAMVID
from regseg_core.model import create_model
from regseg_core.weights import find_weights

#: Heights, widths and batches, the most telling first.
CASES = (
    (1024, 2048, 1),
    (512, 1024, 1),
    (1024, 2048, 4),
    (512, 1024, 8),
    (512, 1024, 4),
    (1024, 2048, 8),
)

#: Images that labels are compared on.
IMAGES = 20


@dataclass(frozen=True)
class Row:
    """One measurement; times in milliseconds a batch."""

    variant: str
    height: int
    width: int
    batch: int
    #: Of the graph alone, by the GPU's clock over many replays (a CPU's: the host's, each).
    graph_median: float
    graph_p95: float
    #: The same by the host's clock, each waited for.
    graph_wall_median: float
    graph_wall_p95: float
    #: From the host's memory to the host's memory, by the host's clock.
    copies_median: float
    copies_p95: float
    #: The same by two callers at once: the time between two results.
    two_callers: float
    #: An estimate of the least time, by bytes and multiply-adds; caches are left out.
    roof: float
    #: Share of pixels with the label of float32 on the CPU.
    agreement: float
    #: Seconds until it could run.
    opening: float
    #: Whether it was replayed as a CUDA graph.
    recorded: bool


@dataclass
class Results:
    """What was found so far, written to a file whenever something is added."""

    device: str
    measured: Device
    path: Path | None
    checks: list[Check] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    #: What was not measured, and why.
    left_out: list[str] = field(default_factory=list)

    def note(self, thing: Check | Row | str) -> None:
        """Keeps and prints it."""
        if isinstance(thing, Check):
            self.checks.append(thing)
            verdict = "yes" if thing.passed else "NO"
            tqdm.write(f"{thing.backend:10} {thing.question}: {verdict}, {thing.found}")
        elif isinstance(thing, Row):
            self.rows.append(thing)
            tqdm.write(_line(thing, self.rows))
        else:
            self.left_out.append(thing)
            tqdm.write(f"left out: {thing}")
        if self.path is not None:
            table = {
                "device": self.device,
                "torch": torch.__version__,
                "measured": asdict(self.measured),
                "checks": [asdict(check) for check in self.checks],
                "rows": [{**asdict(row), **_ratios(row, self.rows)} for row in self.rows],
                "left_out": self.left_out,
            }
            write_bytes(self.path, (json.dumps(table, indent=1) + "\n").encode())


def run(
    device_name: str,
    out: Path | None,
    cases: Sequence[tuple[int, int, int]] | None = None,
    seconds: float = 0.8,
    budget: float = 1500.0,
    data: str = "street",
    frames: int = 1000,
) -> Results:
    """Checks and measures, and writes JSON after each row and plots into `out/<device>/`.

    `cases`: heights, widths and batches, None for `CASES`; `seconds`: of each measurement;
    `budget`: seconds after which nothing new is begun; `data`: the data set whose images labels
    are compared on; `frames`: those that alternate in size while memory is watched.
    """
    ends = time.monotonic() + budget
    device = choose_device(device_name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    title = device_title(device)
    limits = measure_device(device)
    print(
        f"{title}: {limits.bandwidth / 1e9:.0f} GB/s copied, {limits.rate / 1e12:.2f} T"
        f" multiply-adds/s in half precision, PyTorch {torch.__version__}"
    )
    folder = None if out is None else machine_folder(out, title)
    results = Results(title, limits, None if folder is None else folder / "graph.json")
    with tempfile.TemporaryDirectory() as engines:
        asked = list(questions(device, _images(data), Path(engines), frames))
        for question in tqdm(asked, desc="checks"):
            if time.monotonic() >= ends:
                results.note(f"{question.backend} {question.text}: no time left")
                continue
            try:
                results.note(question.ask())
            except Exception as error:  # the next one may work
                results.note(Check(question.backend, question.text, f"failed: {error}", False))
    chosen = CASES if cases is None else cases
    planned = [(case, variant) for case in chosen for variant in variants(device)]
    took: dict[str, float] = {}
    measured = {case: _Case(case, limits) for case in chosen}
    for case, variant in tqdm(planned, desc="measurements"):
        begun = time.monotonic()
        # As long as it took at another size; the first of a kind may be cut off.
        if begun + took.get(variant.name, 0.0) > ends:
            results.note(f"{variant.name} at {_title(case)}: no time left")
            continue
        try:
            results.note(_measure(variant, measured[case], device, seconds))
        except Exception as error:  # the next one may work
            results.note(f"{variant.name} at {_title(case)}: {error}")
        took[variant.name] = time.monotonic() - begun
    if folder is not None and results.rows:
        _plot(results, folder)
        print(f"wrote {folder}")
    return results


class _Case:
    """What is the same for all variants: made at the first of them."""

    def __init__(self, sizes: tuple[int, int, int], limits: Device) -> None:
        self.sizes, self._limits = sizes, limits

    def job(self, device: torch.device, precision: str) -> Job:
        height, width, batch = self.sizes
        spec = GraphSpec("bgr8", height, width, batch, precision=precision)
        return Job(*find_weights("regseg48-camvid"), spec, device)

    @cached_property
    def frames(self) -> Tensor:
        height, width, batch = self.sizes
        streets = SyntheticStreets(batch, width, height)
        rgb = torch.stack([torch.from_numpy(streets[index][0]) for index in range(batch)])
        return rgb.flip(3).contiguous()

    @cached_property
    def exact(self) -> Tensor:
        """Labels of float32 on the CPU."""
        return Eager().build(self.job(torch.device("cpu"), "float32"))(self.frames)[0]

    @cached_property
    def roof(self) -> float:
        """In ms."""
        height, width, batch = self.sizes
        parts = costs(create_model("regseg48", 11), batch, height, width)
        moved = self.frames.numel() * 4 / 3  # the labels come back
        return 1e3 * roof(parts, moved, self._limits)


def _measure(variant: Variant, case: _Case, device: torch.device, seconds: float) -> Row:
    frames, exact = case.frames, case.exact
    half = "float16" if device.type == "cuda" else "bfloat16"
    begun = time.monotonic()
    # As PyTorch is set by itself for published code, and as ours sets it.
    with torch.backends.cudnn.flags(enabled=True, benchmark=variant.staged):
        compiled = variant.make(case.job(device, half))
        labels = compiled(frames.to(device))[0].cpu()
        on_device, from_host, recorded = works(compiled, frames, device, variant.staged)
        opening = time.monotonic() - begun
        return Row(
            variant.name,
            *case.sizes,
            *device_times(on_device, device, seconds),
            *host_times(waited(on_device, device), seconds),
            *host_times(from_host, seconds),
            at_once(from_host, seconds),
            case.roof,
            float((labels == exact).float().mean()),
            opening,
            recorded,
        )


def _images(data: str) -> list[Image]:
    split = open_split(data, "val", CAMVID)
    return [split[index][0] for index in islice(range(len(split)), IMAGES)]


def _title(case: tuple[int, int, int]) -> str:
    return "{} x {} x {}".format(*case)


def _ratios(row: Row, rows: list[Row]) -> dict[str, Any]:
    same = [r for r in rows if (r.height, r.width, r.batch) == (row.height, row.width, row.batch)]
    base = next((r for r in same if r.variant == AUTOCAST), None)
    return {
        "times_the_roof": row.graph_median / row.roof,
        "times_faster_than_autocast": base and base.graph_median / row.graph_median,
        "frames_per_second": 1e3 * row.batch / row.copies_median,
    }


def _line(row: Row, rows: list[Row]) -> str:
    ratios = _ratios(row, rows)
    faster = ratios["times_faster_than_autocast"]
    return (
        f"{row.height:5} x {row.width:4} x {row.batch}  {row.variant:32}"
        f" graph {row.graph_median:8.3f} ms (p95 {row.graph_p95:8.3f}; host"
        f" {row.graph_wall_median:8.3f})  with copies {row.copies_median:8.3f}"
        f" (p95 {row.copies_p95:8.3f}; two callers {row.two_callers:8.3f})"
        + (f"  {faster:5.2f} x autocast" if faster else "")
        + f"  roof {row.roof:6.3f}, {ratios['times_the_roof']:5.1f} times it"
        f"  agrees {100 * row.agreement:.2f} %  opened in {row.opening:.0f} s"
        + ("  recorded" if row.recorded else "")
    )


def _plot(results: Results, folder: Path) -> None:
    try:
        from regseg_core.figures import draw_bars, save_figure
    except ImportError as error:
        print(f"no plots: {error}")
        return
    for case in dict.fromkeys((row.height, row.width, row.batch) for row in results.rows):
        bars = {
            f"{row.variant}{suffix}": [row.batch * 1e3 / value]
            for row in results.rows
            if (row.height, row.width, row.batch) == case
            for suffix, value in (("", row.graph_median), (" + copies", row.copies_median))
        }
        figure = draw_bars(bars, "frames per second", f"{_title(case)}, {results.device}")
        save_figure(folder / f"graph-{case[0]}x{case[1]}-batch{case[2]}.png", figure)
