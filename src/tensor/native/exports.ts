/**
 * @file The native kernels in the shape of the WASM kernels' exports, to stand in their places.
 */
import type { NativeKernels } from './kernels.js';

type Export = (...values: number[]) => void;

/** Rows whose sums fit into `SUMS_BYTES`. */
const ROWS = 64;
/** Three numbers a row. */
export const SUMS_BYTES = 4 * 3 * ROWS;

/**
 * Exports by name, with the arguments of the WASM kernels (kernels.ts, assembly/attention.ts).
 * @param sums offset of `SUMS_BYTES` that nothing else uses
 */
export function nativeExports(
  { functions }: NativeKernels,
  buffer: ArrayBufferLike,
  sums: number,
): Readonly<Record<string, Export>> {
  const floats = new Float32Array(buffer);
  const integers = new Int32Array(buffer);
  return {
    attentionSoftmax(scores, width, rows, first, logSumExp, heads) {
      for (let from = 0; from < rows; from += ROWS) {
        const count = Math.min(ROWS, rows - from);
        const lse = logSumExp + 4 * from * heads;
        const at = scores + 4 * from * width;
        functions.softmax(at, width, count, first + from + 1, lse, heads, sums);
        for (let r = 0; r < count; r++)
          floats[lse / 4 + r * heads] += Math.log(floats[sums / 4 + r]);
      }
    },
    attentionSoftmaxBackward(
      scores,
      dScores,
      width,
      rows,
      first,
      logSumExp,
      heads,
      dOut,
      dOutRow,
      out,
      outRow,
      valueDim,
      scale,
    ) {
      functions.softmaxBackward(
        scores,
        dScores,
        width,
        rows,
        first + 1,
        logSumExp,
        heads,
        dOut,
        dOutRow,
        out,
        outRow,
        valueDim,
        scale,
      );
    },
    tokenLogProbabilities(logProbabilities, entropy, logSumExp, logits, targets, rows, vocabulary) {
      for (let from = 0; from < rows; from += ROWS) {
        const count = Math.min(ROWS, rows - from);
        functions.logSums(logits + 4 * from * vocabulary, count, vocabulary, sums);
        for (let r = 0; r < count; r++) {
          const row = from + r;
          const [top, sum, weighted] = floats.subarray(sums / 4 + 3 * r, sums / 4 + 3 * r + 3);
          const logSum = Math.log(sum);
          const target = floats[logits / 4 + row * vocabulary + integers[targets / 4 + row]];
          floats[logProbabilities / 4 + row] = target - top - logSum;
          floats[entropy / 4 + row] = logSum - weighted / sum;
          floats[logSumExp / 4 + row] = top + logSum;
        }
      }
    },
    tokenLogProbabilitiesBackward: functions.logSumsBackward,
    swiglu: functions.swiglu,
    swigluBackward: functions.swigluBackward,
  };
}
