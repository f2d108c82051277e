# make demo [SOURCE=folder|video]   a camera, the node and a recorder; writes demo/demo.mp4, demo.png
# make check                       formatting, lint, types and the fast tests: two minutes
# make test                        that, and the tests that start processes, compile and train
# make test-slow                   the tests that take minutes each
# make soak                        two cameras and faults for 20 minutes; writes soak/soak.png
# make test-tensorrt               Torch-TensorRT takes the graph whole (6 GB of packages, no GPU)
# make bench [DATA=folder]         the node over DDS and the graph on this machine's CPU: 10 minutes
# make bench-gpu [DATA=folder]     is every backend right on this machine's GPU, and how fast: 25 minutes
# make train-gpu [DATA=folder]     1,000 epochs of the shipped recipe; go on by calling it again
# make format                      puts the code into our format

SOURCE ?= street
# Real images where they are at hand.
DATA ?= $(if $(wildcard ../shared/camvid),../shared/camvid,street)
PYTHON := .venv/bin/python

# Processes of one thread each, for two cores; where nodes and compilers are waited for, one more.
PYTEST := $(PYTHON) -m pytest --dist loadgroup --numprocesses

# Of train-gpu.
OUT ?= runs/gpu
EPOCHS ?= 1000

.PHONY: demo check test test-slow soak test-tensorrt bench bench-gpu train-gpu format clean

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

bench: .venv/complete
	$(PYTHON) -m regseg_ros.benchmark --cases latency overload idle first gap memory company sweep \
	    --data "$(DATA)" --out benchmarks/results
	$(PYTHON) -m regseg_core.benchmark graph --device cpu --cases 512x1024x1 --frames 100 \
	    --budget 160 --data "$(DATA)" --out benchmarks/results

# With the python3 of a GPU machine, which has a PyTorch of its own; nothing is installed.
bench-gpu:
	python3 -m regseg_core.benchmark graph --out benchmarks/results --data "$(DATA)"

format: .venv/complete
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

train-gpu:
	python3 -m regseg_core.train --config config/train/camvid480.yaml --data "$(DATA)" \
	    --out "$(OUT)" --dataset.train '[train,val]' --dataset.workers "$(shell nproc)" \
	    --epochs $(EPOCHS) --validate_every $(EPOCHS) --precision bfloat16 \
	    $(if $(wildcard $(OUT)/last.ckpt),--resume)

.venv/complete: $(wildcard requirements/*.txt) scripts/make_venv.sh
	scripts/make_venv.sh

.venv-tensorrt/complete: .venv/complete requirements/base.txt requirements/tensorrt.txt scripts/make_tensorrt_venv.sh
	scripts/make_tensorrt_venv.sh

clean:
	rm -rf .venv .venv-tensorrt build install log demo soak
