/**
 * @file The passes through a model that sampling is made of, shared by the batch sampler and by the
 * server's engine.
 *
 * There are two. `prefill` takes whole prompts, packed, with attention among themselves: the fast
 * way to read many. `decode` takes single tokens, each against its own past in the cache. The
 * tokens may be of one sequence, since all keys and values are stored before any query looks at
 * them; so a part of a prompt, or drafted tokens, can go through `decode` as well, and what a row
 * then says depends on its past alone, not on how that past was computed. After either, `logits`
 * and `draw`.
 *
 * What a step allocates lies on the backend's stack above the caller's mark.
 */
import type { ForwardInput, KvCache, Model } from '../models/index.js';
import type { Backend, HostArray, Tensor } from '../tensor/backend.js';
import { Tape } from '../tensor/tape.js';

/** Integers that describe a row of `decode`, in the order in which a `RowTable` holds them. */
export const ROW_FIELDS = 7;

/** Rows of a decoding step, as the host fills them: one upload for all. */
export class RowTable {
  readonly data: Int32Array;
  private filled = 0;

  constructor(readonly rows: number) {
    this.data = new Int32Array(ROW_FIELDS * rows);
  }

  /**
   * The next row: a token, its position in its sequence, the cache row for its key and value, and
   * where its past lies.
   */
  add(
    id: number,
    position: number,
    cacheRow: number,
    prefixStart: number,
    prefixLength: number,
    ownStart: number,
    ownLength: number,
  ): void {
    const { data, rows } = this;
    const at = this.filled++;
    data[at] = id;
    data[rows + at] = position;
    data[2 * rows + at] = cacheRow;
    data[3 * rows + at] = prefixStart;
    data[4 * rows + at] = prefixLength;
    data[5 * rows + at] = ownStart;
    data[6 * rows + at] = ownLength;
  }
}

/** A prompt, and the first cache row for its keys and values. */
export interface PackedPrompt {
  tokens: readonly number[];
  firstRow: number;
}

export interface Steps {
  /** Uploads what a pass over whole prompts is told, but for the cache. */
  packed(prompts: readonly PackedPrompt[]): ForwardInput;
  /** Uploads what a pass over single tokens is told, but for the cache. */
  rows(table: RowTable): ForwardInput;
  /** Runs whole prompts through the model. @returns hidden states [Σ lengths, width] */
  prefill(prompts: readonly PackedPrompt[]): Tensor;
  /**
   * Runs single tokens through the model, each against its past. @returns hidden states [rows,
   * width]
   */
  decode(table: RowTable): Tensor;
  /** Some rows of hidden states. */
  select(hidden: Tensor, rows: readonly number[]): Tensor;
  /** Logits [rows, vocabulary] of hidden states. */
  logits(hidden: Tensor): Tensor;
  /** Draws a token for each row of logits, as `Backend.sample` does. */
  draw(
    logits: Tensor,
    uniforms: Float32Array,
    temperature: number,
  ): Promise<{ ids: HostArray; logProbabilities: HostArray }>;
}

export function createSteps(backend: Backend, model: Model, cache: KvCache): Steps {
  const tape = new Tape(backend, false);
  const [vocabulary, width] = model.head.shape;
  const integers = (values: readonly number[]): Tensor => {
    const tensor = backend.allocate('i32', [values.length]);
    backend.write(tensor, Int32Array.from(values));
    return tensor;
  };
  function packed(prompts: readonly PackedPrompt[]): ForwardInput {
    const ids: number[] = [];
    const positions: number[] = [];
    const cacheRows: number[] = [];
    const segments = [0];
    for (const { tokens, firstRow } of prompts) {
      for (let t = 0; t < tokens.length; t++) {
        ids.push(tokens[t]);
        positions.push(t);
        cacheRows.push(firstRow + t);
      }
      segments.push(ids.length);
    }
    return {
      ids: integers(ids),
      positions: integers(positions),
      segments: integers(segments),
      cacheRows: integers(cacheRows),
    };
  }

  function rowsOf({ rows, data }: RowTable): ForwardInput {
    const all = backend.allocate('i32', [ROW_FIELDS, rows]);
    backend.write(all, data);
    const row = (i: number): Tensor => backend.view(all, i * rows, [rows]);
    const tables = {
      prefixStart: row(3),
      prefixLength: row(4),
      ownStart: row(5),
      ownLength: row(6),
    };
    return { ids: row(0), positions: row(1), cacheRows: row(2), tables };
  }

  return {
    packed,
    rows: rowsOf,
    prefill: (prompts) => model.forward(tape, { ...packed(prompts), cache }).value,
    decode: (table) => model.forward(tape, { ...rowsOf(table), cache }).value,
    select(hidden, rows) {
      const out = backend.allocate('f32', [rows.length, width]);
      backend.gatherRows({ out, a: hidden, rows: integers(rows) });
      return out;
    },
    logits(hidden) {
      const out = backend.allocate('f32', [hidden.shape[0], vocabulary]);
      backend.matmul({ out, a: hidden, b: model.head.value, transposeB: true });
      return out;
    },
    async draw(logits, uniforms, temperature) {
      const rows = logits.shape[0];
      const uniformsTensor = backend.allocate('f32', [rows]);
      backend.write(uniformsTensor, uniforms);
      const idsTensor = backend.allocate('i32', [rows]);
      const logProbabilitiesTensor = backend.allocate('f32', [rows]);
      backend.sample({
        ids: idsTensor,
        logProbabilities: logProbabilitiesTensor,
        logits,
        uniforms: uniformsTensor,
        temperature,
      });
      const [ids, logProbabilities] = await Promise.all([
        backend.read(idsTensor),
        backend.read(logProbabilitiesTensor),
      ]);
      return { ids, logProbabilities };
    },
  };
}
