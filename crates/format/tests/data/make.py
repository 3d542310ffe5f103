"""Writes blocks.bin and python.gguf with the Python package `gguf` (0.19), as something to compare with.

    pip install gguf numpy
    python make.py

blocks.bin: per block type its name in 8 bytes, u32 number of bytes, u32 number of weights, the bytes, the weights
as the package decodes them (f32).
"""

import struct
from pathlib import Path

import gguf
import numpy as np

FOLDER = Path(__file__).parent
# Where the halves lie in a block, so that random bytes do not make them infinite.
HALVES = {
    "F16": [0], "BF16": [], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0],
    "MXFP4": [],
}
# Zero, the least subnormal, a larger one, one, a negative one, the largest; then random ones.
SCALES = [0x0000, 0x0001, 0x83FF, 0x3C00, 0xB801, 0x7BFF]


def random_blocks(rng, name, block_type):
    length, size = gguf.GGML_QUANT_SIZES[block_type]
    n_blocks = {1: 64, 32: 8, 256: 4}[length]
    blocks = rng.integers(0, 256, (n_blocks, size), dtype=np.uint8)
    for i, block in enumerate(blocks):
        for at in HALVES[name]:
            scale = SCALES[(i * 2 + at) % len(SCALES)] if rng.random() < 0.5 else int(rng.integers(0x1000, 0x4000))
            block[at : at + 2] = np.frombuffer(struct.pack("<H", scale), dtype=np.uint8)
    if name == "MXFP4":
        blocks[:5, 0] = [0, 1, 2, 254, 255]
    return blocks


def write_blocks(rng):
    with open(FOLDER / "blocks.bin", "wb") as out:
        for name in HALVES:
            block_type = gguf.GGMLQuantizationType[name]
            blocks = random_blocks(rng, name, block_type)
            with np.errstate(all="ignore"):
                weights = gguf.dequantize(blocks, block_type).astype("<f4")
            out.write(struct.pack("<8sII", name.encode(), blocks.size, weights.size))
            out.write(blocks.tobytes() + weights.tobytes())


def write_gguf(rng):
    writer = gguf.GGUFWriter(FOLDER / "python.gguf", "llama")
    writer.add_uint8("n.u8", 200)
    writer.add_int16("n.i16", -300)
    writer.add_int64("n.i64", -(1 << 40))
    writer.add_uint64("n.u64", 1 << 63)
    writer.add_float32("n.f32", 1e-5)
    writer.add_float64("n.f64", 0.1)
    writer.add_bool("n.bool", True)
    writer.add_string("n.string", "grüezi")
    writer.add_array("a.i32", [1, -2, 3])
    writer.add_array("a.f32", [0.5, -1.5])
    writer.add_array("a.bool", [True, False])
    writer.add_array("a.string", ["a", "", "ж"])
    writer.add_tensor("norm", np.arange(5, dtype=np.float32))
    writer.add_tensor("half", rng.standard_normal((3, 7)).astype(np.float16))
    matrix = rng.standard_normal((2, 64)).astype(np.float32)
    q8_0 = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor("matrix", gguf.quantize(matrix, q8_0), raw_dtype=q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write_blocks(np.random.default_rng(1))
    write_gguf(np.random.default_rng(2))
