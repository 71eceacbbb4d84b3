/**
 * @file The vocabulary on the WASM memory: sampling, losses, and log-probabilities of tokens without the logits of a whole batch: rows go in chunks whose
 * logits stay in cache, and the derivative computes a chunk's logits again instead of keeping them.
 */

import type { WasmKernels } from './context.js';
import { multiply } from './products.js';
import type { WasmTensor } from './tensor.js';

/**
 * Logits of a chunk, in numbers: 1 MB, so that the softmax finds the product's result in the L2
 * cache.
 */
const CHUNK = 256 * 1024;
/** A product with fewer rows would read the whole head for too little work. */
const MINIMUM_ROWS = 64;
/** A frozen head is expanded once a chunk: that is to be small against the product. */
const MINIMUM_ROWS_FROZEN = 256;

const rowsOfChunk = (rows: number, head: WasmTensor): number =>
  Math.min(
    rows,
    Math.max(
      head.frozen ? MINIMUM_ROWS_FROZEN : MINIMUM_ROWS,
      Math.floor(CHUNK / Math.max(1, head.rows)),
    ),
  );

export const vocabulary: WasmKernels<
  | 'tokenLogProbabilities'
  | 'tokenLogProbabilitiesBackward'
  | 'sample'
  | 'crossEntropyLoss'
  | 'policyLoss'
> = {
  tokenLogProbabilities({ kernels, products, withScratch }, t, { N, V, D, temperature }) {
    const { logProbabilities, entropy, logSumExp, hidden, head, targets } = t;
    if (N === 0) return;
    const step = rowsOfChunk(N, head);
    withScratch((step + 1) * V * 4, (logits) => {
      const powers = logits + step * V * 4;
      for (let from = 0; from < N; from += step) {
        const rows = Math.min(step, N - from);
        const row = 4 * from;
        const x = hidden.address + row * D;
        multiply(products, head, false, true, rows, V, D, 1 / temperature, x, D, 0, logits, V);
        kernels.tokenLogProbabilities(
          logProbabilities.address + row,
          entropy.address + row,
          logSumExp.address + row,
          logits,
          targets.address + row,
          rows,
          V,
          powers,
        );
      }
    });
  },
  tokenLogProbabilitiesBackward({ kernels, products, withScratch }, t, numbers) {
    const { N, V, D, temperature, accumulate } = numbers;
    const { dHidden, dHead, dLogProbabilities, logSumExp, hidden, head, targets } = t;
    const { gemm } = products;
    const inverse = 1 / temperature;
    let headWritten = accumulate.dHead;
    const chunk = (from: number, rows: number, logits: number): void => {
      const row = 4 * from;
      const x = hidden.address + row * D;
      const to = dHidden ? dHidden.address + row * D : 0;
      // Prompts and padding have no derivative; whole chunks of them cost nothing.
      if (kernels.anyNonZero(dLogProbabilities.address + row, rows) === 0) {
        if (dHidden && !accumulate.dHidden) kernels.fill(to, rows * D, 0);
        return;
      }
      multiply(products, head, false, true, rows, V, D, inverse, x, D, 0, logits, V);
      kernels.tokenLogProbabilitiesBackward(
        logits,
        dLogProbabilities.address + row,
        logSumExp.address + row,
        targets.address + row,
        rows,
        V,
        inverse,
      );
      if (dHidden) {
        const beta = accumulate.dHidden ? 1 : 0;
        multiply(products, head, false, false, rows, D, V, 1, logits, V, beta, to, D);
      }
      if (dHead) {
        const beta = headWritten ? 1 : 0;
        gemm.sgemm(true, false, V, D, rows, 1, logits, V, x, D, beta, dHead.address, D);
        headWritten = true;
      }
    };
    const step = rowsOfChunk(N, head);
    if (N > 0 && (dHidden || dHead))
      withScratch(step * V * 4, (logits) => {
        for (let from = 0; from < N; from += step) chunk(from, Math.min(step, N - from), logits);
      });
    if (dHead && !headWritten) kernels.fill(dHead.address, dHead.size, 0);
  },
  sample({ kernels, withScratch }, t, { B, V, temperature }) {
    const { ids, logProbabilities, logits, uniforms } = t;
    const inverse = temperature === 0 ? 0 : 1 / temperature;
    withScratch(4 * V, (powers) =>
      kernels.sample(
        ids.address,
        logProbabilities.address,
        logits.address,
        uniforms.address,
        B,
        V,
        inverse,
        powers,
      ),
    );
  },
  crossEntropyLoss({ kernels }, { dLogProbabilities, loss, logProbabilities, weights }, { N }) {
    const [d, p] = [dLogProbabilities.address, logProbabilities.address];
    kernels.crossEntropyLoss(d, loss.address, p, weights.address, N);
  },
  policyLoss({ kernels }, t, { N, clipLow, clipHigh, klCoefficient }) {
    kernels.policyLoss(
      t.dLogProbabilities.address,
      t.metrics.address,
      t.logProbabilities.address,
      t.old.address,
      t.reference ? t.reference.address : 0,
      t.advantages.address,
      t.weights.address,
      N,
      clipLow,
      clipHigh,
      klCoefficient,
    );
  },
};
