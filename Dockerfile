# With a CPU-only torch; with CUDA: --build-arg TORCH_INDEX=https://pypi.org/simple
FROM python:3.12-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

# Triton compiles what the kernels' launchers are made of, on machines with a GPU.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc=4:* libc6-dev=2.* \
    && rm -rf /var/lib/apt/lists/*

RUN pip install --no-cache-dir "torch>=2.11" "torchvision>=0.26" --index-url "$TORCH_INDEX"

COPY . /src
RUN pip install --no-cache-dir /src && rm -rf /src

RUN useradd --create-home --uid 1000 bench && mkdir /work && chown bench /work
USER 1000
WORKDIR /work
ENTRYPOINT ["regmix-bench"]
CMD ["--help"]
