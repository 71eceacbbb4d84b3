"""Blocks of every number format of GGUF and what they stand for, by llama.cpp's own Python package.

Writes test/fixtures/gguf-blocks.json. Run with the environment of requirements.txt:
    python bench/peers/gguf_blocks.py
"""

import base64
import json
import pathlib

import numpy
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

NAMES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
# Where the binary16 scales of a block are.
SCALES = {"Q4_1": [0, 2], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}

random = numpy.random.default_rng(1)
cases = {}
for name in NAMES:
    kind = GGMLQuantizationType[name]
    numbers, size = GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (3, size), dtype=numpy.uint8)
    for at in SCALES.get(name, [0]):
        scales = random.normal(0, 0.1, 3).astype(numpy.float16)
        blocks[:, at : at + 2] = scales.view(numpy.uint8).reshape(3, 2)
    values = dequantize(blocks.reshape(1, -1), kind).astype(numpy.float32).reshape(-1)
    assert values.size == 3 * numbers
    cases[name] = {
        "blocks": base64.b64encode(blocks.tobytes()).decode(),
        "values": base64.b64encode(values.tobytes()).decode(),
    }

path = pathlib.Path(__file__).parents[2] / "test/fixtures/gguf-blocks.json"
path.write_text(json.dumps(cases, indent=2) + "\n")
