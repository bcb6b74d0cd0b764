#!/usr/bin/env bash
# Everything that an accelerator makes faster, in under eight minutes; see benchmarks/gpu.py.
#   benchmarks/gpu.sh                              on the accelerator that torch finds
#   benchmarks/gpu.sh --base Qwen2.5-0.5B --write  LoRA, DPO and serving of that model; the lines are kept below benchmarks/results
#   benchmarks/gpu.sh --device cpu --quick         every step in small, where there is none
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
[ -x "$(command -v "$python")" ] || python=python3
exec "$python" -m benchmarks.gpu "$@"
