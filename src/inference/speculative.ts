/**
 * @file Speculative decoding (Leviathan et al. 2023, arXiv:2211.17192) with the module of
 * multi-token prediction as the draft (DeepSeek-V3, arXiv:2412.19437, section 5.4.3).
 *
 * After each pass of the model the module guesses one token further, and the next pass reads the
 * guess along with the token before it. Where p is what the model then says of that place and q
 * what the module said, the guess stands with probability min(1, p/q); a guess that falls is
 * replaced by a draw from what p has over q, max(0, p − q). Either way the token is distributed as
 * p, exactly (appendix A.1 there), whatever q is: a module that guesses badly costs time and
 * nothing else. A guess that stands has also brought the model's word on the token after it, so the
 * pass gives two.
 *
 * The module has a cache of its own, laid out as the model's: at a token's place it reads the
 * model's hidden state there and the token after it, so a prompt of n tokens fills n − 1 of its
 * places and a completion begins one place earlier.
 */
import { UserError } from '../base/errors.js';
import type { Model } from '../models/index.js';
import type { Backend, Tensor } from '../tensor/backend.js';
import { Tape, Variable } from '../tensor/tape.js';
import { choosingOf, type Distribution, logSumExp, pick, weigh } from './choose.js';
import { type CacheLayout, type Keyed, type Sequence, uniformOf } from './sequence.js';
import { type PackedPrompt, RowTable, type Steps } from './steps.js';

/** Probability that a token drawn from q stands where p is wanted. */
export function acceptance(p: Distribution, q: Distribution, token: number): number {
  return Math.min(1, p.weights[token] / p.total / (q.weights[token] / q.total));
}

/** What a token is drawn from that replaces one that fell. */
export function residual(p: Distribution, q: Distribution): Distribution {
  const weights = p.weights.map((w, v) => Math.max(0, w / p.total - q.weights[v] / q.total));
  const total = weights.reduce((sum, w) => sum + w, 0);
  // Where both are the same, rounding alone can make a guess fall.
  return total > 0 ? { weights, total } : p;
}

/** What a round has to know of the generation it belongs to. */
export interface SpeculationOptions extends Keyed {
  temperature: number;
  topP?: number;
  topK?: number;
  /** Max tokens of a completion. */
  limit: number;
  onToken?: (prompt: number, sample: number, token: number, logProbability: number) => void;
}

export interface Speculation {
  /**
   * After the model has read prompts and each sequence has its first token: reads them too, and
   * guesses. `hidden` is the prompts'
   */
  begin(
    prompts: readonly PackedPrompt[],
    hidden: Tensor,
    sequences: readonly { sequence: Sequence; row: number }[],
    options: SpeculationOptions,
  ): Promise<void>;
  /** Gives each sequence its next token, or the next two. */
  round(active: readonly Sequence[], options: SpeculationOptions): Promise<void>;
}

/**
 * A row for the module: the hidden state in row `row`, and the sequence's token number `index`,
 * which follows it.
 */
interface Ahead {
  sequence: Sequence;
  row: number;
  index: number;
}

/**
 * Puts the module's cache on the backend's stack. @throws UserError (usage) when the model has no
 * such module
 */
export function createSpeculation(
  backend: Backend,
  model: Model,
  steps: Steps,
  layout: CacheLayout,
  eos: number,
): Speculation {
  const { predictor } = model;
  if (!predictor) {
    throw new UserError(
      'usage',
      'draft: "mtp" needs a model with num_nextn_predict_layers: 1; leave it out',
      'draft',
    );
  }
  const cache = predictor.createCache(layout.rows);
  const tape = new Tape(backend, false);
  const vocabulary = model.head.shape[0];

  /** The rows of logits, on the host. */
  async function read(hidden: Tensor): Promise<(row: number) => Float32Array | Float64Array> {
    const all = (await backend.read(steps.logits(hidden))) as Float32Array | Float64Array;
    return (row) => all.subarray(row * vocabulary, (row + 1) * vocabulary);
  }

  /** A guess pays only where two more tokens may come. */
  const goesOn = ({ tokens }: Sequence, limit: number): boolean =>
    tokens[tokens.length - 1] !== eos && tokens.length + 2 <= limit;

  /** Runs the module on rows, of which each sequence's last tells its guess. */
  async function guess(
    ahead: readonly Ahead[],
    hidden: Tensor,
    options: SpeculationOptions,
  ): Promise<void> {
    if (ahead.length === 0) return;
    const table = new RowTable(ahead.length);
    for (const { sequence, index } of ahead) {
      const { promptLength, tokens, slot, promptSlot } = sequence;
      const own = layout.own(slot);
      table.add(
        tokens[index],
        promptLength - 1 + index,
        own + index,
        layout.prompt(promptSlot),
        promptLength - 1,
        own,
        index + 1,
      );
    }
    const input = steps.rows(table);
    const states = steps.select(
      hidden,
      ahead.map(({ row }) => row),
    );
    const out = predictor?.forward(tape, new Variable(states, false), input.ids, {
      ...input,
      cache,
    }) as Variable;
    const last = ahead.flatMap(({ sequence }, i) =>
      ahead[i + 1]?.sequence === sequence ? [] : [i],
    );
    const logits = await read(steps.select(out.value, last));
    last.forEach((i, row) => {
      const { sequence } = ahead[i];
      const q = weigh(logits(row), choosingOf(options), null);
      sequence.draft = {
        token: pick(q, uniformOf(options, sequence, sequence.tokens.length, 'draft')),
        q,
      };
    });
  }

  return {
    async begin(prompts, hidden, sequences, options) {
      const longer = prompts.filter(({ tokens }) => tokens.length > 1);
      if (longer.length > 0) {
        const states: number[] = [];
        let from = 0;
        for (const { tokens } of prompts) {
          for (let t = 0; t + 1 < tokens.length; t++) states.push(from + t);
          from += tokens.length;
        }
        const input = steps.packed(
          longer.map(({ tokens, firstRow }) => ({ tokens: tokens.slice(1), firstRow })),
        );
        predictor.forward(tape, new Variable(steps.select(hidden, states), false), input.ids, {
          ...input,
          cache,
        });
      }
      const open = sequences.filter(({ sequence }) => goesOn(sequence, options.limit));
      await guess(
        open.map(({ sequence, row }) => ({ sequence, row, index: 0 })),
        hidden,
        options,
      );
    },

    async round(active, options) {
      const { temperature, limit } = options;
      const choosing = choosingOf(options);
      // The model's word on the token after an end is not wanted.
      const reads = ({ draft }: Sequence): boolean => draft !== null && draft.token !== eos;
      const table = new RowTable(
        active.reduce((sum, sequence) => sum + (reads(sequence) ? 2 : 1), 0),
      );
      for (const s of active) {
        const own = s.tokens.length;
        const ownStart = layout.own(s.slot);
        const add = (token: number, ahead: number): void => {
          const at = own - 1 + ahead;
          table.add(
            token,
            s.promptLength + at,
            ownStart + at,
            layout.prompt(s.promptSlot),
            s.promptLength,
            ownStart,
            at + 1,
          );
        };
        add(s.tokens[own - 1], 0);
        if (s.draft && reads(s)) add(s.draft.token, 1);
      }
      const hidden = steps.decode(table);
      const logits = await read(hidden);

      const ahead: Ahead[] = [];
      let row = 0;
      for (const s of active) {
        const own = s.tokens.length;
        const { draft } = s;
        const take = (from: ArrayLike<number>, p: Distribution, token: number): void => {
          const logProbability =
            temperature === 0
              ? from[token] - logSumExp(from)
              : Math.log(p.weights[token] / p.total);
          s.tokens.push(token);
          s.logProbabilities.push(logProbability);
          options.onToken?.(s.prompt, s.sample, token, logProbability);
        };
        const draw = (from: ArrayLike<number>): void => {
          const p = weigh(from, choosing, null);
          take(from, p, pick(p, uniformOf(options, s, s.tokens.length)));
        };
        const rows = reads(s) ? 2 : 1;
        if (draft === null) draw(logits(row));
        else {
          const p = weigh(logits(row), choosing, null);
          const a = acceptance(p, draft.q, draft.token);
          const stands =
            pick(
              { weights: Float64Array.of(a, 1 - a), total: 1 },
              uniformOf(options, s, own, 'accept'),
            ) === 0;
          s.offered++;
          if (stands) {
            s.accepted++;
            take(logits(row), p, draft.token);
            if (draft.token !== eos) draw(logits(row + 1));
          } else take(logits(row), p, pick(residual(p, draft.q), uniformOf(options, s, own)));
        }
        s.draft = null;
        if (goesOn(s, limit))
          for (let i = own; i < s.tokens.length; i++)
            ahead.push({ sequence: s, row: row + i - own, index: i });
        row += rows;
      }
      await guess(ahead, hidden, options);
    },
  };
}
