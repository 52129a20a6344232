# Perennial with all that a learner, a server and MLflow's and Prefect's servers need: one image for every service of
# compose.yaml.
#
#   docker build --tag perennial:0.1.0 .
#   docker build --tag perennial:0.1.0 --build-arg TORCH_INDEX=ADDRESS .
#
# ADDRESS is the index that PyTorch's installation page names for a CPU, or for a release of CUDA. Without one, pip takes
# PyTorch's default build for Linux, which runs on NVIDIA GPUs and on CPUs, and is about 3 GB larger than the one for CPUs.
FROM python:3.11.13-slim-bookworm AS build
ARG TORCH_INDEX=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/perennial
WORKDIR /src
COPY constraints.txt ./
RUN /opt/perennial/bin/pip install --constraint constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
COPY pyproject.toml README.md LICENSE ./
COPY cl/ cl/
COPY flows/ flows/
RUN /opt/perennial/bin/pip install --constraint constraints.txt '.[demo,postgres,s3,server]'

FROM python:3.11.13-slim-bookworm
# the folders are those that compose.yaml mounts volumes on, which take over their owner
RUN useradd --uid 1000 --create-home perennial \
    && install --directory --owner perennial /srv/secrets /srv/project
COPY --from=build /opt/perennial /opt/perennial
COPY deploy/make_secrets.sh deploy/settings.yaml /srv/deploy/
ENV PATH=/opt/perennial/bin:$PATH \
    DO_NOT_TRACK=true \
    MLFLOW_DISABLE_TELEMETRY=true \
    PREFECT_SERVER_ANALYTICS_ENABLED=false
USER perennial
WORKDIR /srv/project
CMD ["cl", "--help"]
