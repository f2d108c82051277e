"""The parts `export` and `import` of `python -m regseg_core.bag`."""

from __future__ import annotations

import argparse
from pathlib import Path

from regseg_core.annotation.exchange import TOOLS, export_pool, import_pool


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """What `run_export` asks for."""
    parser.add_argument("pool", type=Path, help="folder with images, labels and labels.yaml")
    parser.add_argument("--to", choices=TOOLS, required=True, help="what it is for")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, new or empty")
    parser.add_argument("--split", help="which split of the pool, where it has several")
    parser.add_argument(
        "--image-root",
        help="labelstudio: what stands before the images' names; default: its URL of local files",
    )


def run_export(options: argparse.Namespace) -> list[str]:
    """Nothing can be amiss that is not an error. Raises as `export_pool` does."""
    count = export_pool(options.pool, options.to, options.out, options.split, options.image_root)
    print(f"wrote {count} images' labels to {options.out}")
    return []


def add_import_options(parser: argparse.ArgumentParser) -> None:
    """What `run_import` asks for."""
    parser.add_argument(
        "sources",
        nargs="+",
        type=Path,
        help="what CVAT (.xml, .zip) or Label Studio (.json) exported, or folders",
    )
    parser.add_argument("--pool", type=Path, required=True, help="the pool that was exported")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder to write: new, or a data set of the same classes that gets another split",
    )
    parser.add_argument("--split", help="which split of the pool, where it has several")
    parser.add_argument("--out-split", help="the split to write; default: the pool's")


def run_import(options: argparse.Namespace) -> list[str]:
    """Nothing can be amiss that is not an error. Raises as `import_pool` does."""
    made = import_pool(options.sources, options.pool, options.out, options.split, options.out_split)
    print(
        f"wrote {made.images} images to {options.out}, {made.changed} of them with other labels"
        " than in the pool"
    )
    return []
