#!/usr/bin/env bash
# One command for a machine with an NVIDIA GPU, its driver's Vulkan, Node and a Python with PyTorch for CUDA: matrix products against cuBLAS, training
# against PyTorch eager and compiled, rollouts, and r1-mini from end to end, in under eight minutes once everything is installed.
#
#   bench/gpu.sh [PYTHON]        default: RECKONER_BENCH_PYTHON, the virtual environment of bench/peers/README.md, or python3
#
# Prints one Markdown page and writes it to bench/results/gpu.md, with what could not be measured and why. SMOKE=1 goes through all of it with tiny sizes on
# whatever WebGPU adapter and PyTorch device there are, to see that it works; its figures mean nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${1:-${RECKONER_BENCH_PYTHON:-}}
if [ -z "$python" ]; then
  python=bench/peers/.venv/bin/python
  [ -x "$python" ] || python=python3
fi
"$python" -c 'import torch' 2>/dev/null || { echo "$python has no PyTorch; give one that has: bench/gpu.sh PATH (see bench/peers/README.md)" >&2; exit 1; }
if [ -z "${SMOKE:-}" ]; then
  "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || { echo "PyTorch at $python finds no CUDA device" >&2; exit 1; }
  command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total,power.limit --format=csv,noheader >&2
fi
[ -f dist/cli/main.js ] || { npm ci --no-audit --no-fund && npm run build; }
# An optional peer of the project itself: npm passes over it without -D.
[ -d node_modules/webgpu ] || npm install --no-save -D --no-audit --no-fund webgpu@0.6.2

mkdir -p bench/results
node bench/gpu.mjs --python "$python" ${SMOKE:+--smoke} | tee bench/results/gpu.md
