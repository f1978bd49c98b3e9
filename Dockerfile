# Two images from one recipe:
#   docker build --target cpu -t thumbstream:cpu .    (the default)
#   docker build --target gpu -t thumbstream:gpu .    (run with --gpus all)
#
# Both stand on Debian's slim image and its Python 3.11, one of those that the tests run on. The gpu
# image takes CUDA and cuDNN from the same wheels as `make install`; only the driver comes from the
# host. A pip configuration of your own (a mirror, a certificate) goes in as a build secret and stays
# out of the image:
#   docker build --secret id=pip,src=$HOME/.config/pip/pip.conf .
#
# `make check-image` builds the cpu image without a daemon, measures it and runs it.

FROM debian:bookworm-slim AS base
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# Debian's patches are wanted, so no version is pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/*


FROM base AS builder
ENV PIP_CONFIG_FILE=/run/secrets/pip \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/pip \
    && python3 -m venv --without-pip /opt/thumbstream
WORKDIR /src
COPY . .
RUN --mount=type=secret,id=pip \
    --mount=type=cache,target=/root/.cache/pip \
    /opt/pip/bin/pip wheel --no-deps --wheel-dir /wheels .


# pip compiles the modules while it installs them: the running file system is read-only.
# Removed are tests, type stubs, tools for builds, and the library of ONNX Runtime's C interface: the
# Python module has its own copy.
FROM builder AS cpu-venv
RUN --mount=type=secret,id=pip \
    --mount=type=cache,target=/root/.cache/pip \
    /opt/pip/bin/pip --python /opt/thumbstream/bin/python install \
        --require-hashes --requirement requirements-image-cpu.txt \
    && /opt/pip/bin/pip --python /opt/thumbstream/bin/python install \
        --no-deps /wheels/thumbstream-*.whl \
    && packages=/opt/thumbstream/lib/python3.11/site-packages \
    && rm -rf "$packages"/onnxruntime/capi/libonnxruntime.so.* \
        "$packages"/onnxruntime/quantization "$packages"/onnxruntime/tools \
        "$packages"/onnxruntime/transformers "$packages"/numpy/distutils "$packages"/numpy/f2py \
    && find "$packages" -type d -name tests -prune -exec rm -rf {} + \
    && find "$packages" -type f \( -name '*.pyi' -o -name '*.h' -o -name '*.pyx' -o -name '*.pxd' \) \
        -delete


FROM builder AS gpu-venv
RUN --mount=type=secret,id=pip \
    --mount=type=cache,target=/root/.cache/pip \
    /opt/pip/bin/pip --python /opt/thumbstream/bin/python install \
        --require-hashes --requirement requirements-image-gpu.txt \
    && /opt/pip/bin/pip --python /opt/thumbstream/bin/python install \
        --no-deps /wheels/thumbstream-*.whl


FROM base AS runtime
LABEL org.opencontainers.image.title="thumbstream" \
      org.opencontainers.image.description="One stored byte stream per picture, any prefix of which is a preview." \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 thumbstream \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /data \
        --shell /usr/sbin/nologin thumbstream \
    && install --directory --owner=10001 --group=10001 --mode=0750 /data
# Two arenas: glibc keeps one for each of many threads otherwise, and decoded pictures pile up in them.
ENV PATH=/opt/thumbstream/bin:$PATH \
    MALLOC_ARENA_MAX=2 \
    ORT_DISABLE_TELEMETRY=1 \
    THUMBSTREAM_HOST=0.0.0.0 \
    THUMBSTREAM_PORT=8000 \
    THUMBSTREAM_STORE=sqlite:////data/thumbstream.db
COPY --chmod=0755 deploy/backup_sqlite.py deploy/healthcheck.py /usr/local/bin/
WORKDIR /data
VOLUME /data
EXPOSE 8000
USER 10001:10001
STOPSIGNAL SIGTERM
# Podman and Buildah drop HEALTHCHECK from images in the OCI format: build with `--format docker`, or
# run with `--health-cmd healthcheck.py`. docker-compose.yml has a check of its own, and Kubernetes
# its probes.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["healthcheck.py"]
CMD ["thumbstream", "serve"]


FROM runtime AS gpu
# The NVIDIA container runtime brings the driver's compute libraries and nvidia-smi in.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=gpu-venv /opt/thumbstream /opt/thumbstream


FROM runtime AS cpu
COPY --from=cpu-venv /opt/thumbstream /opt/thumbstream
