/**
 * GRPO in one file: a small model learns arithmetic, first by imitation, then by reinforcement
 * learning from right and wrong.
 *
 *   npm install /path/to/reckoner      (a clone in which `npm ci` was run)
 *   node grpo.ts            (Node 22.18 or later; on older ones: npx tsx grpo.ts)
 *
 * A few minutes on one core. Read it from the bottom: `main` has four lines. To change: the task,
 * the reward, the group's size, the loss. `reckoner train` does the same with checkpoints, many
 * cores, progress and a bill.
 */
import {
  advantages,
  type Completion,
  createCharacterTokenizer,
  createModel,
  createOptimizer,
  createSampler,
  createTask,
  createWasmBackend,
  crossEntropyStep,
  losses,
  optimizerSchema,
  parseModelConfig,
  policyStep,
  problemAt,
  Random,
  Tape,
  type TrainingSequence,
} from 'reckoner';

const SEED = 1;
const PROMPTS = 16; // Problems a step: as many groups.
const SAMPLES = 8; // Completions of each problem: a group.
const MAX_TOKENS = 48;
const BATCH = 64; // Demonstrations a step, while imitating.

// A task draws problems, demonstrates them (well and badly) and grades any text. `defineTask` makes
// one of your own.
const task = createTask({ name: 'sums', maximum: 9 });
const tokenizer = createCharacterTokenizer(task.alphabet);
const { bos, eos } = tokenizer.special;

/** What the model sees of a problem: `9+4-5=`, after the token for the beginning. */
const promptOf = (prompt: string): number[] => [bos, ...tokenizer.encode(prompt)];

/**
 * A model with its optimizer, in the memory of a backend. Memory is a stack: what is put there
 * first stays.
 */
async function createPolicy() {
  const backend = await createWasmBackend({ sharedBytes: 64 << 20 });
  const config = parseModelConfig({
    model_type: 'llama',
    vocab_size: tokenizer.vocabularySize,
    hidden_size: 96,
    intermediate_size: 256,
    num_hidden_layers: 3,
    num_attention_heads: 6,
    max_position_embeddings: 128,
  });
  const model = createModel(backend, config);
  model.store.initialize(SEED);
  model.store.attachGradients();
  const capacity = PROMPTS * SAMPLES;
  const sampler = createSampler(backend, model, {
    capacity,
    maxPrompt: task.maxPromptLength + 1,
    maxTokens: MAX_TOKENS,
    eos,
  });
  return { backend, model, sampler };
}
type Policy = Awaited<ReturnType<typeof createPolicy>>;

/** Imitation: make each token of a demonstration likelier. Half of them are hasty, mostly wrong. */
async function imitate({ backend, model }: Policy, steps: number): Promise<void> {
  const mark = backend.mark();
  const options = optimizerSchema.parse({ matrices: 'muon', lr: 0.003, muonLr: 0.02 });
  const optimizer = createOptimizer(backend, model.store, options);
  for (let step = 1; step <= steps; step++) {
    const batch = Array.from({ length: BATCH }, (_, slot): TrainingSequence => {
      const index = (step - 1) * BATCH + slot;
      const problem = problemAt(task, SEED, 'train', index);
      const prompt = promptOf(problem.prompt);
      const shown = task.demonstrate(problem, new Random(SEED, 'demonstration', index));
      const completion = tokenizer.encode(shown);
      return { tokens: [...prompt, ...completion, eos], predictFrom: prompt.length };
    });
    const predicted = batch.reduce((sum, s) => sum + s.tokens.length - s.predictFrom, 0);
    model.store.resetGradients();
    const weight = 1 / predicted;
    const { loss } = await crossEntropyStep(new Tape(backend), model, batch, { weight });
    // Warm up for 20 steps, stay, and slow down over the last quarter.
    await optimizer.update(Math.min(1, step / 20, (4 * (steps - step + 1)) / steps), step);
    if (step % 100 === 0) console.log(`imitation ${step}/${steps}  loss ${loss.toFixed(3)}`);
  }
  backend.release(mark);
}

/** Reinforcement: sample groups, grade them, and move towards what beat its own group. */
async function reinforce({ backend, model, sampler }: Policy, steps: number): Promise<number> {
  const mark = backend.mark();
  const options = optimizerSchema.parse({ matrices: 'adamw', lr: 4e-4 });
  const optimizer = createOptimizer(backend, model.store, options);
  const rewardsOfSteps: number[] = [];
  for (let step = 1; step <= steps; step++) {
    // Sample a group of completions for each problem.
    const problems = Array.from({ length: PROMPTS }, (_, i) =>
      problemAt(task, SEED, 'train', 1e6 + step * PROMPTS + i),
    );
    const prompts = problems.map(({ prompt }) => promptOf(prompt));
    const sampling = { samples: SAMPLES, maxTokens: MAX_TOKENS, temperature: 1 };
    const key = [SEED, 'rollout', step];
    const completions = await sampler.generate(prompts, { ...sampling, key });

    // Grade: 1 for a right answer in the right form, 0 for everything else.
    const rewardOf = async ({ prompt, tokens, stop }: Completion): Promise<number> => {
      const { correct } = await task.verify(problems[prompt], tokenizer.decode(tokens));
      return stop === 'eos' && correct ? 1 : 0;
    };
    const rewards = await Promise.all(completions.map(rewardOf));

    // A completion's advantage is how much better than its own group it did. No value network.
    const advantageOf = problems.flatMap((_, i) =>
      advantages['group-std'](rewards.slice(i * SAMPLES, (i + 1) * SAMPLES)),
    );

    // Tokens share the advantage of their completion, and all tokens of the batch weigh the same.
    const total = completions.reduce((sum, { tokens }) => sum + tokens.length, 0);
    const perToken = (value: (i: number) => number): Float32Array =>
      Float32Array.from(completions.flatMap(({ tokens }, i) => tokens.map(() => value(i))));
    const sequences = completions.map(({ prompt, tokens }) => ({
      tokens: [...prompts[prompt], ...tokens],
      predictFrom: prompts[prompt].length,
    }));
    model.store.resetGradients();
    const { entropy } = await policyStep(
      new Tape(backend),
      model,
      sequences,
      {
        old: Float32Array.from(completions.flatMap(({ logProbabilities }) => logProbabilities)),
        reference: null,
        advantages: perToken((i) => advantageOf[i]),
        weights: perToken(() => 1 / total),
      },
      1, // The temperature at which they were sampled.
      losses.dapo, // Clip bounds 0.2 and 0.28, no KL.
    );
    await optimizer.update(Math.min(1, (2 * (steps - step + 1)) / steps), step);

    const reward = rewards.reduce((sum, r) => sum + r, 0) / rewards.length;
    rewardsOfSteps.push(reward);
    if (step % 10 === 0) {
      const length = (total / completions.length).toFixed(1);
      console.log(
        `reinforcement ${step}/${steps}  reward ${reward.toFixed(3)}  length ${length}  entropy ${(entropy / total).toFixed(3)}`,
      );
    }
  }
  backend.release(mark);
  const last = rewardsOfSteps.slice(-10);
  return last.reduce((sum, r) => sum + r, 0) / last.length;
}

/** The share of right greedy answers to problems that training cannot have drawn. */
async function accuracy({ sampler }: Policy, count: number): Promise<number> {
  const problems = Array.from({ length: count }, (_, i) => problemAt(task, SEED, 'evaluation', i));
  const prompts = problems.map(({ prompt }) => promptOf(prompt));
  const greedy = { samples: 1, maxTokens: MAX_TOKENS, temperature: 0, key: [] };
  const completions = await sampler.generate(prompts, greedy);
  const verdicts = await Promise.all(
    completions.map(({ tokens }, i) => task.verify(problems[i], tokenizer.decode(tokens))),
  );
  return verdicts.filter(({ correct }) => correct).length / count;
}

export async function main({ imitation = 1400, reinforcement = 100, problems = 500 } = {}) {
  const policy = await createPolicy();
  await imitate(policy, imitation);
  const before = await accuracy(policy, problems);
  const reward = await reinforce(policy, reinforcement);
  const after = await accuracy(policy, problems);
  console.log(
    `before ${(100 * before).toFixed(1)}%, after ${(100 * after).toFixed(1)}% of ${problems} unseen problems`,
  );
  await policy.backend.close();
  return { before, after, reward };
}

if (process.argv[1]?.endsWith('grpo.ts')) await main();
