/**
 * @file The sampler: many completions of many prompts, as one moving batch.
 *
 * Every sequence owns a slot of a preallocated cache. The samples of one prompt share the rows that
 * hold the prompt's keys and values, which are computed once. When enough sequences have ended, the
 * next prompts are prefilled into the freed slots (continuous batching, Yu et al. 2022), so that a
 * long completion does not hold up the rest.
 *
 * A token depends on (key, prompt index, sample index, position) and the weights alone, up to
 * rounding: the random number for each draw is keyed by them, whatever else is in the batch. With a
 * draft (speculative.ts) it depends on the draft as well.
 */
import { UserError } from '../base/errors.js';
import type { KvCache, Model } from '../models/index.js';
import type { Backend, HostArray, Tensor } from '../tensor/backend.js';
import { type Choosing, choosingOf, isPlain, pick, weigh } from './choose.js';
import { CacheLayout, type Sequence, uniformOf } from './sequence.js';
import { createSpeculation } from './speculative.js';
import { createSteps, RowTable } from './steps.js';

/**
 * Sequences decoded at once where a stage would take more: beyond this, larger products are no
 * faster.
 */
export const MAX_CAPACITY = 256;

/** Prompt tokens that go through the model at once, so that activations stay small. */
const PREFILL_TOKENS = 4096;

/** Why a completion ended: the end-of-sequence token, or the limit on its length. */
export type SampleStop = 'eos' | 'length';

export interface Completion {
  /** Index into the prompts given. */
  prompt: number;
  /** 0 … samples − 1. */
  sample: number;
  /** Generated tokens, the end-of-sequence token included when there is one. */
  tokens: number[];
  /** Log-probability (nats) of each token under the tempered distribution that drew it. */
  logProbabilities: number[];
  stop: SampleStop;
  /** With a draft: how many tokens it guessed, and how many of them stood. */
  drafts?: { offered: number; accepted: number };
}

export interface GenerateOptions {
  /** Completions of each prompt. */
  samples: number;
  /** Max tokens of a completion. */
  maxTokens: number;
  /** 0 takes the most likely token. */
  temperature: number;
  /** As in `Choosing`; without them every token may come. */
  topP?: number;
  topK?: number;
  /** Names the random stream, for example [seed, stage, step]. */
  key: readonly (number | string)[];
  /**
   * Number of prompt i in the key; defaults to i. Lets ranks that hold parts of a batch draw what
   * one rank would.
   */
  promptIndex?: (i: number) => number;
  /**
   * Sees each token as it is drawn, and its log-probability (nats). What it throws ends the
   * generation.
   */
  onToken?: (prompt: number, sample: number, token: number, logProbability: number) => void;
  /** Sees each completion as it ends. */
  onCompletion?: (completion: Completion) => void;
}

export interface SamplerOptions {
  /** Sequences decoded at once. */
  capacity: number;
  /** Longest prompt, tokens. */
  maxPrompt: number;
  maxTokens: number;
  eos: number;
  /**
   * `mtp`: the model's module of multi-token prediction guesses ahead. The distribution of what is
   * drawn stays the same.
   */
  draft?: 'mtp';
}

/** Sequences of one prompt that begin together, and the slot that holds the prompt. */
interface Group {
  prompt: number;
  promptSlot: number;
  sequences: Sequence[];
}

export interface Sampler {
  readonly cache: KvCache;
  /** In the order (prompt, sample). */
  generate(
    prompts: readonly (readonly number[])[],
    options: GenerateOptions,
  ): Promise<Completion[]>;
}

/** `Steps.draw` on the host, for rules that the device does not know. */
function drawChosen(logits: HostArray, uniforms: Float32Array, choosing: Choosing) {
  const vocabulary = logits.length / uniforms.length;
  const drawn = Array.from(uniforms, (uniform, b) => {
    const p = weigh(logits.subarray(b * vocabulary, (b + 1) * vocabulary), choosing, null);
    const id = pick(p, uniform);
    return { id, logProbability: Math.log(p.weights[id] / p.total) };
  });
  return {
    ids: drawn.map(({ id }) => id),
    logProbabilities: drawn.map(({ logProbability }) => logProbability),
  };
}

/** Puts a cache on the backend's stack; the caller releases it with its own mark. */
export function createSampler(backend: Backend, model: Model, limits: SamplerOptions): Sampler {
  const { capacity, maxPrompt, maxTokens, eos } = limits;
  const longest = model.config.max_position_embeddings;
  if (maxPrompt + maxTokens > longest) {
    throw new UserError(
      'usage',
      `prompt (${maxPrompt}) and completion (${maxTokens} tokens) exceed the model's max_position_embeddings (${longest}); ask for fewer tokens`,
      'maxTokens',
    );
  }
  const layout = new CacheLayout(capacity, maxPrompt, maxTokens);
  const cache = model.createCache(layout.rows);
  const steps = createSteps(backend, model, cache);
  const speculation = limits.draft ? createSpeculation(backend, model, steps, layout, eos) : null;
  const speculationOptions = (options: GenerateOptions) => ({
    ...options,
    limit: Math.min(options.maxTokens, maxTokens),
  });

  /** Draws the next token of each sequence from hidden states [B, width]; appends it. */
  async function draw(
    hidden: Tensor,
    sequences: readonly Sequence[],
    options: GenerateOptions,
  ): Promise<void> {
    const batch = sequences.length;
    const logits = steps.logits(hidden);
    const uniforms = new Float32Array(batch);
    if (options.temperature > 0) {
      for (let b = 0; b < batch; b++) {
        uniforms[b] = uniformOf(options, sequences[b], sequences[b].tokens.length);
      }
    }
    const choosing = choosingOf(options);
    const { ids, logProbabilities } = isPlain(choosing)
      ? await steps.draw(logits, uniforms, options.temperature)
      : drawChosen(await backend.read(logits), uniforms, choosing);
    for (let b = 0; b < batch; b++) {
      sequences[b].tokens.push(ids[b]);
      sequences[b].logProbabilities.push(logProbabilities[b]);
      options.onToken?.(sequences[b].prompt, sequences[b].sample, ids[b], logProbabilities[b]);
    }
  }

  /** Runs the prompts through the model, filling the cache, and draws each sample's first token. */
  async function prefill(
    prompts: readonly (readonly number[])[],
    admitted: readonly Group[],
    options: GenerateOptions,
  ): Promise<void> {
    const lastRows: number[] = [];
    let rows = 0;
    for (const group of admitted) {
      rows += prompts[group.prompt].length;
      for (let s = 0; s < group.sequences.length; s++) lastRows.push(rows - 1);
    }
    const mark = backend.mark();
    const packed = admitted.map(({ prompt, promptSlot }) => ({
      tokens: prompts[prompt],
      firstRow: layout.prompt(promptSlot),
    }));
    const hidden = steps.prefill(packed);
    const sequences = admitted.flatMap((group) => group.sequences);
    await draw(steps.select(hidden, lastRows), sequences, options);
    const started = sequences.map((sequence, i) => ({ sequence, row: lastRows[i] }));
    await speculation?.begin(packed, hidden, started, speculationOptions(options));
    backend.release(mark);
  }

  /** `prefill`, in parts of at most `PREFILL_TOKENS` tokens. */
  async function start(
    prompts: readonly (readonly number[])[],
    admitted: readonly Group[],
    options: GenerateOptions,
  ): Promise<void> {
    let part: Group[] = [];
    let tokens = 0;
    for (const group of admitted) {
      const { length } = prompts[group.prompt];
      if (part.length > 0 && tokens + length > PREFILL_TOKENS) {
        await prefill(prompts, part, options);
        part = [];
        tokens = 0;
      }
      part.push(group);
      tokens += length;
    }
    await prefill(prompts, part, options);
  }

  /** Feeds each sequence's latest token and draws its next one, or its next two. */
  async function decode(active: readonly Sequence[], options: GenerateOptions): Promise<void> {
    const mark = backend.mark();
    if (speculation) {
      await speculation.round(active, speculationOptions(options));
      backend.release(mark);
      return;
    }
    const table = new RowTable(active.length);
    for (const s of active) {
      const own = s.tokens.length;
      const ownStart = layout.own(s.slot);
      const prefixStart = layout.prompt(s.promptSlot);
      const position = s.promptLength + own - 1;
      table.add(
        s.tokens[own - 1],
        position,
        ownStart + own - 1,
        prefixStart,
        s.promptLength,
        ownStart,
        own,
      );
    }
    await draw(steps.decode(table), active, options);
    backend.release(mark);
  }

  async function generate(
    prompts: readonly (readonly number[])[],
    options: GenerateOptions,
  ): Promise<Completion[]> {
    const { samples } = options;
    const limit = Math.min(options.maxTokens, maxTokens);
    const tooLong = prompts.findIndex((prompt) => prompt.length > maxPrompt || prompt.length === 0);
    if (tooLong >= 0) {
      throw new UserError(
        'usage',
        `a prompt has ${prompts[tooLong].length} tokens; this sampler takes 1 to ${maxPrompt}`,
      );
    }
    const done: Completion[] = [];
    const freeSlots = Array.from({ length: capacity }, (_, i) => capacity - 1 - i);
    const freePromptSlots = Array.from({ length: capacity }, (_, i) => capacity - 1 - i);
    const promptUsers = new Map<number, number>();
    let active: Sequence[] = [];
    // A prompt's samples may be admitted in parts; each part has its own copy of the prompt.
    let nextPrompt = 0;
    let nextSample = 0;

    const retire = (): void => {
      const kept: Sequence[] = [];
      for (const s of active) {
        const ended = s.tokens[s.tokens.length - 1] === eos;
        if (!ended && s.tokens.length < limit) {
          kept.push(s);
          continue;
        }
        const { prompt, sample, tokens, logProbabilities, offered, accepted } = s;
        const completion: Completion = {
          prompt,
          sample,
          tokens,
          logProbabilities,
          stop: ended ? 'eos' : 'length',
        };
        if (speculation) completion.drafts = { offered, accepted };
        done.push(completion);
        options.onCompletion?.(completion);
        freeSlots.push(s.slot);
        const users = (promptUsers.get(s.promptSlot) as number) - 1;
        promptUsers.set(s.promptSlot, users);
        if (users === 0) freePromptSlots.push(s.promptSlot);
      }
      active = kept;
    };

    while (nextPrompt < prompts.length || active.length > 0) {
      // Refilling a quarter of the slots at a time keeps prefills large enough to be worth their
      // overhead.
      if (
        nextPrompt < prompts.length &&
        (active.length === 0 || freeSlots.length * 4 >= capacity)
      ) {
        const admitted: Group[] = [];
        while (nextPrompt < prompts.length && freeSlots.length > 0 && freePromptSlots.length > 0) {
          const count = Math.min(samples - nextSample, freeSlots.length);
          const promptSlot = freePromptSlots.pop() as number;
          promptUsers.set(promptSlot, count);
          const sequences = Array.from(
            { length: count },
            (_, i): Sequence => ({
              prompt: nextPrompt,
              sample: nextSample + i,
              slot: freeSlots.pop() as number,
              promptSlot,
              promptLength: prompts[nextPrompt].length,
              tokens: [],
              logProbabilities: [],
              draft: null,
              offered: 0,
              accepted: 0,
            }),
          );
          admitted.push({ prompt: nextPrompt, promptSlot, sequences });
          nextSample += count;
          if (nextSample === samples) {
            nextSample = 0;
            nextPrompt++;
          }
        }
        await start(prompts, admitted, options);
        active.push(...admitted.flatMap((group) => group.sequences));
        retire();
      }
      if (active.length > 0) {
        await decode(active, options);
        retire();
      }
    }
    return done.sort((a, b) => a.prompt - b.prompt || a.sample - b.sample);
  }

  return { cache, generate };
}
