/**
 * @file A recipe as numbers, for the planner of the local machine: what each stage does a step, and
 * what has to be timed to know how long that takes here.
 *
 * Everything but the lengths of completions follows from the recipe; those are expected from the
 * task's demonstrations (`lengths.ts`).
 */
import {
  architectureOf,
  countParameters,
  forwardFlops,
  trainingFlops,
} from '../../architecture/index.js';
import { hashString, Random } from '../../base/random.js';
import { generationFlops, MAX_CAPACITY } from '../../inference/index.js';
import type { Quantity } from '../../planner/cluster.js';
import type { LocalScenario, LocalStage, Rollout } from '../../planner/local.js';
import type { ResolvedRecipe } from '../../recipe/schema.js';
import type { StageSpec } from '../../stages/index.js';
import { losses } from '../../training/losses.js';
import type { OptimizerSpec } from '../../training/optimizer.js';
import { sourcesOf } from '../../training/sources.js';
import type { Purpose } from '../../usage/usage.js';
import type { CalibrationPiece, CalibrationRequest } from './calibrate.js';
import { drawLength, type Experience, type Lengths, PROGRESS, surveyLengths } from './lengths.js';

export interface DescribedStage {
  id: string;
  kind: StageSpec['kind'];
  purpose: Purpose;
  local: Omit<LocalStage, 'secondsPerCheckpoint'>;
  /** Keys of the pieces that were timed for it. */
  trainingKey: string | null;
  generationKey: string | null;
  secondsPerProblem: number;
  secondsPerGrade: number;
  /** In one checkpoint within the stage. */
  checkpointBytes: number;
  tokensIn: Quantity;
  tokensOut: Quantity;
  modelFlops: Quantity;
  /** Mean tokens of a completion; null where nothing is sampled. */
  completionTokens: Quantity | null;
}

export interface DescribedRecipe {
  stages: DescribedStage[];
  request: CalibrationRequest;
  /** Bytes of the weights. */
  weightBytes: number;
}

/** Evaluations decode at most so many sequences at once. */
const EVALUATION_CAPACITY = 128;
/** Steps of a stage that are played through. */
const PLAYED = 6;
/**
 * After reinforcement learning, about so many answers are right; only for how many groups are all
 * alike.
 */
const LEARNED_SHARE = 0.85;

type Scenario = 'expected' | 'short' | 'long';
const SCENARIOS = ['expected', 'short', 'long'] as const;
const PROGRESS_OF: Record<Scenario, number> = {
  expected: PROGRESS.value,
  short: PROGRESS.low,
  long: PROGRESS.high,
};

/** Totals of a scenario, over the whole stage and all ranks. */
interface Totals {
  tokensIn: number;
  tokensOut: number;
  modelFlops: number;
  completions: number;
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, x) => sum + x, 0) / Math.max(1, values.length);

/**
 * Share of later-kind completions at `x` of the stage's way: a ramp that ends where the mean over
 * the stage is `average`.
 */
const progressAt = (x: number, average: number): number =>
  average >= 1 ? 1 : Math.min(1, x / (2 * (1 - average)));

export function describeRecipe(
  { recipe, tokenizer, tasks, models }: ResolvedRecipe,
  workers: number,
): DescribedRecipe {
  // Of the stage that is being described: stages are taken in order, and one may bring another
  // model.
  let shape = architectureOf(models[0]);
  let parameters = countParameters(shape);
  /** For pieces of another model than the recipe's. */
  let other: { name: string; model?: Record<string, unknown> } = { name: '' };
  function useModel(i: number): void {
    shape = architectureOf(models[i]);
    parameters = countParameters(shape);
    const same = models[i] === models[0];
    other = same
      ? { name: '' }
      : {
          name: `${parameters.stored} weights, `,
          model: models[i] as unknown as Record<string, unknown>,
        };
  }
  const vocabulary = tokenizer.vocabularySize;
  const pieces = new Map<string, CalibrationPiece>();
  const surveys = new Map<string, Lengths>();
  let experience: Experience = recipe.init ? 'imitation' : 'none';

  function survey(i: number, evaluation: number | null): Lengths {
    const key = JSON.stringify([recipe.stages[i].task ?? null, evaluation]);
    const found =
      surveys.get(key) ??
      surveyLengths(tasks[i], tokenizer, hashString(`${recipe.seed}:survey`), evaluation);
    surveys.set(key, found);
    return found;
  }

  function need(piece: CalibrationPiece): string {
    const found = pieces.get(piece.key);
    if (!found) pieces.set(piece.key, piece);
    else if (found.kind === 'generation' && piece.kind === 'generation') {
      found.completionTokens = Math.max(found.completionTokens, piece.completionTokens);
      found.steps += piece.steps;
    } else found.steps += piece.steps;
    return piece.key;
  }

  function needTraining(
    sequences: number,
    tokens: number,
    predicted: number,
    optimizer: OptimizerSpec,
    steps: number,
    policy = false,
  ) {
    const { microBatchTokens } = recipe;
    const key = `${other.name}${policy ? 'policy' : 'cross-entropy'} ${sequences} x ${tokens}, ${optimizer.matrices}`;
    const { model } = other;
    return need({
      kind: 'training',
      key,
      ...(model ? { model } : {}),
      sequences,
      tokens,
      predicted,
      policy,
      microBatchTokens,
      optimizer,
      steps,
    });
  }

  function needGeneration(
    prompts: number,
    samples: number,
    most: number,
    lengths: Lengths,
    tokens: number,
    steps: number,
  ) {
    const capacity = Math.max(1, Math.min(most, prompts * samples));
    const promptTokens = Math.max(1, Math.round(lengths.promptTokens));
    const key = `${other.name}decode ${Math.min(capacity, prompts * samples)} after ${promptTokens}, ${samples} a prompt`;
    const completionTokens = Math.max(1, Math.round(tokens / 2));
    const { model } = other;
    return need({
      kind: 'generation',
      key,
      ...(model ? { model } : {}),
      prompts,
      samples,
      capacity,
      promptTokens,
      completionTokens,
      steps,
    });
  }

  /** Samples of `prompts` prompts, as they will be at `share` of the later kind. */
  function play(
    lengths: Lengths,
    spec: { prompts: number; samples: number; maxTokens: number },
    share: number,
    random: Random,
  ) {
    const limits = { maxTokens: spec.maxTokens, vocabulary };
    return Array.from({ length: spec.prompts }, () =>
      Array.from({ length: spec.samples }, () =>
        drawLength(lengths, experience, share, limits, random),
      ),
    );
  }

  function generated(lengths: Lengths, groups: readonly (readonly number[])[]): Totals {
    const prompt = Math.round(lengths.promptTokens);
    const tokensOut = groups.flat().reduce((sum, x) => sum + x, 0);
    const modelFlops = groups.reduce((sum, own) => sum + generationFlops(shape, prompt, own), 0);
    return {
      tokensIn: prompt * groups.length,
      tokensOut,
      modelFlops,
      completions: groups.flat().length,
    };
  }

  /** One stage from its three scenarios. */
  function assemble(
    spec: StageSpec,
    base: Pick<
      DescribedStage,
      'purpose' | 'trainingKey' | 'generationKey' | 'secondsPerProblem' | 'secondsPerGrade'
    > &
      Pick<LocalStage, 'steps' | 'updates' | 'problems' | 'grades'> & {
        stateBytes: number;
        resumable: boolean;
      },
    scenario: (name: Scenario) => { local: LocalScenario; totals: Totals },
  ): DescribedStage {
    const { steps, updates, problems, grades, stateBytes, resumable, ...rest } = base;
    const [expected, short, long] = SCENARIOS.map(scenario);
    const quantity = (of: (totals: Totals) => number): Quantity => {
      const all = [expected, short, long].map(({ totals }) => of(totals));
      return { value: all[0], low: Math.min(...all), high: Math.max(...all) };
    };
    const checkpoints = 1 + (resumable ? Math.floor((steps - 1) / recipe.checkpoints.every) : 0);
    const samples = expected.totals.completions > 0;
    return {
      id: spec.id,
      kind: spec.kind,
      ...rest,
      local: {
        steps,
        updates,
        problems,
        grades,
        checkpoints,
        expected: expected.local,
        short: short.local,
        long: long.local,
      },
      checkpointBytes: 4 * parameters.stored + stateBytes,
      tokensIn: quantity((totals) => totals.tokensIn),
      tokensOut: quantity((totals) => totals.tokensOut),
      modelFlops: quantity((totals) => totals.modelFlops),
      completionTokens: samples
        ? quantity((totals) => totals.tokensOut / totals.completions)
        : null,
    };
  }

  /** Two moments, or a momentum where Muon trains. */
  const stateBytesOf = ({ matrices }: OptimizerSpec): number => {
    const hidden = parameters.matmul - shape.vocab * shape.hidden;
    return 4 * (2 * parameters.stored - (matrices === 'muon' ? hidden : 0));
  };

  function supervised(spec: StageSpec & { kind: 'sft' | 'pretrain' }, i: number): DescribedStage {
    const { steps, batch, optimizer } = spec;
    const lengths = survey(i, null);
    const accepted = sourcesOf(spec).every(({ from }) => from !== undefined);
    const completion = mean(accepted ? lengths.right : lengths.imitated);
    const tokens = lengths.promptTokens + completion;
    const predicted = spec.kind === 'sft' ? completion : tokens - 1;
    const own = Math.ceil(batch / workers);
    const tokensIn = batch * steps * (tokens - 1);
    const modelFlops =
      batch * steps * trainingFlops(shape, { tokens: tokens - 1, headTokens: predicted });
    const totals = { tokensIn, tokensOut: 0, modelFlops, completions: 0 };
    const local = { trainedTokens: own * (tokens - 1), scoredTokens: 0, rollouts: [] };
    const described = assemble(
      spec,
      {
        purpose: 'training',
        trainingKey: needTraining(own, Math.round(tokens), Math.round(predicted), optimizer, steps),
        generationKey: null,
        secondsPerProblem: accepted ? 0 : lengths.seconds.demonstration,
        secondsPerGrade: 0,
        steps,
        updates: 1,
        problems: own,
        grades: 0,
        stateBytes: stateBytesOf(optimizer),
        resumable: true,
      },
      () => ({ local, totals }),
    );
    if (!accepted || experience === 'none') experience = 'imitation';
    return described;
  }

  function grpo(spec: StageSpec & { kind: 'grpo' }, i: number): DescribedStage {
    const { steps, prompts, samples, maxTokens, optimizer, minibatches } = spec;
    const lengths = survey(i, null);
    const preset = losses[spec.loss];
    const rounds = 1 + (spec.resample ?? (preset.dynamicSampling ? 3 : 0));
    const scored = (spec.klCoefficient ?? preset.klCoefficient) > 0;
    const own = Math.ceil(prompts / workers);
    const capacity = Math.max(1, Math.min(MAX_CAPACITY, own * samples));
    const prompt = Math.round(lengths.promptTokens);

    const alike = (share: number): number => {
      const p = share * LEARNED_SHARE + (1 - share) * lengths.rightShare;
      return p ** samples + (1 - p) ** samples;
    };
    const scenario = (name: Scenario) => {
      const random = new Random(recipe.seed, 'plan', spec.id, name);
      const rollouts: Rollout[][] = [];
      const totals: Totals = { tokensIn: 0, tokensOut: 0, modelFlops: 0, completions: 0 };
      let trainedTokens = 0;
      for (let s = 0; s < PLAYED; s++) {
        const share = progressAt((s + 0.5) / PLAYED, PROGRESS_OF[name]);
        const silent = rounds > 1 ? alike(share) : 0;
        const calls: Rollout[] = [];
        let open = own;
        let trained = 0;
        for (let round = 0; round < rounds && open >= 0.5; round++) {
          const groups = play(
            lengths,
            { prompts: Math.round(open), samples, maxTokens },
            share,
            random,
          );
          calls.push({ promptTokens: lengths.promptTokens, lengths: groups, capacity });
          const part = generated(lengths, groups);
          // Groups that are all alike are not learned from where others can be had.
          const used = round === 0 || rounds > 1 ? 1 - silent : 1;
          const inputs = used * (part.tokensOut + part.completions * (lengths.promptTokens - 1));
          trained += inputs;
          const training = groups
            .flat()
            .reduce(
              (sum, n) => sum + forwardFlops(shape, { tokens: prompt + n - 1, headTokens: n }),
              0,
            );
          totals.tokensIn += part.tokensIn + inputs;
          totals.tokensOut += part.tokensOut;
          totals.completions += part.completions;
          totals.modelFlops += part.modelFlops + used * (scored ? 4 : 3) * training;
          open *= silent;
        }
        trainedTokens += trained / PLAYED;
        rollouts.push(calls);
      }
      // From one rank's share of a few steps to all of all.
      const scale = (prompts / own) * (steps / PLAYED);
      for (const key of Object.keys(totals) as (keyof Totals)[]) totals[key] *= scale;
      return {
        local: { trainedTokens, scoredTokens: scored ? trainedTokens : 0, rollouts },
        totals,
      };
    };
    const expected = scenario('expected');
    const completion = expected.totals.tokensOut / expected.totals.completions;
    const longest = models[i].max_position_embeddings;
    const tokens = Math.min(longest, Math.round(lengths.promptTokens + completion));
    const described = assemble(
      spec,
      {
        purpose: 'training',
        trainingKey: needTraining(
          own * samples,
          tokens,
          Math.round(completion),
          optimizer,
          steps,
          true,
        ),
        generationKey: needGeneration(own, samples, MAX_CAPACITY, lengths, completion, steps),
        secondsPerProblem: lengths.seconds.problem,
        secondsPerGrade: lengths.seconds.grade,
        steps,
        updates: minibatches,
        problems: own,
        grades: own * samples,
        stateBytes: stateBytesOf(optimizer) + (scored ? 4 * parameters.stored : 0),
        resumable: true,
      },
      scenario,
    );
    experience = 'reinforcement';
    return described;
  }

  /** Stages that only sample: evaluation and rejection sampling. */
  function sampling(
    spec: StageSpec & { kind: 'eval' | 'rejection-sample' },
    work: {
      steps: number;
      prompts: number;
      most: number;
      greedy: boolean;
      lengths: Lengths;
      problems: number;
    },
  ): DescribedStage {
    const { steps, prompts, most, greedy, lengths } = work;
    const { samples, maxTokens } = spec;
    const own = Math.ceil(prompts / workers);
    const capacity = Math.max(1, Math.min(most, own * samples));
    const scenario = (name: Scenario) => {
      const random = new Random(recipe.seed, 'plan', spec.id, name);
      // How far reinforcement learning came is not known either.
      const share = experience === 'imitation' ? { expected: 0, short: 0, long: 0.1 }[name] : 0;
      const calls = [play(lengths, { prompts: own, samples, maxTokens }, share, random)];
      if (greedy) calls.push(play(lengths, { prompts: own, samples: 1, maxTokens }, share, random));
      const totals: Totals = { tokensIn: 0, tokensOut: 0, modelFlops: 0, completions: 0 };
      for (const groups of calls) {
        const part = generated(lengths, groups);
        for (const key of Object.keys(totals) as (keyof Totals)[])
          totals[key] += part[key] * (prompts / own) * steps;
      }
      const rollout = calls.map((groups) => ({
        promptTokens: lengths.promptTokens,
        lengths: groups,
        capacity,
      }));
      return { local: { trainedTokens: 0, scoredTokens: 0, rollouts: [rollout] }, totals };
    };
    const { tokensOut, completions } = scenario('expected').totals;
    return assemble(
      spec,
      {
        purpose: spec.kind === 'eval' ? 'evaluation' : 'data',
        trainingKey: null,
        generationKey: needGeneration(
          own,
          samples,
          most,
          lengths,
          tokensOut / completions,
          steps * (1 + capacity / 16),
        ),
        secondsPerProblem: lengths.seconds.problem,
        secondsPerGrade: lengths.seconds.grade,
        steps,
        updates: 0,
        problems: work.problems,
        grades: own * (samples + (greedy ? 1 : 0)),
        stateBytes: 0,
        resumable: false,
      },
      scenario,
    );
  }

  /**
   * A teacher samples, then the student imitates: steps of the one and of the other, averaged over
   * all.
   */
  function distill(spec: StageSpec & { kind: 'distill' }, i: number): DescribedStage {
    const { sampling: work, batch, optimizer } = spec;
    const lengths = survey(i, null);
    const all = work.steps + spec.steps;
    const [ownPrompts, own] = [Math.ceil(work.prompts / workers), Math.ceil(batch / workers)];
    const capacity = Math.max(1, Math.min(MAX_CAPACITY, ownPrompts * work.samples));
    // The teacher is the model before this one, as a rule.
    useModel(Math.max(0, i - 1));
    const scenario = (name: Scenario) => {
      const random = new Random(recipe.seed, 'plan', spec.id, name);
      const groups = play(lengths, { ...work, prompts: ownPrompts }, 0, random);
      const totals = generated(lengths, groups);
      for (const key of Object.keys(totals) as (keyof Totals)[])
        totals[key] *= (work.prompts / ownPrompts) * work.steps;
      const calls: Rollout[] = [{ promptTokens: lengths.promptTokens, lengths: groups, capacity }];
      const idle = Array.from({ length: Math.round(spec.steps / work.steps) }, (): Rollout[] => []);
      return { totals, rollouts: [calls, ...idle] };
    };
    const scenarios = Object.fromEntries(SCENARIOS.map((name) => [name, scenario(name)])) as Record<
      Scenario,
      ReturnType<typeof scenario>
    >;
    const { tokensOut, completions } = scenarios.expected.totals;
    const generationKey = needGeneration(
      ownPrompts,
      work.samples,
      MAX_CAPACITY,
      lengths,
      tokensOut / completions,
      work.steps,
    );
    useModel(i);
    const completion = mean(lengths.right);
    const tokens = lengths.promptTokens + completion;
    const described = assemble(
      spec,
      {
        purpose: 'training',
        trainingKey: needTraining(
          own,
          Math.round(tokens),
          Math.round(completion),
          optimizer,
          spec.steps,
        ),
        generationKey,
        secondsPerProblem: lengths.seconds.problem,
        secondsPerGrade: lengths.seconds.grade,
        steps: all,
        updates: spec.steps / all,
        problems: (ownPrompts * work.steps) / all,
        grades: (ownPrompts * work.samples * work.steps) / all,
        stateBytes: stateBytesOf(optimizer),
        resumable: true,
      },
      (name) => {
        const { totals, rollouts } = scenarios[name];
        const read = batch * spec.steps * (tokens - 1);
        const modelFlops =
          batch * spec.steps * trainingFlops(shape, { tokens: tokens - 1, headTokens: completion });
        return {
          local: {
            trainedTokens: (own * (tokens - 1) * spec.steps) / all,
            scoredTokens: 0,
            rollouts,
          },
          totals: {
            ...totals,
            tokensIn: totals.tokensIn + read,
            modelFlops: totals.modelFlops + modelFlops,
          },
        };
      },
    );
    experience = 'imitation';
    return described;
  }

  function describeStage(spec: StageSpec, i: number): DescribedStage {
    useModel(i);
    switch (spec.kind) {
      case 'sft':
      case 'pretrain':
        return supervised(spec, i);
      case 'grpo':
        return grpo(spec, i);
      case 'distill':
        return distill(spec, i);
      case 'rejection-sample': {
        const { steps, prompts } = spec;
        const lengths = survey(i, null);
        const problems = Math.ceil(prompts / workers);
        return sampling(spec, {
          steps,
          prompts,
          most: MAX_CAPACITY,
          greedy: false,
          lengths,
          problems,
        });
      }
      case 'eval': {
        const { problems, greedy } = spec;
        const lengths = survey(i, problems);
        // Every rank draws them all.
        return sampling(spec, {
          steps: 1,
          prompts: problems,
          most: EVALUATION_CAPACITY,
          greedy,
          lengths,
          problems,
        });
      }
    }
  }

  // In order: each stage changes what the later ones can expect of the model.
  const stages = recipe.stages.map(describeStage);
  return {
    stages,
    request: { model: recipe.model, pieces: [...pieces.values()] },
    weightBytes: 4 * parameters.stored,
  };
}
