"""All networks beside one another on this machine: size, cost, speed, score."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

from regseg_core.backends.base import Job
from regseg_core.backends.choose import candidates
from regseg_core.backends.spec import GraphSpec
from regseg_core.benchmark.machine import machine_folder
from regseg_core.benchmark.network_table import Row, table
from regseg_core.benchmark.roofline import costs
from regseg_core.benchmark.variants import BASELINE, Variant, variants, works
from regseg_core.data.synthetic import SyntheticStreets
from regseg_core.device import choose_device, device_title
from regseg_core.files import write_bytes
from regseg_core.labels import CAMVID
from regseg_core.model import create_model
from regseg_core.model.registry import NETWORKS
from regseg_core.weights import ModelCard, find_weights, save_weights

#: Seconds of calls of one network by one backend before the next one's turn.
_TURN = 0.3


def run(
    device_name: str,
    out: Path | None,
    names: Sequence[str] | None = None,
    sizes: Sequence[tuple[int, int]] = ((512, 1024),),
    rounds: int = 5,
) -> list[Row]:
    """Measures networks in interleaved rounds, prints a table, writes JSON, and plots with it.

    `names`: None for all; `sizes`: heights and widths. Weights are fresh: speed does not depend on
    them. What cannot be opened is left out, and said.
    """
    device = choose_device(device_name)
    title = device_title(device)
    backends = {BASELINE, *(backend.name for backend in candidates("auto", device)[0])}
    ways = [variant for variant in variants(device) if variant.name in backends]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for height, width in sizes:
            size_rows, calls = _opened(
                names or list(NETWORKS), (height, width), ways, device, Path(folder)
            )
            for (row, way), times in _timed(calls, rounds).items():
                size_rows[row].times[way] = statistics.median(times)
            rows += size_rows.values()
    write(rows, title, out)
    return rows


Calls = dict[tuple[str, str], Callable[[], object]]


def _opened(
    names: Sequence[str],
    size: tuple[int, int],
    ways: Sequence[Variant],
    device: torch.device,
    folder: Path,
) -> tuple[dict[str, Row], Calls]:
    """Rows without times, and what is to be timed, by network and backend."""
    rows: dict[str, Row] = {}
    calls: Calls = {}
    half = "float16" if device.type == "cuda" else "bfloat16"
    frames = torch.from_numpy(SyntheticStreets(1, size[1], size[0])[0][0]).flip(2)[None]
    for name in (bar := tqdm(names, desc=f"opening for {size[0]} x {size[1]}")):
        bar.set_postfix_str(name)
        torch.manual_seed(0)
        network = create_model(name, len(CAMVID))
        path = folder / f"{name}.safetensors"
        save_weights(path, network, ModelCard(name, CAMVID))
        network.drop_training_heads()
        parameters = sum(p.numel() for p in network.parameters())
        parts = costs(network.eval(), 1, *size)
        rows[name] = Row(name, *size, parameters, sum(part.multiply_adds for part in parts))
        job = Job(*find_weights(path), GraphSpec("bgr8", *size, precision=half), device)
        for way in ways:
            try:
                _, call, _ = works(way.make(job), frames.contiguous(), device, way.staged)
                call()
            except Exception as error:  # the next one may work
                rows[name].left_out.append(f"{way.name}: {error}")
                tqdm.write(f"left out: {name} by {way.name}: {error}")
            else:
                calls[name, way.name] = call
    return rows, calls


def _timed(calls: Calls, rounds: int) -> dict[tuple[str, str], list[float]]:
    """Milliseconds of each call, in rounds over all of them."""
    times: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
    for _ in tqdm(range(rounds), desc="rounds"):
        for key, call in calls.items():
            ends = time.perf_counter() + _TURN
            while (started := time.perf_counter()) < ends:
                call()
                times[key].append(1e3 * (time.perf_counter() - started))
    return times


def write(rows: Sequence[Row], title: str, out: Path | None) -> None:
    """Prints the table; into `out/<device>/` it writes JSON, the table, and plots."""
    text = table(rows)
    print(text)
    if out is None:
        return
    folder = machine_folder(out, title)
    found = {"device": title, "torch": torch.__version__, "rows": [asdict(row) for row in rows]}
    write_bytes(folder / "networks.json", (json.dumps(found, indent=1) + "\n").encode())
    write_bytes(folder / "networks.md", f"Measured on {title}.\n\n{text}\n".encode())
    try:
        from regseg_core.benchmark.network_plots import draw
    except ImportError as error:
        print(f"no plots: {error}")
    else:
        draw(rows, title, folder)
