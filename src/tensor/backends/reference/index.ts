/**
 * @file The judge: the whole backend contract in float64 TypeScript.
 *
 * It assembles the reference kernels that stand beside each operation, checks shapes strictly,
 * poisons uninitialised memory, and has one rank. Nothing here is fast and nothing here is clever.
 * Every other backend is compared with it; it is itself compared with finite differences.
 */
import { type Backend, matrixOf, type Tensor } from '../../backend.js';
import { adamwReference } from '../../operations/adamw.js';
import { attentionBackwardReference, attentionReference } from '../../operations/attention.js';
import { attentionCachedReference } from '../../operations/attention-cached.js';
import { addReference, copyReference, scaleReference } from '../../operations/elementwise.js';
import { embeddingBackwardReference, embeddingReference } from '../../operations/embedding.js';
import {
  combineRowsBackwardReference,
  combineRowsReference,
  sortByExpertReference,
} from '../../operations/experts.js';
import { gatherRowsReference, scatterRowsReference } from '../../operations/gather-rows.js';
import {
  clipScaleReference,
  inverseNormReference,
  sumSquaresReference,
} from '../../operations/gradient-norm.js';
import { groupedMatmulReference } from '../../operations/grouped-matmul.js';
import { joinHeadsBackwardReference, joinHeadsReference } from '../../operations/join-heads.js';
import { crossEntropyLossReference, policyLossReference } from '../../operations/losses.js';
import { matmulReference } from '../../operations/matmul.js';
import { composeMuon } from '../../operations/muon.js';
import { quantizeFp8Reference } from '../../operations/quantize-fp8.js';
import { demand, type Minus, subtract } from '../../operations/reference-kernel.js';
import { rmsNormBackwardReference, rmsNormReference } from '../../operations/rms-norm.js';
import { ropeReference } from '../../operations/rope.js';
import {
  balanceLossReference,
  routeBackwardReference,
  routeReference,
} from '../../operations/route.js';
import { sampleReference } from '../../operations/sample.js';
import { swigluBackwardReference, swigluReference } from '../../operations/swiglu.js';
import {
  tokenLogProbabilitiesBackwardReference,
  tokenLogProbabilitiesReference,
} from '../../operations/token-log-probabilities.js';
import { createMemory, floats, ints, matrix } from './memory.js';

/**
 * @param minus how differences of terms are taken; anything but the default is for the parity tests
 * (`Minus`).
 */
export function createReferenceBackend(minus: Minus = subtract): Backend {
  const memory = createMemory();
  const backend: Backend = {
    name: 'reference',
    onHost: true,
    fingerprint: 'reference float64',
    ranks: {
      rank: 0,
      worldSize: 1,
      barrier: async () => {},
      sum: async (values) => [...values],
      reduce: (tensor) => void floats(tensor),
    },
    ...memory,
    sync: async () => {},
    close: async () => {},

    fill(out, value) {
      if (out.dtype === 'i32') ints(out).fill(value);
      else floats(out).fill(value);
    },
    copy(out, a) {
      expectMatrix('copy: out', out, a);
      copyReference(matrix(out), matrix(a));
    },
    add(out, a, b) {
      expectMatrix('add: b', b, a);
      expectMatrix('add: out', out, a);
      addReference(floats(out), floats(a), floats(b));
    },
    scale(out, a, scale, accumulate) {
      expectMatrix('scale: out', out, a);
      scaleReference(matrix(out), matrix(a), scale, accumulate);
    },
    scaleBy(out, a, s) {
      expectMatrix('scaleBy: out', out, a);
      floats(a).forEach((value, i) => {
        floats(out)[i] = value * floats(s)[0];
      });
    },

    matmul(out, a, b, options = {}) {
      const { transposeA = false, transposeB = false } = options;
      const [m, inner] = orient(matrixOf(a), transposeA);
      const [innerB, n] = orient(matrixOf(b), transposeB);
      demand(inner === innerB, `matmul: inner dimensions ${inner} and ${innerB} differ`);
      expect('matmul: out', out, m, n);
      matmulReference(matrix(out), matrix(a), matrix(b), options);
    },
    batchedMatmul(out, a, b, options) {
      const slice = (t: Tensor, i: number): Tensor => {
        const [, rows, columns] = t.shape;
        return memory.view(t, i * rows * columns, [rows, columns]);
      };
      demand(
        a.shape[0] === out.shape[0] && b.shape[0] === out.shape[0],
        'batchedMatmul: batches differ',
      );
      for (let i = 0; i < out.shape[0]; i++)
        this.matmul(slice(out, i), slice(a, i), slice(b, i), options);
    },
    groupedMatmul(out, a, b, offsets, kind, accumulate) {
      const [, m, k] = kind === 'weight' ? out.shape : b.shape;
      groupedMatmulReference(
        floats(out),
        floats(a),
        floats(b),
        ints(offsets),
        kind,
        accumulate,
        m,
        k,
      );
    },

    rmsNorm(out, inverseRms, x, weight, epsilon) {
      expectMatrix('rmsNorm: out', out, x);
      const { rows, columns } = matrixOf(x);
      expect('rmsNorm: inverseRms', inverseRms, rows, columns / floats(weight).length);
      rmsNormReference(matrix(out), matrix(inverseRms), matrix(x), floats(weight), epsilon);
    },
    rmsNormBackward(dx, dWeight, dOut, x, weight, inverseRms, accumulate) {
      expectMatrix('rmsNormBackward: dOut', dOut, x);
      if (dx) expectMatrix('rmsNormBackward: dx', dx, x);
      rmsNormBackwardReference(
        dx && matrix(dx),
        dWeight && floats(dWeight),
        matrix(dOut),
        matrix(x),
        floats(weight),
        matrix(inverseRms),
        accumulate,
        minus,
      );
    },
    rope(out, x, positions, cosine, sine, options) {
      expectMatrix('rope: out', out, x);
      const rows = matrixOf(x).rows;
      demand(
        rows === 0 || rows % ints(positions).length === 0,
        'rope: equally many rows for each position',
      );
      ropeReference(
        matrix(out),
        matrix(x),
        ints(positions),
        matrix(cosine),
        matrix(sine),
        options,
        minus,
      );
    },
    swiglu(out, gateUp) {
      const { rows, columns } = matrixOf(out);
      expect('swiglu: gateUp', gateUp, rows, 2 * columns);
      swigluReference(floats(out), floats(gateUp), columns);
    },
    swigluBackward(dGateUp, dOut, gateUp, accumulate) {
      expectMatrix('swigluBackward: dGateUp', dGateUp, gateUp);
      swigluBackwardReference(
        floats(dGateUp),
        floats(dOut),
        floats(gateUp),
        accumulate,
        matrixOf(dOut).columns,
      );
    },
    embedding(out, table, ids) {
      expect('embedding: out', out, ints(ids).length, matrixOf(table).columns);
      embeddingReference(matrix(out), matrix(table), ints(ids));
    },
    embeddingBackward(dTable, dOut, ids, accumulate) {
      expect('embeddingBackward: dOut', dOut, ints(ids).length, matrixOf(dTable).columns);
      embeddingBackwardReference(floats(dTable), matrix(dOut), ints(ids), accumulate);
    },
    gatherRows(out, a, rows) {
      expect('gatherRows: out', out, ints(rows).length, matrixOf(a).columns);
      gatherRowsReference(matrix(out), matrix(a), ints(rows));
    },
    scatterRows(out, a, rows, accumulate) {
      expect('scatterRows: a', a, ints(rows).length, matrixOf(out).columns);
      scatterRowsReference(matrix(out), matrix(a), ints(rows), accumulate);
    },
    attention(out, logSumExp, q, k, v, segments, options) {
      expect(
        'attention: out',
        out,
        matrixOf(q).rows,
        (matrixOf(v).columns / options.kvHeads) * options.heads,
      );
      expect('attention: logSumExp', logSumExp, matrixOf(q).rows, options.heads);
      demand(
        ints(segments).at(-1) === matrixOf(q).rows,
        'attention: the last segment must end at the last row',
      );
      attentionReference(
        matrix(out),
        matrix(logSumExp),
        matrix(q),
        matrix(k),
        matrix(v),
        ints(segments),
        options,
      );
    },
    attentionBackward(d, dOut, out, logSumExp, q, k, v, segments, options, accumulate) {
      expectMatrix('attentionBackward: dq', d.q, q);
      expectMatrix('attentionBackward: dk', d.k, k);
      expectMatrix('attentionBackward: dv', d.v, v);
      expectMatrix('attentionBackward: dOut', dOut, out);
      attentionBackwardReference(
        { q: matrix(d.q), k: matrix(d.k), v: matrix(d.v) },
        matrix(dOut),
        matrix(out),
        matrix(logSumExp),
        matrix(q),
        matrix(k),
        matrix(v),
        ints(segments),
        options,
        accumulate,
        minus,
      );
    },
    attentionCached(out, q, keys, values, tables, options) {
      attentionCachedReference(
        matrix(out),
        matrix(q),
        matrix(keys),
        matrix(values),
        {
          prefixStart: ints(tables.prefixStart),
          prefixLength: ints(tables.prefixLength),
          ownStart: ints(tables.ownStart),
          ownLength: ints(tables.ownLength),
        },
        options,
      );
    },

    joinHeads(k, v, up, shared, heads) {
      const { rows, columns } = matrixOf(up);
      const dv = matrixOf(v).columns / heads;
      expect('joinHeads: k', k, rows, columns - heads * dv + heads * matrixOf(shared).columns);
      joinHeadsReference(matrix(k), matrix(v), matrix(up), matrix(shared), heads);
    },
    joinHeadsBackward(dUp, dShared, dk, dv, heads, accumulate) {
      const { rows, columns } = matrixOf(dk);
      expect(
        'joinHeadsBackward: dUp',
        dUp,
        rows,
        columns - heads * matrixOf(dShared).columns + matrixOf(dv).columns,
      );
      joinHeadsBackwardReference(
        matrix(dUp),
        matrix(dShared),
        matrix(dk),
        matrix(dv),
        heads,
        accumulate,
      );
    },
    route(experts, weights, scores, logits, bias, options) {
      const { rows, columns } = matrixOf(logits);
      expectMatrix('route: scores', scores, logits);
      expect('route: bias', bias, 1, columns);
      expect('route: weights', weights, rows, matrixOf(experts).columns);
      const { groups, topGroups } = options;
      demand(
        columns % groups === 0 && topGroups <= groups,
        `route: ${topGroups} of ${groups} groups of ${columns} experts`,
      );
      const topK = matrixOf(experts).columns;
      demand(
        topK <= (topGroups * columns) / groups,
        `route: ${topK} experts are not in ${topGroups} groups`,
      );
      routeReference(
        ints(experts),
        floats(weights),
        floats(scores),
        floats(logits),
        floats(bias),
        topK,
        options,
      );
    },
    routeBackward(dLogits, dWeights, experts, scores, options, accumulate) {
      expectMatrix('routeBackward: dLogits', dLogits, scores);
      expectMatrix('routeBackward: dWeights', dWeights, experts);
      const [width, topK] = [matrixOf(scores).columns, matrixOf(experts).columns];
      const own = ints(experts);
      routeBackwardReference(
        floats(dLogits),
        floats(dWeights),
        own,
        floats(scores),
        width,
        topK,
        options,
        accumulate,
        minus,
      );
    },
    balanceLoss(dLogits, loss, scores, experts, segments, coefficient) {
      expectMatrix('balanceLoss: dLogits', dLogits, scores);
      demand(
        ints(segments).at(-1) === matrixOf(scores).rows,
        'balanceLoss: the last segment must end at the last row',
      );
      const [width, topK] = [matrixOf(scores).columns, matrixOf(experts).columns];
      balanceLossReference(
        floats(dLogits),
        floats(loss),
        floats(scores),
        ints(experts),
        ints(segments),
        width,
        topK,
        coefficient,
        minus,
      );
    },
    sortByExpert(offsets, tokens, slots, load, experts) {
      demand(ints(tokens).length === ints(experts).length, 'sortByExpert: one token a choice');
      demand(
        !load || floats(load).length === ints(offsets).length - 1,
        'sortByExpert: one load an expert',
      );
      const topK = matrixOf(experts).columns;
      sortByExpertReference(
        ints(offsets),
        ints(tokens),
        ints(slots),
        load && floats(load),
        ints(experts),
        topK,
      );
    },
    combineRows(out, y, slots, weights, accumulate) {
      expect('combineRows: y', y, ints(slots).length, matrixOf(out).columns);
      if (weights) expectMatrix('combineRows: weights', weights, slots);
      combineRowsReference(
        matrix(out),
        matrix(y),
        ints(slots),
        weights && floats(weights),
        accumulate,
      );
    },
    combineRowsBackward(dY, dWeights, dOut, y, slots, weights) {
      expectMatrix('combineRowsBackward: dY', dY, y);
      expectMatrix('combineRowsBackward: dWeights', dWeights, weights);
      combineRowsBackwardReference(
        matrix(dY),
        floats(dWeights),
        matrix(dOut),
        matrix(y),
        ints(slots),
        floats(weights),
      );
    },
    quantizeFp8(out, a, block) {
      expectMatrix('quantizeFp8: out', out, a);
      quantizeFp8Reference(matrix(out), matrix(a), block);
    },

    tokenLogProbabilities(
      logProbabilities,
      entropy,
      logSumExp,
      hidden,
      head,
      targets,
      temperature,
    ) {
      const n = matrixOf(hidden).rows;
      expect('tokenLogProbabilities: logProbabilities', logProbabilities, 1, n);
      expect('tokenLogProbabilities: head', head, matrixOf(head).rows, matrixOf(hidden).columns);
      tokenLogProbabilitiesReference(
        floats(logProbabilities),
        floats(entropy),
        floats(logSumExp),
        matrix(hidden),
        matrix(head),
        ints(targets),
        temperature,
        minus,
      );
    },
    tokenLogProbabilitiesBackward(
      dHidden,
      dHead,
      dOut,
      logSumExp,
      hidden,
      head,
      targets,
      temperature,
      accumulate,
    ) {
      if (dHidden) expectMatrix('tokenLogProbabilitiesBackward: dHidden', dHidden, hidden);
      if (dHead) expectMatrix('tokenLogProbabilitiesBackward: dHead', dHead, head);
      tokenLogProbabilitiesBackwardReference(
        dHidden && matrix(dHidden),
        dHead && matrix(dHead),
        floats(dOut),
        floats(logSumExp),
        matrix(hidden),
        matrix(head),
        ints(targets),
        temperature,
        accumulate,
        minus,
      );
    },
    sample(ids, logProbabilities, logits, uniforms, temperature) {
      expect('sample: uniforms', uniforms, 1, matrixOf(logits).rows);
      sampleReference(
        ints(ids),
        floats(logProbabilities),
        matrix(logits),
        floats(uniforms),
        temperature,
        minus,
      );
    },

    crossEntropyLoss(dLogProbabilities, loss, logProbabilities, weights) {
      expectMatrix('crossEntropyLoss: weights', weights, logProbabilities);
      crossEntropyLossReference(
        floats(dLogProbabilities),
        floats(loss),
        floats(logProbabilities),
        floats(weights),
      );
    },
    policyLoss(
      dLogProbabilities,
      metrics,
      logProbabilities,
      old,
      reference,
      advantages,
      weights,
      options,
    ) {
      for (const tensor of [
        dLogProbabilities,
        old,
        advantages,
        weights,
        ...(reference ? [reference] : []),
      ]) {
        expectMatrix('policyLoss: every input', tensor, logProbabilities);
      }
      demand(
        reference !== null || options.klCoefficient === 0,
        'policyLoss: a KL coefficient needs a reference policy',
      );
      policyLossReference(
        floats(dLogProbabilities),
        floats(metrics),
        floats(logProbabilities),
        floats(old),
        reference && floats(reference),
        floats(advantages),
        floats(weights),
        options,
        minus,
      );
    },

    sumSquares: (out, x, accumulate) => sumSquaresReference(floats(out), floats(x), accumulate),
    clipScale: (out, sumSquares, maxNorm) =>
      clipScaleReference(floats(out), floats(sumSquares), maxNorm),
    inverseNorm: (out, sumSquares, epsilon) =>
      inverseNormReference(floats(out), floats(sumSquares), epsilon),
    adamw(parameter, firstMoment, secondMoment, gradient, gradientScale, options) {
      for (const tensor of [firstMoment, secondMoment, gradient])
        expectSize('adamw: every tensor', tensor, parameter);
      adamwReference(
        floats(parameter),
        floats(firstMoment),
        floats(secondMoment),
        floats(gradient),
        floats(gradientScale),
        options,
        minus,
      );
    },
    muon: (...update) => composeMuon(backend, ...update),
  };
  return backend;
}

const orient = (
  { rows, columns }: { rows: number; columns: number },
  transpose: boolean,
): [number, number] => (transpose ? [columns, rows] : [rows, columns]);

function expect(what: string, tensor: Tensor, rows: number, columns: number): void {
  const found = matrixOf(tensor);
  const right = found.rows === rows && found.columns === columns;
  demand(right, `${what} must be [${rows}, ${columns}], not [${tensor.shape}]`);
}

function expectMatrix(what: string, tensor: Tensor, like: Tensor): void {
  const { rows, columns } = matrixOf(like);
  expect(what, tensor, rows, columns);
}

function expectSize(what: string, tensor: Tensor, like: Tensor): void {
  demand(
    floats(tensor).length === floats(like).length,
    `${what} must be as long as [${like.shape}]`,
  );
}
