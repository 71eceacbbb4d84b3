/**
 * @file The rollout of a GRPO step: problems are drawn, a group of completions of each is sampled
 * and graded, and zero-advantage groups are replaced (dynamic sampling, DAPO, arXiv:2503.14476).
 *
 * Groups live whole on one rank, so that advantages need no communication. The problem of a slot
 * depends on (seed, stage, step, slot, round) and not on how many ranks there are.
 */
import { hashString } from '../../base/random.js';
import type { Completion, Policy } from '../../policy/policy.js';
import { type Problem, problemAt, type Verdict } from '../../tasks/task.js';
import { hasSignal } from '../../training/advantages.js';
import { grade } from '../../training/grade.js';
import { createLengthLimit, isConsistent, overlongPenalty } from '../../training/shaping.js';
import { encodePrompt, progressAt, slotsOf } from '../../training/stage.js';
import type { StageContext } from '../stage.js';
import type { GrpoOptions } from './options.js';

/** One prompt with its graded completions. */
export interface Group {
  slot: number;
  problem: Problem;
  prompt: number[];
  completions: Completion[];
  texts: string[];
  verdicts: Verdict[];
  /** The task's, with what `shaping.ts` adds. */
  rewards: number[];
  consistent: boolean[];
}

export interface Rolled {
  /** One group for each slot that has something to learn from. */
  groups: Group[];
  /** All that were sampled, with those that were replaced. */
  sampled: Group[];
  modelFlops: number;
}

/** Rounds of dynamic sampling that get problem numbers of their own. */
const ROUNDS = 17;

/** Samples and grades one group for each slot; slots without signal try again. */
export function createRollout(
  { ranks, tokenizer, task, stage, seed }: StageContext,
  options: GrpoOptions,
  policy: Policy,
): (step: number) => Promise<Rolled> {
  const { steps, prompts: perStep, samples, temperature } = options;
  const rounds = 1 + options.resample;
  const lengthLimit = createLengthLimit(options.lengthSchedule, options.maxTokens);
  const stageSeed = hashString(`${seed}:${stage}`);
  const slots = slotsOf(ranks, perStep);

  async function round(step: number, number: number, open: readonly number[]) {
    const progress = progressAt(step, steps);
    const maxTokens = lengthLimit(step);
    const indexOf = (slot: number): number => ((step - 1) * perStep + slot) * ROUNDS + number;
    const problems = open.map((slot) =>
      problemAt(task, stageSeed, 'train', indexOf(slot), progress),
    );
    const prompts = problems.map((problem) => encodePrompt(tokenizer, problem));
    const { completions, modelFlops } = await policy.sample({
      prompts,
      samples,
      maxTokens,
      temperature,
      key: [stageSeed, 'rollout', step, number],
      promptIndex: (i) => open[i],
    });
    const graded = await Promise.all(
      completions.map((c) => grade(task, tokenizer, problems[c.prompt], c)),
    );
    const groups = open.map((slot, i): Group => {
      const own = completions.slice(i * samples, (i + 1) * samples);
      const texts = graded.slice(i * samples, (i + 1) * samples);
      const consistent = texts.map(({ text }, k) => own[k].stop === 'eos' && isConsistent(text));
      const rewards = texts.map(({ verdict }, k) => {
        const { tokens, stop } = own[k];
        const tooLong = options.overlong
          ? overlongPenalty(options.overlong, tokens.length, stop === 'length', maxTokens)
          : 0;
        return verdict.reward + (consistent[k] ? options.consistency : 0) - tooLong;
      });
      return {
        slot,
        problem: problems[i],
        prompt: prompts[i],
        completions: own,
        texts: texts.map(({ text }) => text),
        verdicts: texts.map(({ verdict }) => verdict),
        rewards,
        consistent,
      };
    });
    return { groups, modelFlops };
  }

  return async (step) => {
    const chosen = new Map<number, Group>();
    const sampled: Group[] = [];
    let modelFlops = 0;
    let open = slots;
    for (let number = 0; number < rounds && open.length > 0; number++) {
      const { groups, modelFlops: flops } = await round(step, number, open);
      modelFlops += flops;
      for (const group of groups) {
        sampled.push(group);
        if (rounds === 1 || hasSignal(group.rewards)) chosen.set(group.slot, group);
      }
      open = slots.filter((slot) => !chosen.has(slot));
    }
    return { groups: slots.flatMap((slot) => chosen.get(slot) ?? []), sampled, modelFlops };
  };
}
