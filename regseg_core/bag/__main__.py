"""`python -m regseg_core.bag WHAT`: recorded drives through the network, offline."""

from __future__ import annotations

import sys

from regseg_core.annotation.commands import (
    add_export_options,
    add_import_options,
    run_export,
    run_import,
)
from regseg_core.bag.commands import add_label_options, add_mine_options, run_label, run_mine
from regseg_core.cli import add_debug_option, command_parser, errors_in_one_line

_PARTS = {
    "label": ("a bag -> a bag with its labels", add_label_options, run_label),
    "mine": ("bags -> a pool of frames worth labelling", add_mine_options, run_mine),
    "export": ("a pool -> CVAT or Label Studio", add_export_options, run_export),
    "import": ("what they made of it -> a data set", add_import_options, run_import),
}


def main(arguments: list[str] | None = None) -> None:
    """Ends with 1 where anything was amiss, which is said, but no more is lost than that."""
    parser = command_parser("bag", __doc__)
    what = parser.add_subparsers(dest="what", required=True)
    for name, (title, add_options, _) in _PARTS.items():
        part = what.add_parser(name, help=title, description=title)
        add_options(part)
        add_debug_option(part)
    options = parser.parse_args(arguments)
    with errors_in_one_line(options.debug):
        amiss = _PARTS[options.what][2](options)
    if amiss:
        sys.exit("\n".join(f"error: {line}" for line in amiss))


if __name__ == "__main__":
    main()
