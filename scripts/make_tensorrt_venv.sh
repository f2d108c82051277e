#!/usr/bin/env bash
# Makes the virtual environment .venv-tensorrt: Torch-TensorRT for RTX with its CUDA PyTorch.
set -euo pipefail
cd "$(dirname "$0")/.."

rm -rf .venv-tensorrt
trap '[ -e .venv-tensorrt/complete ] || rm -rf .venv-tensorrt' EXIT
# The same Python as .venv's.
.venv/bin/python -m venv .venv-tensorrt
grep -v '^torch==' requirements/base.txt > .venv-tensorrt/base.txt
.venv-tensorrt/bin/python -m pip install --disable-pip-version-check \
    -r .venv-tensorrt/base.txt -r requirements/tensorrt.txt
touch .venv-tensorrt/complete
echo "== .venv-tensorrt is ready"
