/** @file Cases: latent attention's heads, the gate, the experts' order, and FP8. */

import { concatColumns } from '../../operations/concat-columns.js';
import { add } from '../../operations/elementwise.js';
import { combineRows, dispatchRows, sortByExpert } from '../../operations/experts.js';
import { groupedMatmul } from '../../operations/grouped-matmul.js';
import { joinHeads } from '../../operations/join-heads.js';
import { ropeInPlace, ropeTable } from '../../operations/rope.js';
import type { RouteOptions } from '../../operations/route.js';
import { route } from '../../operations/route.js';
import type { Draw, Input, OperationCase, Problem } from '../problem.js';
import { sequencesOf } from '../sequences.js';
import { taped } from '../taped.js';

/** Experts of `n` tokens, each token's all different. */
function choices(draw: Draw, n: number, experts: number, topK: number): Input {
  const all = Array.from({ length: experts }, (_, e) => e);
  const data = Array.from({ length: n }, () => draw.random.shuffle(all).slice(0, topK)).flat();
  return { dtype: 'i32', shape: [n, topK], data: Int32Array.from(data), gap: 0 };
}

/** Sizes of a gate: groups of equally many experts. */
function gate(draw: Draw): { experts: number; topK: number; options: RouteOptions } {
  const groups = draw.size(5);
  const size = draw.size(9);
  const topGroups = draw.random.integer(1, groups);
  const topK = draw.random.integer(1, Math.min(8, topGroups * size));
  return {
    experts: groups * size,
    topK,
    options: { groups, topGroups, normalize: draw.flag(), scale: 2.5, softmax: draw.flag() },
  };
}

function heads(draw: Draw, limit: number) {
  const [n, count, dn, dr, dv] = [
    draw.rows(limit),
    draw.size(5),
    draw.size(33),
    draw.size(17),
    draw.size(33),
  ];
  return {
    n,
    count,
    dn,
    label: `${n} rows, ${count} heads of ${dn} + ${dr}, ${dv}`,
    up: [n, count * (dn + dv)],
    shared: [n, dr],
    k: [n, count * (dn + dr)],
    v: [n, count * dv],
  };
}

export const experts: OperationCase[] = [
  {
    name: 'joinHeads and its derivative',
    draw(draw) {
      const { count, label, up, shared, k, v } = heads(draw, 33);
      const accumulate = { dUp: draw.flag(), dShared: draw.flag() };
      const gap = draw.gap();
      return {
        label: `${label} += ${JSON.stringify(accumulate)}`,
        inputs: {
          up: draw.numbers(up),
          shared: draw.numbers(shared, 1, draw.gap()),
          dk: draw.numbers(k),
          dv: draw.numbers(v),
          dUpBefore: draw.numbers(up),
          dSharedBefore: draw.numbers(shared),
        },
        run({ backend, input, output }) {
          backend.joinHeads({
            k: output('k', k),
            v: output('v', v),
            up: input('up'),
            shared: input('shared'),
            heads: count,
          });
          const dUp = output('dUp', up, { initial: accumulate.dUp ? 'dUpBefore' : undefined });
          const dShared = output('dShared', shared, {
            gap,
            initial: accumulate.dShared ? 'dSharedBefore' : undefined,
          });
          backend.joinHeadsBackward({
            dUp,
            dShared,
            dk: input('dk'),
            dValue: input('dv'),
            heads: count,
            accumulate,
          });
        },
      };
    },
  },
  {
    name: 'joinHeads on the tape',
    draw(draw) {
      // Values as long as keys, so that both can be added up to one output.
      const [n, count, dn, dr] = [draw.rows(17), draw.size(4), draw.size(9), draw.size(9)];
      const dv = dn + dr;
      return taped(draw, {
        label: `${n} rows, ${count} heads of ${dn} + ${dr}`,
        variables: {
          up: draw.numbers([n, count * (dn + dv)]),
          shared: draw.numbers([n, dr], 1, draw.gap()),
        },
        outputShape: [n, count * dv],
        build(tape, variable) {
          const { k, v } = joinHeads(tape, variable('up'), variable('shared'), count, dn);
          return add(tape, k, v);
        },
      });
    },
  },
  {
    name: 'concatColumns on the tape',
    draw(draw) {
      const [n, a, b] = [draw.rows(17), draw.size(9), draw.size(9)];
      return taped(draw, {
        label: `[${n}, ${a} + ${b} + ${a}]`,
        variables: { a: draw.numbers([n, a], 1, draw.gap()), b: draw.numbers([n, b]) },
        outputShape: [n, 2 * a + b],
        build: (tape, variable) => concatColumns(tape, variable('a'), variable('b'), variable('a')),
      });
    },
  },
  {
    name: 'ropeInPlace on the tape',
    draw(draw) {
      const [n, half, count, before] = [draw.rows(17), draw.size(9), draw.size(4), draw.size(9)];
      const [after, interleaved] = [draw.sizeOrZero(5), draw.flag()];
      const width = count * (before + 2 * half + after);
      return taped(draw, {
        label: `[${n}, ${count} × (${before} + ${2 * half} + ${after})] interleaved ${interleaved}`,
        variables: { a: draw.numbers([n, width]), b: draw.numbers([n, width]) },
        constants: { positions: draw.indices(n, 33) },
        outputShape: [n, width],
        build(tape, variable, { backend, input }) {
          const yarn = {
            factor: 4,
            originalPositions: 8,
            betaFast: 2,
            betaSlow: 0.5,
            attentionFactor: 1.25,
          };
          const table = ropeTable(backend, { headDim: 2 * half, theta: 100, positions: 33, yarn });
          const sum = add(tape, variable('a'), variable('b'));
          return ropeInPlace(tape, sum, input('positions'), table, {
            heads: count,
            from: before,
            interleaved,
          });
        },
      });
    },
  },
  {
    name: 'route',
    draw(draw) {
      const n = draw.rows(65);
      const { experts: width, topK, options } = gate(draw);
      return {
        label: `${n} rows, ${topK} of ${width} experts, ${JSON.stringify(options)}`,
        inputs: {
          logits: draw.numbers([n, width], draw.random.pick([1, 3])),
          bias: draw.numbers([width], 0.2),
        },
        run({ backend, input, output, keep }) {
          const chosen = backend.allocate('i32', [n, topK]);
          const weights = output('weights', [n, topK]);
          backend.route({
            experts: chosen,
            weights,
            scores: output('scores', [n, width]),
            logits: input('logits'),
            bias: input('bias'),
            ...options,
          });
          keep('experts', chosen);
        },
      };
    },
  },
  {
    name: 'routeBackward and balanceLoss',
    draw: (draw) => balanceProblem(draw, false),
  },
  {
    name: 'balanceLoss after shared prefixes',
    draw: (draw) => balanceProblem(draw, true),
  },
  {
    name: 'sortByExpert',
    draw(draw) {
      const [n, width] = [draw.rows(131), draw.size(33)];
      const topK = draw.random.integer(1, Math.min(width, 8));
      const withLoad = draw.flag();
      return {
        label: `${n} rows, ${topK} of ${width} experts`,
        inputs: { experts: choices(draw, n, width, topK), before: draw.from([width], (i) => i) },
        run({ backend, input, output, keep }) {
          const offsets = backend.allocate('i32', [width + 1]);
          const tokens = backend.allocate('i32', [n * topK]);
          const slots = backend.allocate('i32', [n, topK]);
          const load = withLoad ? output('load', [width], { initial: 'before' }) : null;
          backend.sortByExpert({ offsets, tokens, slots, load, experts: input('experts') });
          keep('offsets', offsets);
          keep('tokens', tokens);
          keep('slots', slots);
        },
      };
    },
  },
  {
    name: 'combineRows and its derivative',
    draw(draw) {
      const [n, d, topK] = [draw.rows(65), draw.size(131), draw.size(8)];
      const [weighted, accumulate] = [draw.flag(), draw.flag()];
      const slots = draw.random.shuffle(Array.from({ length: n * topK }, (_, i) => i));
      return {
        label: `[${n}, ${d}] of ${topK} rows, weights ${weighted}, += ${accumulate}`,
        inputs: {
          y: draw.numbers([n * topK, d]),
          slots: { dtype: 'i32', shape: [n, topK], data: Int32Array.from(slots), gap: 0 },
          weights: draw.numbers([n, topK]),
          gradient: draw.numbers([n, d]),
          before: draw.numbers([n, d]),
        },
        run({ backend, input, output }) {
          const [y, at, weights] = [input('y'), input('slots'), input('weights')];
          const out = output('out', [n, d], { initial: accumulate ? 'before' : undefined });
          backend.combineRows({
            out,
            y,
            slots: at,
            weights: weighted ? weights : null,
            accumulate,
          });
          const [dY, dWeights] = [output('dY', [n * topK, d]), output('dWeights', [n, topK])];
          backend.combineRowsBackward({
            dY,
            dWeights,
            dOut: input('gradient'),
            y,
            slots: at,
            weights,
          });
        },
      };
    },
  },
  {
    name: 'a gate and its experts, on the tape',
    draw(draw) {
      const [n, width] = [draw.rows(17), draw.size(9)];
      const { experts: count, topK, options } = gate(draw);
      const residualIsX = draw.flag();
      return taped(draw, {
        label: `[${n}, ${width}] ${topK} of ${count} experts, ${JSON.stringify(options)}, residual x ${residualIsX}`,
        variables: {
          x: draw.numbers([n, width]),
          // Far enough from each other that neither a finite difference nor float32 changes who is
          // chosen, nor absolute inputs.
          logits: draw.from([n, count], (i) => 0.2 * ((i * 7) % 23) + 0.01 * draw.random.uniform()),
          weights: draw.numbers([count * width, width]),
          ...(residualIsX ? {} : { residual: draw.numbers([n, width]) }),
        },
        constants: { bias: draw.from([count], (e) => 0.003 * (e % 5)) },
        outputShape: [n, width],
        build(tape, variable, { input }) {
          const routing = route(tape, variable('logits'), input('bias'), topK, options);
          const order = sortByExpert(tape, routing.experts, count, null);
          const rows = groupedMatmul(
            tape,
            dispatchRows(tape, variable('x'), order),
            variable('weights'),
            order.offsets,
          );
          return combineRows(
            tape,
            rows,
            routing.weights,
            order,
            variable(residualIsX ? 'x' : 'residual'),
          );
        },
      });
    },
  },
  {
    name: 'quantizeFp8',
    draw(draw) {
      const [n, d] = [draw.rows(65), draw.size(300)];
      const block = { rows: draw.random.pick([1, 3, 128]), columns: draw.random.pick([1, 5, 128]) };
      // Every block has 448 times a power of two as its largest, and the rest lie on a grid with
      // ties: all devices agree.
      const scales = new Map<string, number>();
      return {
        label: `[${n}, ${d}] in blocks of ${JSON.stringify(block)}`,
        inputs: {
          a: draw.from([n, d], (i) => {
            const [row, column] = [Math.floor(i / d), i % d];
            const key = `${Math.floor(row / block.rows)} ${Math.floor(column / block.columns)}`;
            const first = !scales.has(key);
            const scale = scales.get(key) ?? 2 ** draw.random.integer(-20, 10);
            scales.set(key, scale);
            const sign = draw.flag() ? 1 : -1;
            const tiny = draw.random.chance(0.3) ? 2 ** -10 : 1;
            return first
              ? sign * 448 * scale
              : (sign * scale * tiny * draw.random.integer(0, 1791)) / 4;
          }),
        },
        run({ backend, input, output }) {
          backend.quantizeFp8({
            out: output('out', [n, d]),
            a: input('a'),
            blockRows: block.rows,
            blockColumns: block.columns,
          });
        },
      };
    },
  },
];

/** @param shared some segments go on from others */
function balanceProblem(draw: Draw, shared: boolean): Problem {
  const n = draw.rows(65);
  const { experts: width, topK, options } = gate(draw);
  const accumulate = draw.flag();
  return {
    label: `${n} rows, ${topK} of ${width} experts, ${JSON.stringify(options)} += ${accumulate}`,
    inputs: {
      experts: choices(draw, n, width, topK),
      scores: draw.from([n, width], () => 0.02 + 0.96 * draw.random.uniform()),
      gradient: draw.numbers([n, topK]),
      ...sequencesOf(draw, n, 4, shared),
      before: draw.numbers([n, width]),
      lossBefore: draw.numbers([1]),
    },
    run({ backend, input, output, scalar }) {
      const dLogits = output('dLogits', [n, width], {
        initial: accumulate ? 'before' : undefined,
      });
      backend.routeBackward({
        dLogits,
        dWeights: input('gradient'),
        experts: input('experts'),
        scores: input('scores'),
        ...options,
        accumulate,
      });
      const both = output('dBoth', [n, width], { initial: 'before' });
      const loss = output('loss', [1], { initial: 'lossBefore' });
      backend.balanceLoss({
        dLogits: both,
        loss,
        scores: input('scores'),
        experts: input('experts'),
        segments: input('segments'),
        prefixes: shared ? input('prefixes') : null,
        coefficient: scalar(0.3),
      });
    },
  };
}
