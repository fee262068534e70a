# docker build -t moganet .
# docker build -t moganet:cpu --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .
# docker run --gpus all --shm-size 8g -v "$PWD/data:/moganet/data" moganet train retinanet_moganet_s
FROM python:3.12-slim

# other builds of torch: for the CPU, or another CUDA; empty: PyPI's, for the newest CUDA
ARG TORCH_INDEX=
ARG TORCH=

WORKDIR /moganet
COPY . .
RUN python requirements/install.py --venv /opt/moganet --for train \
        --torch "$TORCH" --torch-index "$TORCH_INDEX" \
    && rm -rf /root/.cache/pip

ENV PATH=/opt/moganet/bin:$PATH
ENTRYPOINT ["moganet-dense"]
CMD ["--help"]
