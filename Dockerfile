# Two images from one file: `serve` runs the services and has no torch, `train` makes models.
# Any base with Python 3.11 or later does, pinned by its digest for builds that repeat:
#   --build-arg BASE_IMAGE=python:3.12-slim@sha256:…
# SERVING=serve-gpu takes the runtime with CUDA into `serve`, for a base with CUDA and cuDNN.
# An engine older than 23.0 needs DOCKER_BUILDKIT=1.
ARG BASE_IMAGE=python:3.12-slim
ARG SERVING=serve

FROM ${BASE_IMAGE} AS build
# hnswlib is built here: it is published as source only. It and our own library are built for any processor of
# the architecture, not for the one that builds.
RUN wanted="" \
 && { command -v g++ > /dev/null || wanted="g++"; } \
 && { [ -f "$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] \
      || wanted="$wanted python3-dev"; } \
 && if [ -n "$wanted" ]; then \
      { apt-get update && apt-get install -y --no-install-recommends $wanted && rm -rf /var/lib/apt/lists/*; } \
      || { echo "the base image lacks:" $wanted "and apt-get cannot install it: take a base that has it" >&2; exit 1; }; \
    fi
ENV HNSWLIB_NO_NATIVE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 UV_LINK_MODE=copy VIRTUAL_ENV=/opt/atelier
COPY requirements/installer.txt /src/requirements/
# A package index behind a private certificate authority: --secret id=ca,src=bundle.pem
RUN --mount=type=secret,id=ca \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi \
 && python3 -m venv /opt/installer \
 && /opt/installer/bin/pip install --quiet --require-hashes -r /src/requirements/installer.txt \
 && python3 -m venv --without-pip /opt/atelier

COPY docker/health_probe.cpp /src/docker/
RUN g++ -O2 -s -std=c++17 -static-libstdc++ -static-libgcc -o /opt/health-probe /src/docker/health_probe.cpp

FROM build AS build-serve
ARG SERVING
COPY requirements/${SERVING}.txt /src/requirements/
RUN --mount=type=secret,id=ca --mount=type=cache,id=uv-portable,target=/root/.cache/uv \
    if [ -f /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi \
 && /opt/installer/bin/uv pip install --no-config --compile-bytecode --require-hashes -r /src/requirements/${SERVING}.txt
COPY . /src
RUN --mount=type=secret,id=ca --mount=type=cache,id=uv-portable,target=/root/.cache/uv \
    if [ -f /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi \
 && /opt/installer/bin/uv pip install --no-config --compile-bytecode --no-deps /src

FROM build AS build-train
COPY requirements/train.txt /src/requirements/
RUN --mount=type=secret,id=ca --mount=type=cache,id=uv-portable,target=/root/.cache/uv \
    if [ -f /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi \
 && /opt/installer/bin/uv pip install --no-config --compile-bytecode --require-hashes -r /src/requirements/train.txt
# In place, because the trainer reads config/ beside its code.
COPY . /app
RUN --mount=type=secret,id=ca --mount=type=cache,id=uv-portable,target=/root/.cache/uv \
    if [ -f /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi \
 && /opt/installer/bin/uv pip install --no-config --no-deps --editable /app \
 && /opt/atelier/bin/python -m compileall -q /app

FROM ${BASE_IMAGE} AS runtime
RUN groupadd --gid 10001 atelier \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin atelier \
 && install -d -o atelier -g atelier /var/lib/atelier /var/lib/atelier/models /var/lib/atelier/cache \
      /var/lib/atelier/catalogue /var/lib/atelier/runs
ENV PATH=/opt/atelier/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 ORT_DISABLE_TELEMETRY=1 \
    ATELIER_STORE=/var/lib/atelier/models \
    ATELIER_CACHE=/var/lib/atelier/cache \
    ATELIER_CATALOGUE=/var/lib/atelier/catalogue
WORKDIR /var/lib/atelier
USER atelier

FROM runtime AS train
USER root
RUN ldconfig -p | grep -q 'libgomp\.so\.1' \
 || (apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*)
COPY --from=build-train /opt/atelier /opt/atelier
COPY --from=build-train /app /app
RUN install -d -o atelier -g atelier /app/models /app/logs /app/results
USER atelier
WORKDIR /app
ENV WANDB_MODE=offline HF_HOME=/tmp/huggingface MPLCONFIGDIR=/tmp/matplotlib
VOLUME ["/app/models", "/app/logs", "/app/results"]
# Item vectors of the tables in /app/data; what follows the image's name are further options of that run.
# Any other training is another entry point: --entrypoint atelier IMAGE artwork train …
ENTRYPOINT ["python", "-m", "trainer.items", "--config", "config/trainer.yml"]
# What models trained here state as their commit: --build-arg GIT_COMMIT=$(git rev-parse HEAD)
ARG GIT_COMMIT
ENV GIT_COMMIT=${GIT_COMMIT}
LABEL org.opencontainers.image.revision=${GIT_COMMIT}

FROM runtime AS serve
COPY --from=build-serve /opt/atelier /opt/atelier
COPY --from=build /opt/health-probe /usr/local/bin/health-probe
CMD ["atelier", "--help"]
ARG GIT_COMMIT
LABEL org.opencontainers.image.revision=${GIT_COMMIT}
