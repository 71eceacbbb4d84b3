/**
 * @file What this JavaScript engine's WebAssembly can do.
 */

/** (func (result v128) f32x4.relaxed_madd of three zeros): valid exactly where relaxed SIMD is. */
const RELAXED_PROBE = (() => {
  const zero = [0xfd, 0x0c, ...new Array<number>(16).fill(0)];
  const body = [0x00, ...zero, ...zero, ...zero, 0xfd, 0x85, 0x02, 0x0b];
  const section = (id: number, bytes: number[]): number[] => [id, bytes.length, ...bytes];
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [0x01, 0x60, 0x00, 0x01, 0x7b]),
    ...section(3, [0x01, 0x00]),
    ...section(10, [0x01, body.length, ...body]),
  ]);
})();

/**
 * Whether this JavaScript engine has relaxed SIMD: Node from 22 on, and Node 20 once load.ts has
 * switched it on.
 */
export const hasRelaxedSimd = (): boolean => WebAssembly.validate(RELAXED_PROBE);
