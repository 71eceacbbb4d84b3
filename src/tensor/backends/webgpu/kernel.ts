/**
 * @file From a small template to WGSL.
 *
 * A kernel names its operands and its parameters and gives the text of its body. What it does not
 * say is where an operand lies: several may share a slab, and WebGPU forbids to bind one buffer
 * twice when anybody writes to it. So a binding is a slab, not an operand, and the text is
 * completed for each pattern of "which operand is in which binding"; there are few of them. Slabs
 * are declared as integers (or four of them) and numbers are bit-cast: then a NaN, or an index, is
 * never touched on its way.
 *
 * In a body, for an operand `a` and an index `i` of a number from the tensor's start:
 * - `ld_a(i)`, `st_a(i, x)`: a float; `ldi_a(i)`, `sti_a(i, x)`: an i32; `raw_a(i)`, `put_a(i, x)`:
 *   32 bits
 * - `ldv_a(i)`, `stv_a(i, x)`: four floats, where the kernel is `vector` and i is a multiple of 4
 * - `$name`: a parameter; `tid`: the thread in its group; `group`: the group's number; `wid`: the
 *   same in three dimensions;
 *   `subgroup`: the subgroup's number in its group
 */

export type ParameterType = 'u32' | 'f32';

export interface KernelSource {
  readonly operands: readonly string[];
  readonly parameters: Readonly<Record<string, ParameterType>>;
  /** Threads of a group. */
  readonly threads: number;
  /** Slabs are read and written four numbers at a time. */
  readonly vector?: boolean;
  /** Operands that are bf16, two in a word. */
  readonly bf16?: readonly string[];
  /** WGSL extensions. */
  readonly enable?: readonly string[];
  /** Functions, constants and workgroup variables. */
  readonly declarations?: string;
  readonly body: string;
}

/** Parameters of one call: offsets of the operands, then the kernel's own. */
export const MOST_PARAMETERS = 64;

const component = (word: number): string => `P[${word >> 2}].${'xyzw'[word & 3]}`;

/** @param slots for each operand the binding that holds it */
export function wgsl(source: KernelSource, slots: readonly number[]): string {
  const {
    operands,
    parameters,
    threads,
    vector = false,
    bf16 = [],
    enable = [],
    declarations = '',
    body,
  } = source;
  const names = Object.keys(parameters);
  if (operands.length + names.length > MOST_PARAMETERS)
    throw new Error(`${operands}: too many parameters`);
  const builtins = [
    'local_invocation_index) tid: u32',
    'workgroup_id) wid: vec3u',
    'num_workgroups) groups: vec3u',
  ];
  if (/\bsubgroup\b/.test(body)) builtins.push('subgroup_id) subgroup: u32');
  // A body reads a parameter once, for some drivers look at a uniform again and again; a function
  // reads it where it stands.
  const given: string[] = [];
  const replaced = { declarations, body };
  names.forEach((name, i) => {
    const word = component(operands.length + i);
    const value = parameters[name] === 'f32' ? `bitcast<f32>(${word})` : word;
    const used = new RegExp(`\\$${name}\\b`, 'g');
    if (used.test(body)) given.push(`  let given_${name} = ${value};`);
    replaced.declarations = replaced.declarations.replaceAll(used, value);
    replaced.body = replaced.body.replaceAll(used, `given_${name}`);
  });
  const text = `${replaced.declarations}\n@compute @workgroup_size(${threads})
fn main(${builtins.map((builtin) => `@builtin(${builtin}`).join(', ')}) {
  let group = wid.x + groups.x * (wid.y + groups.y * wid.z);
${given.join('\n')}
${replaced.body}
}`;
  const half = new Set(operands.map((name, i) => (bf16.includes(name) ? slots[i] : -1)));
  const subgroups =
    /\bsubgroupShuffle/.test(text) && !enable.includes('subgroups') ? ['subgroups'] : [];
  const head = [...enable, ...subgroups].map((name) => `enable ${name};`);
  head.push('@group(0) @binding(0) var<uniform> P: array<vec4u, 16>;');
  for (let slot = 0; slot <= Math.max(...slots); slot++) {
    const wide = vector && !half.has(slot);
    head.push(
      `@group(0) @binding(${slot + 1}) var<storage, read_write> m${slot}: array<${wide ? 'vec4u' : 'u32'}>;`,
    );
  }
  operands.forEach((name, i) => {
    const from = component(i);
    head.push(
      ...(bf16.includes(name)
        ? halfAccess(name, slots[i], from)
        : access(name, slots[i], from, vector, text)),
    );
  });
  return `${head.join('\n')}\n${text}\n`;
}

/** The functions for one operand that the text uses. */
function access(name: string, slot: number, from: string, vector: boolean, text: string): string[] {
  const place = vector
    ? `m${slot}[(${from} + i) >> 2u][(${from} + i) & 3u]`
    : `m${slot}[${from} + i]`;
  const all: Record<string, string> = {
    ld: `(i: u32) -> f32 { return bitcast<f32>(${place}); }`,
    ldi: `(i: u32) -> i32 { return bitcast<i32>(${place}); }`,
    raw: `(i: u32) -> u32 { return ${place}; }`,
    st: `(i: u32, x: f32) { ${place} = bitcast<u32>(x); }`,
    sti: `(i: u32, x: i32) { ${place} = bitcast<u32>(x); }`,
    put: `(i: u32, x: u32) { ${place} = x; }`,
    ldv: `(i: u32) -> vec4f { return bitcast<vec4f>(m${slot}[(${from} + i) >> 2u]); }`,
    stv: `(i: u32, x: vec4f) { m${slot}[(${from} + i) >> 2u] = bitcast<vec4u>(x); }`,
    rawv: `(i: u32) -> vec4u { return m${slot}[(${from} + i) >> 2u]; }`,
    putv: `(i: u32, x: vec4u) { m${slot}[(${from} + i) >> 2u] = x; }`,
  };
  return Object.entries(all)
    .filter(([kind]) => new RegExp(`\\b${kind}_${name}\\(`).test(text))
    .map(([kind, rest]) => `fn ${kind}_${name}${rest}`);
}

/** bf16: the upper half of a float. Vector loads want even indices. */
function halfAccess(name: string, slot: number, from: string): string[] {
  const at = `(${from} + i)`;
  return [
    `fn ld_${name}(i: u32) -> f32 {
  let word = m${slot}[${at} >> 1u];
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, (${at} & 1u) == 1u));
}`,
    `fn ldv_${name}(i: u32) -> vec4f {
  let x = m${slot}[${at} >> 1u];
  let y = m${slot}[(${at} >> 1u) + 1u];
  return bitcast<vec4f>(vec4u(x << 16u, x & 0xffff0000u, y << 16u, y & 0xffff0000u));
}`,
  ];
}

/** Numbers that a thread reads at once where threads meet in workgroup memory. */
const RADIX = 16;

type Join = (a: string, b: string) => string;

/** The numbers joined in a tree of halves: with the one half further on, until one is left. */
function tree(numbers: readonly string[], join: Join): string {
  if (numbers.length === 1) return numbers[0];
  const half = numbers.length / 2;
  return tree(
    numbers.slice(0, half).map((x, i) => join(x, numbers[half + i])),
    join,
  );
}

/**
 * WGSL of one reduction. Halves of the lanes are joined, then halves of these: level by level
 * through workgroup memory, each thread reading up to 16 numbers, and by shuffles from `subgroup`
 * lanes on. Every lane has the result, and the order is that of one tree whatever the tier, so that
 * the bits are the same with and without subgroups.
 */
function reduction(name: string, lanes: number, subgroup: number, join: Join): string {
  const last = Math.max(1, Math.min(lanes, subgroup));
  const lines: string[] = [];
  let width = lanes;
  let level = 0;
  while (width > last) {
    const next = Math.max(last, width / RADIX);
    const array = `scratch${level % 2}`;
    const first = next === 1 ? `base` : `base + (tid & ${next - 1}u)`;
    const numbers = Array.from(
      { length: width / next },
      (_, j) => `${array}[first + ${j * next}u]`,
    );
    if (level === 0) lines.push(`  let base = tid - (tid & ${lanes - 1}u);`);
    lines.push(`  ${array}[tid] = v;
  workgroupBarrier();
  {
    let first = ${first};
    v = ${tree(numbers, join)};
  }`);
    width = next;
    level++;
  }
  // With two arrays by turns nobody writes what another still reads; with one alone there is nobody
  // to wait for them.
  if (level % 2 === 1) lines.push('  workgroupBarrier();');
  for (; width > 1; width /= 2)
    lines.push(`  v = ${join('v', `subgroupShuffleXor(v, ${width / 2}u)`)};`);
  return `fn ${name}(x: f32, tid: u32) -> f32 {
  var v = x;
${lines.join('\n')}
  return v;
}`;
}

/**
 * Declarations of `sum` and `largest` over groups of `lanes` of `threads` threads, to be called by
 * all of them.
 * @param subgroup lanes that can be shuffled, or 0; see `Features`
 */
export function reductions(lanes: number, threads: number, subgroup: number): string {
  return `var<workgroup> scratch0: array<f32, ${threads}>;
var<workgroup> scratch1: array<f32, ${threads}>;
${reduction('sum', lanes, subgroup, (a, b) => `(${a} + ${b})`)}
${reduction('largest', lanes, subgroup, (a, b) => `max(${a}, ${b})`)}`;
}
