/** @file Cases: the operations of a decoder layer, and a whole layer. */
import { attention } from '../../operations/attention.js';
import { geglu } from '../../operations/geglu.js';
import { linear } from '../../operations/linear.js';
import { rmsNorm } from '../../operations/rms-norm.js';
import { rope, ropeTable } from '../../operations/rope.js';
import { splitColumns } from '../../operations/split-columns.js';
import { swiglu } from '../../operations/swiglu.js';
import type { Draw, OperationCase } from '../problem.js';
import { sequencesOf } from '../sequences.js';
import { taped } from '../taped.js';

const EPSILON = 1e-5;

export const decoder: OperationCase[] = [
  {
    name: 'rmsNorm and its derivative',
    draw(draw) {
      const [n, d, blocks] = [draw.rows(33), draw.size(131), draw.flag() ? 1 : draw.size(4)];
      const shape = [n, blocks * d];
      const accumulate = { dx: draw.flag(), dWeight: draw.flag() };
      const wanted = draw.random.pick(['both', 'both', 'dx', 'dWeight']);
      const [gapOut, gapDx] = [draw.gap(), draw.gap()];
      return {
        label: `[${n}, ${blocks} × ${d}] ${wanted} += ${accumulate.dx} ${accumulate.dWeight}`,
        inputs: {
          x: draw.numbers(shape, draw.random.pick([1, 0.05, 8]), draw.gap()),
          weight: draw.numbers([d]),
          gradient: draw.numbers(shape),
          dxBefore: draw.numbers(shape),
          dWeightBefore: draw.numbers([d]),
        },
        run({ backend, input, output }) {
          const inverseRms = output('inverseRms', [n, blocks]);
          backend.rmsNorm({
            out: output('out', shape, { gap: gapOut }),
            inverseRms,
            x: input('x'),
            weight: input('weight'),
            epsilon: EPSILON,
          });
          const dx =
            wanted === 'dWeight'
              ? null
              : output('dx', shape, {
                  gap: gapDx,
                  initial: accumulate.dx ? 'dxBefore' : undefined,
                });
          const dWeight =
            wanted === 'dx'
              ? null
              : output('dWeight', [d], {
                  initial: accumulate.dWeight ? 'dWeightBefore' : undefined,
                });
          backend.rmsNormBackward({
            dx,
            dWeight,
            dOut: input('gradient'),
            x: input('x'),
            weight: input('weight'),
            inverseRms,
            accumulate,
          });
        },
      };
    },
  },
  {
    name: 'rmsNorm on the tape',
    draw(draw) {
      const [n, d, blocks] = [draw.rows(33), draw.size(65), draw.size(4)];
      return taped(draw, {
        label: `[${n}, ${blocks} × ${d}]`,
        variables: { x: draw.numbers([n, blocks * d], 1, draw.gap()), weight: draw.numbers([d]) },
        outputShape: [n, blocks * d],
        build: (tape, variable) => rmsNorm(tape, variable('x'), variable('weight'), EPSILON),
      });
    },
  },
  {
    name: 'rope',
    draw(draw) {
      const [n, half, heads, positions] = [
        draw.rows(33),
        draw.size(33),
        draw.size(4),
        draw.size(65),
      ];
      const repeat = draw.random.integer(1, 3);
      const shape = [n * repeat, heads * 2 * half];
      const options = { inverse: draw.flag(), accumulate: draw.flag(), interleaved: draw.flag() };
      const gap = draw.gap();
      const angles = Array.from({ length: positions * half }, () => 6.3 * draw.random.uniform());
      return {
        label: `[${n} × ${repeat}, ${heads} × ${2 * half}] ${JSON.stringify(options)} gap ${gap}`,
        inputs: {
          x: draw.numbers(shape, 1, draw.gap()),
          positions: draw.indices(n, positions),
          cosine: draw.from([positions, half], (i) => Math.cos(angles[i])),
          sine: draw.from([positions, half], (i) => Math.sin(angles[i])),
          before: draw.numbers(shape),
        },
        run({ backend, input, output }) {
          const out = output('out', shape, {
            gap,
            initial: options.accumulate ? 'before' : undefined,
          });
          backend.rope({
            out,
            x: input('x'),
            positions: input('positions'),
            cosine: input('cosine'),
            sine: input('sine'),
            ...options,
          });
        },
      };
    },
  },
  {
    name: 'rope on the tape',
    draw(draw) {
      const [n, half, heads, positions] = [
        draw.rows(17),
        draw.size(17),
        draw.size(4),
        draw.size(33),
      ];
      const interleaved = draw.flag();
      return taped(draw, {
        label: `[${n}, ${heads} × ${2 * half}] interleaved ${interleaved}`,
        variables: { x: draw.numbers([n, heads * 2 * half], 1, draw.gap()) },
        constants: { positions: draw.indices(n, positions) },
        outputShape: [n, heads * 2 * half],
        build(tape, variable, { backend, input }) {
          const table = ropeTable(backend, { headDim: 2 * half, theta: 10_000, positions });
          return rope(tape, variable('x'), input('positions'), table, interleaved);
        },
      });
    },
  },
  {
    name: 'swiglu and its derivative',
    draw(draw) {
      const [n, f] = [draw.rows(33), draw.size(131)];
      const accumulate = draw.flag();
      return {
        label: `[${n}, 2 × ${f}] += ${accumulate}`,
        inputs: {
          gateUp: draw.numbers([n, 2 * f], draw.random.pick([1, 5, 30])),
          gradient: draw.numbers([n, f]),
          before: draw.numbers([n, 2 * f]),
        },
        run({ backend, input, output }) {
          backend.swiglu({ out: output('out', [n, f]), gateUp: input('gateUp') });
          const dGateUp = output('dGateUp', [n, 2 * f], {
            initial: accumulate ? 'before' : undefined,
          });
          backend.swigluBackward({
            dGateUp,
            dOut: input('gradient'),
            gateUp: input('gateUp'),
            accumulate,
          });
        },
      };
    },
  },
  {
    name: 'swiglu on the tape',
    draw(draw) {
      const [n, f] = [draw.rows(33), draw.size(33)];
      return taped(draw, {
        label: `[${n}, 2 × ${f}]`,
        variables: { gateUp: draw.numbers([n, 2 * f]) },
        outputShape: [n, f],
        build: (tape, variable) => swiglu(tape, variable('gateUp')),
      });
    },
  },
  {
    name: 'geglu and its derivative',
    draw(draw) {
      const [n, f] = [draw.rows(33), draw.size(131)];
      const accumulate = draw.flag();
      return {
        label: `[${n}, 2 × ${f}] += ${accumulate}`,
        inputs: {
          gateUp: draw.numbers([n, 2 * f], draw.random.pick([1, 5, 20])),
          gradient: draw.numbers([n, f]),
          before: draw.numbers([n, 2 * f]),
        },
        run({ backend, input, output }) {
          backend.geglu({ out: output('out', [n, f]), gateUp: input('gateUp') });
          const dGateUp = output('dGateUp', [n, 2 * f], {
            initial: accumulate ? 'before' : undefined,
          });
          backend.gegluBackward({
            dGateUp,
            dOut: input('gradient'),
            gateUp: input('gateUp'),
            accumulate,
          });
        },
      };
    },
  },
  {
    name: 'geglu on the tape',
    draw(draw) {
      const [n, f] = [draw.rows(33), draw.size(33)];
      return taped(draw, {
        label: `[${n}, 2 × ${f}]`,
        variables: { gateUp: draw.numbers([n, 2 * f]) },
        outputShape: [n, f],
        build: (tape, variable) => geglu(tape, variable('gateUp')),
      });
    },
  },
  attentionCase('attention and its derivative', false),
  attentionCase('attention after shared prefixes and its derivative', true),
  attentionTaped('attention on the tape', false),
  attentionTaped('attention after shared prefixes on the tape', true),
  {
    name: 'attentionCached',
    draw(draw) {
      const { n: batch, options, q, out, dk, dv } = attentionShape(draw, 17);
      // Two shared prefixes, then a run of rows for each sequence, as a sampler lays its cache out.
      const room = draw.size(65);
      const prefixes = [draw.sizeOrZero(33), draw.size(65)];
      const prefixStarts = [0, prefixes[0]];
      const own = prefixes[0] + prefixes[1];
      const which = Array.from({ length: batch }, () => draw.random.integer(0, 1));
      const total = own + batch * room;
      return {
        label: `${batch} sequences, prefixes ${prefixes}, room ${room}, ${options.heads}/${options.kvHeads} heads, ${dk}, ${dv}`,
        inputs: {
          q: draw.numbers(q),
          keys: draw.numbers([total, options.kvHeads * dk], 1, draw.gap()),
          values: draw.numbers([total, options.kvHeads * dv], 1, draw.gap()),
          prefixStart: draw.integers(which.map((p) => prefixStarts[p])),
          prefixLength: draw.integers(which.map((p) => prefixes[p])),
          ownStart: draw.integers(which.map((_, b) => own + b * room)),
          ownLength: draw.integers(which.map(() => draw.random.integer(1, room))),
        },
        run({ backend, input, output }) {
          const tables = {
            prefixStart: input('prefixStart'),
            prefixLength: input('prefixLength'),
            ownStart: input('ownStart'),
            ownLength: input('ownLength'),
          };
          backend.attentionCached({
            out: output('out', out),
            q: input('q'),
            keys: input('keys'),
            values: input('values'),
            ...tables,
            ...options,
          });
        },
      };
    },
  },
  {
    name: 'a decoder layer on the tape',
    draw(draw) {
      const { n, options } = attentionShape(draw, 17);
      const { heads, kvHeads } = options;
      const headDim = 2 * draw.size(4);
      const [d, f] = [draw.size(17), draw.size(17)];
      const [qSize, kvSize] = [heads * headDim, kvHeads * headDim];
      return taped(draw, {
        label: `${n} rows, width ${d}, ${heads}/${kvHeads} heads of ${headDim}, inner ${f}`,
        variables: {
          x: draw.numbers([n, d]),
          norm1: draw.numbers([d]),
          qkv: draw.numbers([qSize + 2 * kvSize, d], d ** -0.5),
          qNorm: draw.numbers([headDim]),
          kNorm: draw.numbers([headDim]),
          out: draw.numbers([d, qSize], qSize ** -0.5),
          norm2: draw.numbers([d]),
          gateUp: draw.numbers([2 * f, d], d ** -0.5),
          down: draw.numbers([d, f], f ** -0.5),
        },
        constants: {
          positions: draw.integers(Array.from({ length: n }, (_, i) => i)),
          segments: draw.offsets(n, draw.random.integer(1, 2)),
        },
        outputShape: [n, d],
        build(tape, w, { backend, input }) {
          const table = ropeTable(backend, { headDim, theta: 10_000, positions: Math.max(1, n) });
          const fused = linear(tape, rmsNorm(tape, w('x'), w('norm1'), EPSILON), w('qkv'));
          const [q, k, v] = splitColumns(tape, fused, [qSize, kvSize, kvSize]);
          const turn = (y: typeof q, norm: string) =>
            rope(tape, rmsNorm(tape, y, w(norm), EPSILON), input('positions'), table);
          const mixed = attention(
            tape,
            turn(q, 'qNorm'),
            turn(k, 'kNorm'),
            v,
            { segments: input('segments') },
            options,
          );
          const middle = linear(tape, mixed, w('out'), { residual: w('x') });
          const inner = swiglu(
            tape,
            linear(tape, rmsNorm(tape, middle, w('norm2'), EPSILON), w('gateUp')),
          );
          return linear(tape, inner, w('down'), { residual: middle });
        },
      });
    },
  },
];

/** Every output of both passes. @param shared some segments go on from others */
function attentionCase(name: string, shared: boolean): OperationCase {
  return {
    name,
    draw(draw) {
      const shape = attentionShape(draw, 131);
      const { n, dk, dv, options, q, k, v, out } = shape;
      const accumulate = { dq: draw.flag(), dk: draw.flag(), dv: draw.flag() };
      const gaps = { q: draw.gap(), k: draw.gap(), v: draw.gap() };
      const numbers = {
        q: draw.numbers(q, 1, gaps.q),
        k: draw.numbers(k, 1, gaps.k),
        v: draw.numbers(v, 1, gaps.v),
      };
      const sequences = sequencesOf(draw, n, 4, shared);
      return {
        label: `${n} rows, ${options.heads}/${options.kvHeads} heads, dk ${dk}, dv ${dv}, += ${JSON.stringify(accumulate)}`,
        inputs: {
          ...numbers,
          ...sequences,
          gradient: draw.numbers(out),
          qBefore: draw.numbers(q),
          kBefore: draw.numbers(k),
          vBefore: draw.numbers(v),
        },
        run({ backend, input, output }) {
          const [result, logSumExp] = [output('out', out), output('logSumExp', [n, options.heads])];
          const given = {
            q: input('q'),
            k: input('k'),
            v: input('v'),
            segments: input('segments'),
            prefixes: shared ? input('prefixes') : null,
            ...options,
          };
          backend.attention({ out: result, logSumExp, ...given });
          const d = {
            dq: output('dq', q, { gap: gaps.q, initial: accumulate.dq ? 'qBefore' : undefined }),
            dk: output('dk', k, { gap: gaps.k, initial: accumulate.dk ? 'kBefore' : undefined }),
            dv: output('dv', v, { gap: gaps.v, initial: accumulate.dv ? 'vBefore' : undefined }),
          };
          const dOut = input('gradient');
          backend.attentionBackward({ ...d, dOut, out: result, logSumExp, ...given, accumulate });
        },
      };
    },
  };
}

function attentionTaped(name: string, shared: boolean): OperationCase {
  return {
    name,
    draw(draw) {
      const { n, options, q, k, v, out } = attentionShape(draw, 33);
      return taped(draw, {
        label: `${n} rows, ${options.heads}/${options.kvHeads} heads, q [${q}], v [${v}]`,
        variables: {
          q: draw.numbers(q, 1, draw.gap()),
          k: draw.numbers(k, 1, draw.gap()),
          v: draw.numbers(v, 1, draw.gap()),
        },
        constants: sequencesOf(draw, n, 3, shared),
        outputShape: out,
        build(tape, variable, { input }) {
          const prefixes = shared ? input('prefixes') : undefined;
          const sequences = { segments: input('segments'), prefixes };
          return attention(tape, variable('q'), variable('k'), variable('v'), sequences, options);
        },
      });
    },
  };
}

/** Rows, heads (grouped) and head dimensions; values may be wider or narrower than keys. */
function attentionShape(draw: Draw, rows: number) {
  const n = draw.rows(rows);
  const kvHeads = draw.size(3);
  const heads = kvHeads * draw.size(3);
  const dk = draw.size(33);
  const dv = draw.flag() ? dk : draw.size(33);
  return {
    n,
    dk,
    dv,
    options: { heads, kvHeads, scale: dk ** -0.5 },
    q: [n, heads * dk],
    k: [n, kvHeads * dk],
    v: [n, kvHeads * dv],
    out: [n, heads * dv],
  };
}
