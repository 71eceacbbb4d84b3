/**
 * @file The two 16-bit floating-point formats to float32, exactly: IEEE 754 binary16 and bfloat16.
 */

/** BF16 bits → float32, exact. */
export function fromBfloat16(
  bits: Uint16Array,
  out: Float32Array = new Float32Array(bits.length),
): Float32Array {
  const words = new Uint32Array(out.buffer, out.byteOffset, bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16;
  return out;
}

let halves: Float32Array | null = null;

function makeHalves(): Float32Array {
  const table = new Float32Array(1 << 16);
  for (let bits = 0; bits < 0x8000; bits++) {
    const [exponent, fraction] = [bits >>> 10, (bits & 0x3ff) / 1024];
    const special = fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN;
    const finite = exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15);
    table[bits] = exponent === 31 ? special : finite;
    table[bits + 0x8000] = -table[bits];
  }
  return table;
}

/** The value of every binary16 pattern, by its bits. */
export function binary16(): Float32Array {
  halves ??= makeHalves();
  return halves;
}

/** IEEE 754 binary16 bits → float32, exact. */
export function fromFloat16(
  bits: Uint16Array,
  out: Float32Array = new Float32Array(bits.length),
): Float32Array {
  const table = binary16();
  for (let i = 0; i < bits.length; i++) out[i] = table[bits[i]];
  return out;
}
