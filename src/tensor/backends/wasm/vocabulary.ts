/**
 * @file Log-probabilities of tokens without the logits of a whole batch: rows go in chunks whose logits stay in cache, and
 * the derivative computes a chunk's logits again instead of keeping them.
 */

import type { Tensor } from '../../backend.js';
import type { Gemm } from './gemm.js';
import type { KernelExports } from './kernels.js';
import { f32, i32, mismatch, type WasmTensor } from './tensor.js';

export interface VocabularyContext {
  gemm: Gemm;
  kernels: KernelExports;
  withScratch(bytes: number, body: (address: number) => void): void;
}

/** Logits of a chunk, in numbers: 1 MB, so that the softmax finds the product's result in the L2 cache. */
const CHUNK = 256 * 1024;
/** A product with fewer rows would read the whole head for too little work. */
const MINIMUM_ROWS = 64;

const rowsOfChunk = (rows: number, vocabulary: number): number =>
  Math.min(rows, Math.max(MINIMUM_ROWS, Math.floor(CHUNK / Math.max(1, vocabulary))));

function check(method: string, hidden: WasmTensor, head: WasmTensor, targets: WasmTensor, ...perRow: WasmTensor[]): void {
  const rows = hidden.rows;
  if (head.columns !== hidden.columns || targets.size !== rows || perRow.some((t) => t.size !== rows)) {
    throw mismatch(method, 'shapes do not fit', { hidden, head, targets, output: perRow[0] });
  }
}

export function tokenLogProbabilities(
  context: VocabularyContext,
  logProbabilitiesT: Tensor,
  entropyT: Tensor,
  logSumExpT: Tensor,
  hiddenT: Tensor,
  headT: Tensor,
  targetsT: Tensor,
  temperature: number,
): void {
  const method = 'tokenLogProbabilities';
  const logProbabilities = f32(method, logProbabilitiesT);
  const entropy = f32(method, entropyT);
  const logSumExp = f32(method, logSumExpT);
  const hidden = f32(method, hiddenT);
  const head = f32(method, headT);
  const targets = i32(method, targetsT);
  check(method, hidden, head, targets, logProbabilities, entropy, logSumExp);
  const d = hidden.columns;
  const vocabulary = head.rows;
  const step = rowsOfChunk(hidden.rows, vocabulary);
  if (hidden.rows === 0) return;
  context.withScratch((step + 1) * vocabulary * 4, (logits) => {
    const powers = logits + step * vocabulary * 4;
    for (let from = 0; from < hidden.rows; from += step) {
      const rows = Math.min(step, hidden.rows - from);
      const row = 4 * from;
      const x = hidden.address + row * d;
      context.gemm.sgemm(false, true, rows, vocabulary, d, 1 / temperature, x, d, head.address, d, 0, logits, vocabulary);
      context.kernels.tokenLogProbabilities(
        logProbabilities.address + row,
        entropy.address + row,
        logSumExp.address + row,
        logits,
        targets.address + row,
        rows,
        vocabulary,
        powers,
      );
    }
  });
}

export function tokenLogProbabilitiesBackward(
  context: VocabularyContext,
  dHiddenT: Tensor | null,
  dHeadT: Tensor | null,
  dLogProbabilitiesT: Tensor,
  logSumExpT: Tensor,
  hiddenT: Tensor,
  headT: Tensor,
  targetsT: Tensor,
  temperature: number,
  accumulate: { dHidden: boolean; dHead: boolean },
): void {
  const method = 'tokenLogProbabilitiesBackward';
  const dHidden = dHiddenT && f32(method, dHiddenT);
  const dHead = dHeadT && f32(method, dHeadT);
  const dLogProbabilities = f32(method, dLogProbabilitiesT);
  const logSumExp = f32(method, logSumExpT);
  const hidden = f32(method, hiddenT);
  const head = f32(method, headT);
  const targets = i32(method, targetsT);
  check(method, hidden, head, targets, dLogProbabilities, logSumExp);
  if ((dHidden && dHidden.size !== hidden.size) || (dHead && dHead.size !== head.size)) {
    throw mismatch(method, 'shapes do not fit', { dHidden, dHead, hidden, head });
  }
  const { gemm, kernels } = context;
  const d = hidden.columns;
  const vocabulary = head.rows;
  const step = rowsOfChunk(hidden.rows, vocabulary);
  let headWritten = accumulate.dHead;
  if (hidden.rows > 0 && (dHidden || dHead)) {
    context.withScratch(step * vocabulary * 4, (logits) => {
      for (let from = 0; from < hidden.rows; from += step) {
        const rows = Math.min(step, hidden.rows - from);
        const row = 4 * from;
        const x = hidden.address + row * d;
        // Prompts and padding have no derivative; whole chunks of them cost nothing.
        if (kernels.anyNonZero(dLogProbabilities.address + row, rows) === 0) {
          if (dHidden && !accumulate.dHidden) kernels.fill(dHidden.address + row * d, rows * d, 0);
          continue;
        }
        gemm.sgemm(false, true, rows, vocabulary, d, 1 / temperature, x, d, head.address, d, 0, logits, vocabulary);
        kernels.tokenLogProbabilitiesBackward(
          logits,
          dLogProbabilities.address + row,
          logSumExp.address + row,
          targets.address + row,
          rows,
          vocabulary,
          1 / temperature,
        );
        if (dHidden) {
          const beta = accumulate.dHidden ? 1 : 0;
          gemm.sgemm(
            false,
            false,
            rows,
            d,
            vocabulary,
            1,
            logits,
            vocabulary,
            head.address,
            d,
            beta,
            dHidden.address + row * d,
            d,
          );
        }
        if (dHead) {
          gemm.sgemm(true, false, vocabulary, d, rows, 1, logits, vocabulary, x, d, headWritten ? 1 : 0, dHead.address, d);
          headWritten = true;
        }
      }
    });
  }
  if (dHead && !headWritten) kernels.fill(dHead.address, dHead.size, 0);
}
