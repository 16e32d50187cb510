# The interface of this project: `make up`, `make preview`, `make predict`, `make destroy`, `make test`, `make check`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3.11
STACK ?= dev
MINUTES ?= 10
RECIPES ?= $(wildcard models/*/recipe.yaml)
ARGS :=
# Each worker that comes to an end-to-end test starts a platform of its own.
WORKERS ?= 2
PYTEST = pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv
LOCKS := requirements.txt requirements-dev.txt requirements-policy.txt requirements-uv.txt
AUDITED := $(wildcard requirements*.txt local/plugins/requirements.txt)
READY := $(VENV)/.ready
COMPILED := --generate-hashes --no-emit-index-url --python-version 3.11 --override requirements-overrides.in
SHELL_SCRIPTS := .ci/run local/node/boot.sh local/node/start.sh provider/pulumi-resource-modelstack
GO_SOURCES := $(wildcard local/go/*/*.go)
# Vetting a package compiles all it imports: minutes for CoreDNS, as long as its build for Kubernetes.
VETTED ?= pause

# Programs start in half the time from bytecode; it lies beside .venv's packages, not among the sources.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/bytecode

.PHONY: help up preview destroy predict gates watch revert built
.PHONY: test soak test-unit test-e2e test-gpu
.PHONY: bench-optimize bench-bake bench-serve bench-gpu bench-cold bench-scale
.PHONY: check lint typecheck shell-lint go-vet rust-lint ci-lint audit secrets check-cosign
.PHONY: native lock clean-venv venv

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

venv: $(READY) ## Make .venv, the environment of the program and its checks

$(READY): $(LOCKS)
	@echo "making $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "PYTHON: $(PYTHON) is older than 3.11; run make PYTHON=python3.11")'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	@$(UV) pip install --quiet --python $(PY) --require-hashes --no-deps -r requirements.txt -r requirements-dev.txt -r requirements-policy.txt
	@touch $@

gates: $(READY) ## Steps and gates of RECIPES (all models); pushes and deploys nothing
	@python="$$($(PY) -m model_build.environment)"; \
	    for recipe in $(RECIPES); do "$$python" -m model_build build --recipe "$$recipe"; done

up: $(READY) ## Start what STACK needs, then `pulumi up`
	@$(PY) -m ops up --stack $(STACK) -- $(ARGS)

preview: $(READY) ## `pulumi preview` of STACK
	@$(PY) -m ops preview --stack $(STACK) -- $(ARGS)

destroy: $(READY) ## `pulumi destroy` of STACK
	@$(PY) -m ops destroy --stack $(STACK) -- $(ARGS)

predict: $(READY) ## Send every held-out sample through the endpoints of STACK
	@$(PY) -m ops predict --stack $(STACK)

watch: $(READY) ## The same again and again for MINUTES after a deployment; fails after two bad rounds
	@$(PY) -m ops watch --stack $(STACK) --minutes $(MINUTES) $(ARGS)

revert: $(READY) ## `pulumi up` of the commit that STACK ran before this one
	@$(PY) -m ops revert --stack $(STACK)

# Once for all tests, and told: a test that waited for it would run into its own time limit.
built: $(READY)
	@$(PY) -m local build
	@$(PY) -m model_build.environment >/dev/null

test: built ## Every test but the long ones; starts an embedded platform of its own and removes it
	@$(PY) -m $(PYTEST) -m "not soak and not gpu" $(ARGS)

soak: built ## The long tests: rollouts, scaling and KServe on real pods, bad requests by the hundred thousand
	@$(PY) -m local build rollouts metrics-server keda
	@$(PY) -m tests.provider.kserve
	@$(PY) -m pytest -m "soak and not gpu" $(ARGS)

test-unit: $(READY) ## The tests that need neither root nor a cluster
	@$(PY) -m $(PYTEST) -m "not e2e and not build and not soak and not gpu" $(ARGS)

test-e2e: built ## The tests on the embedded platform
	@$(PY) -m $(PYTEST) -m "(e2e or build) and not soak and not gpu" $(ARGS)

test-gpu: $(READY) ## The server on an NVIDIA GPU of this machine
	@$(PY) -m benchmarks.gpu.machine
	@$(PY) -m pytest -m gpu tests/gpu $(ARGS)

bench-optimize: $(READY) ## Models of this project against onnxruntime fp32, torch eager and other optimizers
	@$$($(PY) -m model_build.environment) -m benchmarks.optimize $(ARGS)

bench-bake: $(READY) ## 1 GiB of fresh weights into a local registry, beside curl, docker, buildah and crane
	@$(PY) -m benchmarks.bake $(ARGS)

bench-serve: $(READY) ## This project's server beside other people's and a loop over the session (ARGS=--stacks: bare web stacks)
	@$$($(PY) -m model_build.environment) -m benchmarks.serve $(ARGS)

bench-gpu: $(READY) ## This project's server on an NVIDIA GPU beside the same server on the CPU
	@$(PY) -m benchmarks.gpu $(ARGS)

bench-cold: $(READY) ## From a pod to its first right answer on a node without the image, of the running stack's digits
	@$(PY) -m benchmarks.cold $(ARGS)

bench-scale: $(READY) ## Stacks of 1, 10 and 100 models on a platform of their own, beside as many resources that do nothing
	@$(PY) -m benchmarks.scale $(ARGS)

native: $(READY) ## Build the server's native module into .venv, where a local server finds it
	@$(PY) -m model_build.native $$($(PY) -c 'import sysconfig; print(sysconfig.get_path("platlib"))')

check-cosign: $(READY) ## This project and a real cosign (COSIGN=path) about each other's signatures
	@$(PY) -m tests.cosign $(COSIGN)

check: lint typecheck shell-lint go-vet rust-lint ci-lint secrets ## ruff, mypy --strict, shellcheck, go vet, clippy, actionlint, zizmor, secrets

lint: $(READY)
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

typecheck: $(READY)
	@$(VENV)/bin/mypy .

shell-lint: $(READY)
	@$(VENV)/bin/shellcheck $(SHELL_SCRIPTS)

go-vet:
	@test -z "$$(gofmt -l $(GO_SOURCES))" || { gofmt -l $(GO_SOURCES); echo "run gofmt -w on these"; exit 1; }
	@for module in $(VETTED); do \
	    (cd local/go/$$module && GOFLAGS=-mod=readonly GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0 go vet .); \
	done

# No interpreter is asked, as in a build (model_build/native.py).
rust-lint:
	@if ! command -v cargo >/dev/null; then echo "cargo is not installed: model_server/native/ is not checked"; exit 0; fi; \
	    cd model_server/native && cargo fmt --check && PYO3_NO_PYTHON=1 PYO3_BUILD_EXTENSION_MODULE=1 \
	    cargo clippy --quiet --locked --target-dir ../../$(VENV)/native-target -- -D warnings

ci-lint: $(READY)
	@$(PY) -m tests.ci.lint

# An answer that some package has no advisories of its own counts as a failure: a registry's mirror serves none.
audit: $(READY) ## Known vulnerabilities of what the locks pin
	@for lock in $(AUDITED); do \
	    echo "$$lock"; $(VENV)/bin/pip-audit --strict --progress-spinner off --disable-pip --require-hashes -r $$lock; \
	done

secrets: $(READY)
	@git ls-files -z | grep -zvE '(^requirements.*\.txt$$|^tests/ops/previews/|requirements\.txt$$|go\.sum$$|Cargo\.lock$$|package-lock\.json$$|^tests/components/golden/kserve/|\.secrets\.baseline$$)' \
	    | xargs -0 $(VENV)/bin/detect-secrets-hook --baseline .secrets.baseline

lock: $(READY) ## Compile every requirements*.in, with hashes
	@for name in requirements requirements-dev requirements-build requirements-tensorflow requirements-hosts requirements-uv; do \
	    $(UV) pip compile --quiet $(COMPILED) $$name.in -o $$name.txt; \
	done
	@$(UV) pip compile --quiet $(COMPILED) \
	    --python-platform x86_64-unknown-linux-gnu requirements-image.in -o requirements-image.txt
	@$(UV) pip compile --quiet $(COMPILED) \
	    --python-platform x86_64-manylinux_2_34 requirements-image-gpu.in -o requirements-image-gpu.txt
	@$(UV) pip compile --quiet $(COMPILED) --no-emit-package protobuf --no-emit-package typing-extensions \
	    --python-platform x86_64-manylinux_2_34 requirements-image-grpc.in -o requirements-image-grpc.txt
	@$(UV) pip compile --quiet --no-deps $(COMPILED) requirements-policy.in -o requirements-policy.txt
	@$(UV) pip compile --quiet $(COMPILED) \
	    local/plugins/requirements.in -o local/plugins/requirements.txt
	@for server in triton torchserve; do \
	    $(UV) pip compile --quiet --no-deps $(COMPILED) \
	        tests/model_build/$$server/requirements.in -o tests/model_build/$$server/requirements.txt; \
	done
	@for other in kserve atheris; do \
	    $(UV) pip compile --quiet $(COMPILED) \
	        tests/model_server/$$other/requirements.in -o tests/model_server/$$other/requirements.txt; \
	done

clean-venv: ## Remove .venv and the other environments
	@rm -rf $(VENV) .venv-*
