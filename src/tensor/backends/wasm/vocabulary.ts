/**
 * @file Log-probabilities of tokens without the logits of a whole batch: rows go in chunks whose
 * logits stay in cache, and the derivative computes a chunk's logits again instead of keeping them.
 */

import type { Tensor } from '../../backend.js';
import type { KernelExports } from './kernels.js';
import { multiply, type ProductContext } from './products.js';
import { f32, i32, mismatch, type WasmTensor } from './tensor.js';

export interface VocabularyContext extends ProductContext {
  kernels: KernelExports;
}

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
      head.bits ? MINIMUM_ROWS_FROZEN : MINIMUM_ROWS,
      Math.floor(CHUNK / Math.max(1, head.rows)),
    ),
  );

/** The head: f32, or frozen. */
function headOf(method: string, t: Tensor): WasmTensor {
  return t.dtype === 'bf16' ? (t as WasmTensor) : f32(method, t);
}

function check(
  method: string,
  hidden: WasmTensor,
  head: WasmTensor,
  targets: WasmTensor,
  ...perRow: WasmTensor[]
): void {
  const rows = hidden.rows;
  if (
    head.columns !== hidden.columns ||
    targets.size !== rows ||
    perRow.some((t) => t.size !== rows)
  ) {
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
  const head = headOf(method, headT);
  const targets = i32(method, targetsT);
  check(method, hidden, head, targets, logProbabilities, entropy, logSumExp);
  const d = hidden.columns;
  const vocabulary = head.rows;
  const step = rowsOfChunk(hidden.rows, head);
  if (hidden.rows === 0) return;
  context.withScratch((step + 1) * vocabulary * 4, (logits) => {
    const powers = logits + step * vocabulary * 4;
    for (let from = 0; from < hidden.rows; from += step) {
      const rows = Math.min(step, hidden.rows - from);
      const row = 4 * from;
      const x = hidden.address + row * d;
      multiply(
        context,
        head,
        false,
        true,
        rows,
        vocabulary,
        d,
        1 / temperature,
        x,
        d,
        0,
        logits,
        vocabulary,
      );
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
  const head = headOf(method, headT);
  const targets = i32(method, targetsT);
  check(method, hidden, head, targets, dLogProbabilities, logSumExp);
  if (
    (dHidden && dHidden.size !== hidden.size) ||
    (dHead && (head.bits || dHead.size !== head.size))
  ) {
    throw mismatch(method, 'shapes do not fit', { dHidden, dHead, hidden, head });
  }
  const { gemm, kernels } = context;
  const d = hidden.columns;
  const vocabulary = head.rows;
  const step = rowsOfChunk(hidden.rows, head);
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
        multiply(
          context,
          head,
          false,
          true,
          rows,
          vocabulary,
          d,
          1 / temperature,
          x,
          d,
          0,
          logits,
          vocabulary,
        );
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
          multiply(
            context,
            head,
            false,
            false,
            rows,
            d,
            vocabulary,
            1,
            logits,
            vocabulary,
            beta,
            dHidden.address + row * d,
            d,
          );
        }
        if (dHead) {
          gemm.sgemm(
            true,
            false,
            vocabulary,
            d,
            rows,
            1,
            logits,
            vocabulary,
            x,
            d,
            headWritten ? 1 : 0,
            dHead.address,
            d,
          );
          headWritten = true;
        }
      }
    });
  }
  if (dHead && !headWritten) kernels.fill(dHead.address, dHead.size, 0);
}
