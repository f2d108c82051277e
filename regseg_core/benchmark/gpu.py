"""Speed of every backend, with and without copies from and to the host, against the roofline."""

from __future__ import annotations

import json
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from regseg_core.backends.base import Compiled, Job
from regseg_core.backends.choose import BACKENDS
from regseg_core.backends.eager import Eager
from regseg_core.backends.spec import GraphSpec
from regseg_core.backends.staging import Staged
from regseg_core.backends.store import EngineStore
from regseg_core.benchmark.roofline import costs, measure_device, roof, wait_for
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.device import choose_device, device_title
from regseg_core.files import write_bytes
from regseg_core.graph import Normalize
from regseg_core.model import SegmentationNetwork, create_model
from regseg_core.weights import find_weights, load_weights

SIZES = ((512, 1024), (720, 960), (1024, 2048))
BATCHES = (1, 4)

CPU = torch.device("cpu")

#: What published code does: the network in float32, images as N x C x H x W.
BASELINE = "published-style eager float32"
AUTOCAST = "published-style eager autocast"


@dataclass(frozen=True)
class Row:
    """One measurement; times in milliseconds a batch."""

    variant: str
    height: int
    width: int
    batch: int
    #: Of the graph alone, by the GPU's clock (a CPU's: the host's).
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
    #: The least time by bytes and multiply-adds.
    roof: float
    #: Share of pixels with the label of float32.
    agreement: float


def run(
    device_name: str, out: Path | None, sizes: Sequence[tuple[int, int]] | None, seconds: float
) -> list[Row]:
    """Measures all variants, prints the table, and writes JSON and plots into `out/<device>/`.

    `sizes`: heights and widths, None for `SIZES`; `seconds`: of each measurement.
    """
    device = choose_device(device_name)
    chosen = SIZES if sizes is None else sizes
    if device.type == "cuda":
        torch.cuda.set_device(device)
    limits = measure_device(device)
    print(
        f"{device_title(device)}: {limits.bandwidth / 1e9:.0f} GB/s copied,"
        f" {limits.rate / 1e12:.2f} T multiply-adds/s in half precision,"
        f" PyTorch {torch.__version__}"
    )
    title = re.sub(r"\W+", "-", device_title(device).lower()).strip("-")
    folder = out / title if out is not None else None
    rows: list[Row] = []
    cases = list(product(chosen, BATCHES))
    for size, batch in tqdm(cases, desc="sizes"):
        frames = _frames(size, batch)
        parts = costs(create_model("regseg48", 11), batch, *size)
        moved = frames.numel() + frames.numel() / 3  # the labels come back
        least = 1e3 * roof(parts, moved, limits)
        exact: Tensor | None = None
        for name, compiled, ours in _variants(size, batch, device):
            labels = compiled(frames.to(device))[0].cpu()
            exact = labels if exact is None else exact
            on_device, from_host = _works(compiled, frames, device, ours)
            graph = _times(on_device, device, seconds)
            wall = _times(partial(_waited, on_device, device), CPU, seconds)
            copies = _times(from_host, CPU, seconds)
            two = _at_once(from_host, seconds)
            agreement = float((labels == exact).float().mean())
            height, width = size
            rows.append(
                Row(name, height, width, batch, *graph, *wall, *copies, two, least, agreement)
            )
            print(_line(rows[-1], rows))
        if folder is not None:  # each time: a later case may end the program
            table = {
                "device": device_title(device),
                "torch": torch.__version__,
                "measured": asdict(limits),
                "rows": [{**asdict(row), **_ratios(row, rows)} for row in rows],
            }
            write_bytes(folder / "graph.json", (json.dumps(table, indent=1) + "\n").encode())
    if folder is not None:
        _plot(rows, chosen, device_title(device), folder)
        print(f"wrote {folder}")
    return rows


def _plot(rows: list[Row], sizes: Sequence[tuple[int, int]], title: str, folder: Path) -> None:
    try:
        from regseg_core.figures import draw_bars, save_figure
    except ImportError as error:
        print(f"no plots: {error}")
        return
    for (height, width), batch in product(sizes, BATCHES):
        bars = {
            f"{row.variant}{suffix}": [row.batch * 1e3 / value]
            for row in rows
            if (row.height, row.width, row.batch) == (height, width, batch)
            for suffix, value in (
                ("", row.graph_median),
                (" + copies", row.copies_median),
                (" + copies, two callers", row.two_callers),
            )
        }
        figure = draw_bars(bars, "frames per second", f"{height} x {width}, batch {batch}, {title}")
        save_figure(folder / f"graph-{height}x{width}-batch{batch}.png", figure)


def _variants(
    size: tuple[int, int], batch: int, device: torch.device
) -> Iterator[tuple[str, Compiled, bool]]:
    """Name, what to call, and whether it runs as ours do: recorded and staged."""

    card, path = find_weights("regseg48-camvid")

    def job(precision: str) -> Job:
        spec = GraphSpec("bgr8", *size, batch=batch, precision=precision)
        return Job(card, path, spec, device)

    half = "float16" if device.type == "cuda" else "bfloat16"
    # As it was trained: its normalisation layers are still there.
    published = create_model(card.architecture, len(card.labels))
    load_weights(published, path)
    published.eval().to(device)
    yield BASELINE, _plain(published, None), False
    yield AUTOCAST, _plain(published, getattr(torch, half)), False
    yield f"eager channels-last {half}", Eager().build(job(half)), True
    for name in ("inductor", "tensorrt" if device.type == "cuda" else "openvino"):
        try:
            BACKENDS[name].check(device)
            yield f"{name} {half}", EngineStore().open(BACKENDS[name], job(half)), True
        except Exception as error:
            print(f"{name} is left out: {error}")


def _plain(network: SegmentationNetwork, autocast: torch.dtype | None) -> Compiled:
    normalize = Normalize(network.normalization).to(next(network.parameters()).device)

    def compiled(frames: Tensor) -> tuple[Tensor, ...]:
        enabled = autocast is not None
        with torch.inference_mode(), torch.autocast(frames.device.type, autocast, enabled=enabled):
            images = normalize(frames.flip(3).permute(0, 3, 1, 2)).contiguous()
            return (network(images).argmax(1).to(torch.uint8),)

    return compiled


def _works(
    compiled: Compiled, frames: Tensor, device: torch.device, ours: bool
) -> tuple[Callable[[], object], Callable[[], object]]:
    """The graph on frames that are on the device, and from and to the host's memory."""
    there = frames.to(device)
    if device.type == "cuda" and ours:
        staged = Staged(compiled, tuple(frames.shape), device)
        return staged.replay, lambda: staged(frames)
    # As published code does it: from ordinary memory, and back.
    return lambda: compiled(there), lambda: compiled(frames.to(device))[0].cpu()


def _times(work: Callable[[], object], device: torch.device, seconds: float) -> tuple[float, float]:
    """Median and 95th percentile in milliseconds."""
    for _ in range(3):
        work()
    found: list[float] = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends or len(found) < 10:
        if device.type == "cuda":
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            first.record()
            work()
            last.record()
            last.synchronize()
            found.append(first.elapsed_time(last))
        else:
            started = time.perf_counter()
            work()
            found.append(1e3 * (time.perf_counter() - started))
    return statistics.median(found), statistics.quantiles(found, n=20)[-1]


def _waited(work: Callable[[], object], device: torch.device) -> None:
    work()
    wait_for(device)


def _at_once(work: Callable[[], object], seconds: float, callers: int = 2) -> float:
    """Milliseconds a call when several threads call at once."""
    together = threading.Barrier(callers)

    def call(_: int) -> tuple[float, int]:
        for _ in range(5):  # each comes into a lane of its own, which is recorded
            together.wait(60)
            work()
        together.wait(60)
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < seconds or done < 5:
            work()
            done += 1
        return time.perf_counter() - started, done

    with ThreadPoolExecutor(callers) as threads:
        rates = [done / elapsed for elapsed, done in threads.map(call, range(callers))]
    return 1e3 / sum(rates)


def _frames(size: tuple[int, int], batch: int) -> Tensor:
    streets = SyntheticStreets(batch, size[1], size[0])
    rgb = torch.stack([torch.from_numpy(streets[index][0]) for index in range(batch)])
    return rgb.flip(3).contiguous()


def _ratios(row: Row, rows: list[Row]) -> dict[str, float]:
    same = [r for r in rows if (r.height, r.width, r.batch) == (row.height, row.width, row.batch)]
    base = next((r for r in same if r.variant == AUTOCAST), same[0])
    return {
        "times_the_roof": row.graph_median / row.roof,
        "times_faster_than_autocast": base.graph_median / row.graph_median,
    }


def _line(row: Row, rows: list[Row]) -> str:
    ratios = _ratios(row, rows)
    return (
        f"{row.height:5} x {row.width:4} x {row.batch}  {row.variant:32}"
        f" graph {row.graph_median:8.2f} ms (p95 {row.graph_p95:8.2f};"
        f" by the host {row.graph_wall_median:8.2f}, p95 {row.graph_wall_p95:8.2f})"
        f"  with copies {row.copies_median:8.2f} (p95 {row.copies_p95:8.2f};"
        f" two callers {row.two_callers:8.2f})"
        f"  {ratios['times_faster_than_autocast']:5.2f} x {AUTOCAST.split()[-1]}"
        f"  roof {row.roof:7.3f} ms, {ratios['times_the_roof']:5.1f} times it"
        f"  agrees {100 * row.agreement:.2f} %"
    )
