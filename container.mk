# What needs Docker. PYTHON_IMAGE is the base; PIP_INDEX_URL, if set, the registry that the builds take packages from.
# KUBERNETES_LOAD brings images to the nodes of a test cluster, such as `kind load docker-image`; KUBERNETES_POD_API is
# HOST:PORT where pods find its API server, if they do not find it by themselves.
ACTIONLINT ?= go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
IMAGE ?= chirpstack-init-job
SIMULATOR_IMAGE ?= chirpstack-simulator
CURL_IMAGE ?= chirpstack-init-job-curl
PYTHON_IMAGE ?= python:3.15-alpine
BUILD := docker build --build-arg PYTHON_IMAGE=$(PYTHON_IMAGE) --build-arg PIP_INDEX_URL
CONTAINER_PYTEST = CONTAINER_TESTS=1 IMAGE=$(IMAGE) SIMULATOR_IMAGE=$(SIMULATOR_IMAGE) PYTHON_IMAGE=$(PYTHON_IMAGE) \
	$(BIN)/python -m pytest

image: engine ## build the container image as IMAGE, chirpstack-init-job unless set
	$(BUILD) --tag $(IMAGE) .

simulator-image: engine ## the simulated ChirpStack as a container image
	$(BUILD) --tag $(SIMULATOR_IMAGE) --file tests/container/simulator.Dockerfile .

STORES := $(VENV)/stores

test-container: $(READY) image simulator-image $(STORES)/.ready ## the tests that need Docker, with the image as users get it
	$(CONTAINER_PYTEST) -n 4 tests/container --ignore tests/container/test_swarm.py
	$(CONTAINER_PYTEST) tests/container/test_swarm.py

# The commands and servers of the secret stores, apart from what the project itself is made with.
$(STORES)/.ready: tests/container/stores.lock $(READY)
	$(BIN)/uv venv -q --clear $(STORES)
	$(BIN)/uv pip install -q --require-hashes --python $(STORES) --requirement $<
	@touch $@

test-kubernetes: $(READY) image simulator-image ## with a cluster: that of the current kubeconfig, whose pods need the two images
	$(BIN)/python -m tests.kubernetes.tools $(VENV)/tools
	$(if $(KUBERNETES_LOAD),$(KUBERNETES_LOAD) $(IMAGE) $(SIMULATOR_IMAGE))
	PATH="$(CURDIR)/$(VENV)/tools:$$PATH" KUBERNETES_TESTS=1 IMAGE=$(IMAGE) SIMULATOR_IMAGE=$(SIMULATOR_IMAGE) \
		$(BIN)/python -m pytest -n auto tests/kubernetes

test-official: $(READY) image ## end to end against the official image of CHIRPSTACK_VERSION, such as 3.17 or 4.12
	CHIRPSTACK_VERSION=$(CHIRPSTACK_VERSION) $(CONTAINER_PYTEST) tests/container/test_official.py

lint-container: $(READY) ## the workflows and what else describes containers; needs Go and Docker Compose, no engine
	$(CONTAINER_PYTEST) tests/container/test_files.py
	$(ACTIONLINT) .github/workflows/*.yml examples/github-actions.yml
	$(BIN)/zizmor --offline --quiet .github action.yml examples/github-actions.yml

bench-containers: $(PLOTS) image engine
	$(BUILD) --tag $(CURL_IMAGE) --file bench/curl_jq.Dockerfile bench
	IMAGE=$(IMAGE) CURL_IMAGE=$(CURL_IMAGE) PYTHON_IMAGE=$(PYTHON_IMAGE) $(BIN)/python -m bench

engine:
	@docker info >/dev/null 2>&1 || { echo "no Docker engine answers: install and start one (docker info tells more)" >&2; exit 1; }
	@docker compose version >/dev/null 2>&1 || { echo "docker has no compose: install Docker Compose 2.24.4 or later" >&2; exit 1; }
	@docker buildx version >/dev/null 2>&1 || { echo "docker has no buildx: install its plugin" >&2; exit 1; }

.PHONY: image simulator-image test-container test-kubernetes test-official lint-container bench-containers engine
