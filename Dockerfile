# Fireside in a container: docker build -t fireside .
# Where a GPU shall be used, name an index with CUDA builds of torch: --build-arg TORCH_INDEX=https://...

ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
# The packages first: a change of the source alone installs none of them again.
COPY pyproject.toml constraints.txt ./
COPY scripts scripts
RUN TORCH_INDEX="${TORCH_INDEX}" \
    python -m scripts.setup_environment --venv /opt/fireside --project absent
COPY LICENSE THIRD_PARTY_NOTICES.md README.md ./
COPY config config
COPY bench bench
COPY adapters adapters
COPY bot bot
RUN python -m scripts.setup_environment --venv /opt/fireside --project copied

FROM ${PYTHON_IMAGE}
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data fireside \
    && install --directory --owner=fireside --group=fireside /data /models
COPY --from=build /opt/fireside /opt/fireside
# The home folder is the data volume.
ENV PATH=/opt/fireside/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    HOME=/data \
    FIRESIDE_DATA_DIR=/data \
    FIRESIDE_MODELS_DIR=/models
USER 10001:10001
WORKDIR /data
VOLUME ["/data", "/models"]
CMD ["fireside", "run"]
