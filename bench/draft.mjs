// Tokens per second of rollouts with and without guesses by the module of multi-token prediction
// (docs/decisions/0050): a trained DeepSeek-V3 answers problems of its task, on one core, in
// batches of 1, 4, 16, 64 and 256 sequences.
//
//   node bench/draft.mjs MODEL [--batches 1,4,16,64,256] [--tokens 48] [--rounds 5] [--no-blas] [--json]
//
// MODEL is a run's model/ folder: what is guessed right depends on the weights. The two sides take
// turns; prefill is in the time.
import { parseArgs } from 'node:util';
import { demandBuild, describe, machine, median, root, table, whole } from './harness.mjs';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    batches: { type: 'string', default: '1,4,16,64,256' },
    tokens: { type: 'string', default: '48' },
    rounds: { type: 'string', default: '5' },
    'no-blas': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
demandBuild();
const { createSampler } = await import(`${root}dist/inference/index.js`);
const { openModel, taskOf } = await import(`${root}dist/inference/open.js`);
const { problemAt } = await import(`${root}dist/tasks/task.js`);

const opened = await openModel(positionals[0], { products: flags['no-blas'] ? 'wasm' : 'auto' });
const { backend, model, tokenizer } = opened;
const task = taskOf(opened);
const maxTokens = Number(flags.tokens);

/** Seconds and completions of `batch` problems, one completion each. */
async function once(batch, round, draft) {
  const prompts = Array.from({ length: batch }, (_, i) =>
    tokenizer.prompt(problemAt(task, round, 'evaluation', i).prompt),
  );
  const maxPrompt = Math.max(...prompts.map((prompt) => prompt.length));
  const mark = backend.mark();
  const sampler = createSampler(backend, model, {
    capacity: batch,
    maxPrompt,
    maxTokens,
    eos: tokenizer.special.eos,
    draft,
  });
  const start = performance.now();
  const completions = await sampler.generate(prompts, {
    samples: 1,
    maxTokens,
    temperature: 1,
    key: [round],
  });
  const seconds = (performance.now() - start) / 1000;
  backend.release(mark);
  const total = (of) => completions.reduce((sum, completion) => sum + of(completion), 0);
  return {
    perSecond: total(({ tokens }) => tokens.length) / seconds,
    offered: total(({ drafts }) => drafts?.offered ?? 0),
    accepted: total(({ drafts }) => drafts?.accepted ?? 0),
  };
}

const rows = [];
for (const batch of flags.batches.split(',').map(Number)) {
  const perSecond = { plain: [], mtp: [] };
  let [offered, accepted] = [0, 0];
  await once(batch, 0);
  await once(batch, 0, 'mtp');
  // Small batches are over soon: more of them.
  const rounds = Number(flags.rounds) * Math.max(1, Math.round(16 / batch));
  for (let round = 1; round <= rounds; round++) {
    for (const side of round % 2 === 0 ? ['plain', 'mtp'] : ['mtp', 'plain']) {
      const found = await once(batch, round, side === 'mtp' ? 'mtp' : undefined);
      perSecond[side].push(found.perSecond);
      offered += found.offered;
      accepted += found.accepted;
    }
  }
  rows.push({
    batch,
    plain: median(perSecond.plain),
    mtp: median(perSecond.mtp),
    acceptance: accepted / offered,
  });
}
await backend.close();

const about = machine(`node bench/draft.mjs ${process.argv.slice(2).join(' ')}`.trim());
if (flags.json)
  console.log(
    JSON.stringify(
      { benchmark: 'draft', machine: about, engine: backend.fingerprint, rows },
      null,
      2,
    ),
  );
else {
  console.log('## Rollouts with a draft, tokens/s on one core\n');
  console.log(`${describe(about)}; ${backend.fingerprint}\n`);
  const cells = rows.map((r) => [
    String(r.batch),
    whole(r.plain),
    whole(r.mtp),
    (r.mtp / r.plain).toFixed(2),
    `${(100 * r.acceptance).toFixed(0)}%`,
  ]);
  console.log(table(['sequences', 'plain', 'draft', 'ratio', 'guesses that stood'], cells));
}
