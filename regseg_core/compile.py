"""`python -m regseg_core.compile`: weights -> a compiled graph, checked if asked, in a file."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from regseg_core import zoo
from regseg_core.backends.base import BackendError, Building, Job, refuse_int8
from regseg_core.backends.cache import EngineCache, default_folder
from regseg_core.backends.choose import BACKENDS, portable
from regseg_core.backends.engine_file import EngineError, pack, read_identity, spec_of, unpack
from regseg_core.backends.openvino import OpenVino
from regseg_core.backends.spec import GraphSpec
from regseg_core.backends.store import EngineStore
from regseg_core.calibration import path_beside, read_calibration, write_calibration
from regseg_core.cli import add_weights_options, command_parser, errors_in_one_line, size
from regseg_core.data.labelled import refuse_unpaired
from regseg_core.data.opening import open_split
from regseg_core.device import choose_device
from regseg_core.encodings import ENCODINGS
from regseg_core.errors import ArgumentError
from regseg_core.evaluation.calibrating import calibrate
from regseg_core.evaluation.verify import compare
from regseg_core.files import check_writable, write_bytes
from regseg_core.precision import PRECISIONS
from regseg_core.rotation import ROTATIONS
from regseg_core.weights import find_weights


def compile_graph(job: Job, backend: str, gpus: tuple[str, ...] = ()) -> bytes:
    """The bytes of an engine file for a job, compiled in this process.

    Raises BackendError for a backend that makes no file, or cannot make this one.
    """
    chosen = portable(backend)
    refuse_int8(chosen, job)
    if gpus:  # this machine's GPU does not matter
        job = replace(job, device=torch.device("cpu"))
    how = Building(gpus, thorough=True, folder=default_folder())
    return pack(job.identity(chosen), chosen.payload(job, how))


def main(arguments: list[str] | None = None) -> None:
    parser = command_parser("compile", __doc__)
    add_weights_options(parser)
    parser.add_argument("--size", type=size, help="frames: HEIGHTxWIDTH, such as 1024x2048")
    parser.add_argument(
        "--network-size", type=size, help="that the network sees; default: that of the frames"
    )
    parser.add_argument("--batch", type=int, default=1, help="frames at once")
    parser.add_argument("--encoding", default="bgr8", choices=ENCODINGS, help="of the frames")
    parser.add_argument(
        "--rotation",
        type=int,
        default=0,
        choices=ROTATIONS,
        help="degrees clockwise that make the frames upright",
    )
    parser.add_argument("--confidence", action="store_true", help="also the label's probability")
    parser.add_argument(
        "--precision",
        default="float16",
        choices=PRECISIONS,
        help="of the network's weights and activations",
    )
    parser.add_argument("--backend", default="tensorrt", choices=BACKENDS, help="what compiles")
    parser.add_argument("--gpu", nargs="+", default=[], help="targets, such as sm_86 sm_89")
    parser.add_argument(
        "--calibrate",
        metavar="DATA",
        help="a folder of images, or a data set: measures what int8 needs on its training images,"
        " and writes it beside the weights",
    )
    parser.add_argument("--verify", help="data set; refuses a graph that scores worse than PyTorch")
    parser.add_argument("--split", default="val", help="split of the data set")
    parser.add_argument("-o", "--out", type=Path, help="file to write")
    parser.add_argument("--list", action="store_true", help="show the kept graphs and end")
    parser.add_argument("--clear", action="store_true", help="delete the kept graphs and end")
    options = parser.parse_args(arguments)
    with errors_in_one_line(options.debug):
        if options.list or options.clear:
            _kept(options.clear)
        elif options.calibrate:
            _calibrate(options)
        else:
            _compile(options)


def _compile(options: argparse.Namespace) -> None:
    if options.size is None or not (options.out or options.verify):
        raise ArgumentError("give --size HEIGHTxWIDTH, and -o FILE or --verify DATA")
    if options.gpu and not options.out:
        raise ArgumentError("--gpu is of a file: give -o FILE")
    height, width = options.size
    spec = GraphSpec(
        options.encoding,
        height,
        width,
        options.batch,
        options.network_size,
        options.confidence,
        options.precision,
        options.rotation,
    )
    card, path = find_weights(options.weights, options.model, options.labels)
    calibration = read_calibration(path) if options.precision == "int8" else None
    device = "cpu" if options.backend == OpenVino.name else "auto"
    job = Job(card, path, spec, choose_device(device), calibration)
    # All that can be known before a minute's work is looked at before it.
    if options.out:
        check_writable(options.out)
    if options.verify:
        BACKENDS[options.backend].check(job.device)
        images = open_split(options.verify, options.split, card.labels)
        refuse_unpaired(images)
    started = time.monotonic()
    with _clock(f"{options.backend}: {spec.title()}"):
        if options.out:
            data = compile_graph(job, options.backend, tuple(options.gpu))
        else:
            compiled = EngineStore().open(BACKENDS[options.backend], job)
    print(f"compiled in {time.monotonic() - started:.1f} s")
    if options.out and (options.verify or _runs_here(options, job)):
        # A file that does not load is worth nothing.
        compiled = portable(options.backend).load(unpack(data), job)
    if options.verify:
        report = compare(compiled, job, images)
        print(report)
        report.refuse_if_worse()
    if options.out:
        write_bytes(options.out, data)
        print(f"wrote {options.out}, {len(data) / 1e6:.1f} MB")


def _calibrate(options: argparse.Namespace) -> None:
    if options.out:
        raise ArgumentError("--calibrate writes beside the weights; then compile without it")
    if options.weights in zoo.names():
        raise ArgumentError(
            f"{options.weights} comes with its calibration; for another, copy the file of weights"
        )
    card, path = find_weights(options.weights, options.model, options.labels)
    check_writable(path_beside(path))
    labelled = None
    if options.verify:
        labelled = open_split(options.verify, options.split, card.labels)
        refuse_unpaired(labelled)
    calibration, report = calibrate(
        card, path, options.calibrate, labelled, options.size, options.network_size
    )
    print(f"measured {calibration.about['images']} images")
    print(report or "nothing says how it scores: --verify DATA does")
    print(f"wrote {write_calibration(path, calibration)}")


def _runs_here(options: argparse.Namespace, job: Job) -> bool:
    """Whether the file is for this machine, and what runs it is here."""
    if options.gpu:
        return False
    try:
        BACKENDS[options.backend].check(job.device)
    except BackendError:
        return False
    return True


@contextmanager
def _clock(title: str) -> Iterator[None]:
    """Shows for how long something has been going on that cannot say how far it is."""
    done = threading.Event()
    with tqdm(desc=title, bar_format="{desc} {elapsed}") as bar:

        def tick() -> None:
            while not done.wait(0.5):
                bar.refresh()

        ticking = threading.Thread(target=tick, daemon=True)
        ticking.start()
        try:
            yield
        finally:
            done.set()
            ticking.join()


def _kept(clear: bool) -> None:
    cache = EngineCache(default_folder())
    if clear:
        print(f"deleted {cache.clear()} from {cache.folder}")
    for path in cache.entries():
        try:
            identity = read_identity(path)
        except EngineError as error:
            print(error)
            continue
        title = spec_of(identity).title()
        made_by = " ".join(f"{name} {value}" for name, value in identity["made_by"].items())
        print(f"{path.name[:12]}  {path.stat().st_size / 1e6:6.1f} MB  {title}  {made_by}")


if __name__ == "__main__":
    main()
