"""
Rewrites the matrices of a GGUF file in another format of gguf-py, for bench/large-model.mjs and
bench/frozen-decode.mjs. Norms and biases stay float32; so does what no block fits.

  pip install gguf
  python bench/peers/gguf_quantize.py IN.gguf OUT.gguf {f16,bf16,q8_0,q4_0,q4_1,q5_0,q5_1}
"""

import sys

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, quants

source, target, form = sys.argv[1:]
kind = GGMLQuantizationType[form.upper()]
reader = GGUFReader(source)
architecture = reader.fields["general.architecture"].contents()
writer = GGUFWriter(target, architecture, use_temp_file=True)
for field in reader.fields.values():
    if field.name.startswith("GGUF.") or field.name == "general.architecture":
        continue
    first, *rest = field.types
    if first.name == "ARRAY" and not rest:
        continue  # An empty list has no type.
    inner = rest[0] if rest else None
    writer.add_key_value(field.name, field.contents(), first, sub_type=inner)
for tensor in reader.tensors:
    numbers = quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
    if numbers.ndim == 2:
        writer.add_tensor(tensor.name, quants.quantize(numbers, kind), raw_dtype=kind)
    else:
        writer.add_tensor(tensor.name, numbers)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
