PYTHON ?= python3
BIN := .venv/bin
LOCKS := edge cloud torch-cpu torch-cuda

# The data set that some tests, benchmarks and the report need, where it lies beside the clone.
ifneq ($(wildcard ../shared/cifar10),)
export SPLITWIRE_DATA ?= $(abspath ../shared/cifar10)
endif
ifneq ($(wildcard ../shared/groceries),)
export SPLITWIRE_GROCERIES ?= $(abspath ../shared/groceries)
endif

.PHONY: help demo test slow check docs format accuracy heads bench cuts tails two-nodes load throughput peer overload soak hostile faults performance fuzz golden report lock bounds clean

help:  ## show what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 18

demo: .venv/demo.installed  ## start a cloud on loopback, classify a photograph, stop
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/demo

test: .venv/dev.installed  ## run all tests but the slow ones (some need ../shared/cifar10, or what SPLITWIRE_DATA names)
	$(BIN)/pytest -n 3 -m 'not slow' $(PYTEST_ARGS)

slow: .venv/dev.installed  ## run the tests that take long or want the machine for themselves
	$(BIN)/pytest -m slow $(PYTEST_ARGS)

check: .venv/dev.installed  ## lint, formatting, types, direction of imports, containers' and Kubernetes' files, locks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml docker-compose.gpu.yml
	$(BIN)/hadolint cloud/Dockerfile edge/Dockerfile
	$(BIN)/pytest --quiet -k schemas tests/e2e/test_kubernetes.py
	$(BIN)/python scripts/check-locks

docs: .venv/dev.installed  ## build the site in build/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

format: .venv/dev.installed  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

accuracy: .venv/dev.installed  ## classify 1,000 test pictures with edge-client and a cloud on loopback
	$(BIN)/python -m tests.e2e.accuracy

two-nodes: .venv/dev.installed  ## both containers' commands across a slow link, cut once (root, Linux, SPLITWIRE_DATA)
	$(BIN)/python -m tests.e2e.two_nodes

load:  ## all of the following six, each written to build/load
	@$(MAKE) --keep-going throughput peer overload soak hostile faults

throughput: .venv/peer.installed  ## pictures a second at 64 connections, beside the ceilings (needs wrk; another bundle: BUNDLE=path)
	$(BIN)/python -m tests.load.throughput $(BUNDLE)

peer: .venv/peer.installed  ## the same tail behind LitServe, same client and cores (needs wrk)
	$(BIN)/python -m tests.load.peer

overload: .venv/dev.installed  ## twice the capacity for 60 seconds
	$(BIN)/python -m tests.load.overload

soak: .venv/dev.installed  ## 100,000 requests: errors and memory (needs wrk)
	$(BIN)/python -m tests.load.soak

hostile: .venv/dev.installed  ## 100,000 malformed bodies, 1,000 broken connections, schemathesis
	$(BIN)/python -m tests.load.hostile

faults: .venv/dev.installed  ## kill -9, a full disk, damaged bundles
	$(BIN)/python -m tests.load.faults

performance: .venv/dev.installed  ## write what these measured into docs/performance.md
	$(BIN)/python -m tests.load.document

fuzz: .venv/dev.installed  ## 100,000 damaged and random frames against every codec
	$(BIN)/pytest -p no:cacheprovider tests/property/test_hostile_bytes.py --hypothesis-profile=fuzz

heads: .venv/dev.installed  ## compare the answers of ncnn and torch on 1,000 test pictures
	$(BIN)/python -m tests.e2e.heads

bench: .venv/dev.installed  ## time the codecs, and a device from file to answer (needs SPLITWIRE_DATA)
	$(BIN)/python -m tests.bench.codecs
	$(BIN)/python -m tests.bench.device

cuts: .venv/dev.installed  ## take every cut of six networks from picture to answer; goes on where it was stopped
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench.cuts

tails: .venv/peer.installed  ## time ways to run a tail: torch, compiled, packed, ONNX Runtime, OpenVINO
	$(BIN)/python -m tests.bench.tails

report: .venv/dev.installed  ## write docs/report (needs SPLITWIRE_DATA; as root it checks the model of time too)
	$(BIN)/python -m splitwire.report --out docs/report

golden: .venv/dev.installed  ## write tests/golden anew: only for a new wire format or new weights
	$(BIN)/python -m tests.golden

bounds: .venv/dev.installed  ## the tests of cloud and device with the lowest and the highest versions allowed
	@$(MAKE) --keep-going lowest-direct.bounds highest.bounds

# These versions come before those of .venv; all but torch and timm, which needs it, with what they need: torch is large.
%.bounds:
	rm -rf build/$*
	$(BIN)/python scripts/requirements cloud | grep -v '^torch' | $(OVERLAY) -r -
	$(BIN)/python scripts/requirements cloud networks | grep -E '^(torch|timm)' | $(OVERLAY) --no-deps -r -
	PYTHONPATH=$(CURDIR)/build/$* $(BIN)/pytest -p no:cacheprovider tests/cloud tests/edge \
	  tests/models/test_packed.py tests/models/test_cuts.py tests/models/test_named_networks.py

OVERLAY = $(BIN)/uv pip install --python $(BIN)/python --target build/$* --resolution $*

lock: $(LOCKS:%=requirements/%.txt)  ## the newest versions that pyproject.toml allows, for the images

requirements/edge.txt: .venv/dev.installed FORCE
	$(BIN)/python scripts/requirements | $(COMPILE)

requirements/cloud.txt: .venv/dev.installed FORCE
	$(BIN)/python scripts/requirements cloud | grep -v '^torch' | $(COMPILE)

requirements/torch-cpu.txt: requirements/cloud.txt
	$(BIN)/python scripts/requirements cloud | grep '^torch' | $(COMPILE) --constraints $< --torch-backend cpu

requirements/torch-cuda.txt: requirements/cloud.txt
	$(BIN)/python scripts/requirements cloud networks | grep -E '^(torch|timm)' | $(COMPILE) --constraints $<

COMPILE = $(BIN)/uv pip compile --quiet --upgrade --config-file requirements/uv.toml --output-file $@ -

FORCE:

clean:  ## remove the virtual environment and what tools left
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

.venv/%.installed: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --disable-pip-version-check -e '.[$*]'
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo "Python's venv is missing: on Debian, apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv
