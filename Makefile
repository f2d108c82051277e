# make demo [SOURCE=folder|video]   a camera, the node and a recorder; writes demo/demo.mp4, demo.png
# make check                       formatting, lint, types and the fast tests: under a minute
# make test                        that, and the tests that start processes, compile and train
# make test-slow                   the tests that take minutes each
# make soak                        two cameras and faults for 20 minutes; writes soak/soak.png
# make test-tensorrt               Torch-TensorRT takes the graph whole (6 GB of packages, no GPU)
# make bench-gpu                   parity and speed of every backend on this machine's GPU
# make format                      puts the code into our format

SOURCE ?= street
PYTHON := .venv/bin/python

# Processes of one thread each, for two cores; where nodes and compilers are waited for, one more.
PYTEST := $(PYTHON) -m pytest --dist loadgroup --numprocesses

.PHONY: demo check test test-slow soak test-tensorrt bench-gpu format clean

demo: .venv/complete
	$(PYTHON) -m regseg_ros.demo "$(SOURCE)"

check: .venv/complete
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	$(PYTEST) 2 -m "not integration and not slow"

test: check
	$(PYTEST) 3 -m "integration and not slow"

test-slow: .venv/complete
	$(PYTEST) 3 -m slow

soak: .venv/complete
	PYTHONPATH=.:test/support $(PYTHON) scripts/soak.py

test-tensorrt: .venv-tensorrt/complete
	.venv-tensorrt/bin/python -m pytest test/tensorrt

# With the python3 of a GPU machine, which has a PyTorch of its own; nothing is installed.
bench-gpu:
	python3 -m regseg_core.benchmark gpu --out benchmarks/results

format: .venv/complete
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

.venv/complete: $(wildcard requirements/*.txt) scripts/make_venv.sh
	scripts/make_venv.sh

.venv-tensorrt/complete: .venv/complete requirements/base.txt requirements/tensorrt.txt scripts/make_tensorrt_venv.sh
	scripts/make_tensorrt_venv.sh

clean:
	rm -rf .venv .venv-tensorrt build install log demo soak
