/**
 * @file Kills training runs and looks at what is left: the harness of `test/crash/` and of `npm run
 * soak`.
 *
 * A run that is never stopped is the reference. Another one with the same recipe is cut by SIGKILL,
 * at a fault point (`RECKONER_FAULT`, see src/base/faults.ts) or at any moment, and resumed until
 * it is complete. Nothing may tell the two apart afterwards: not the weights, not the snapshots,
 * not the data written on the way, not the curves, not the tokens that the bill counts as kept.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
/** Far more than any of these runs takes; a process that is still there hangs. */
const HANG_MS = 180_000;

/**
 * Every kind of stage, in about a second of one core. The task is easy enough that a few of the
 * samples are right, so that there is something to reject and something to learn from.
 */
export const TINY = {
  name: 'tiny',
  seed: 7,
  model: {
    model_type: 'llama',
    hidden_size: 32,
    intermediate_size: 48,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    max_position_embeddings: 48,
  },
  task: { name: 'sums', maximum: 9, terms: [2, 3], stepByStep: 0.2, wrong: 0 },
  checkpoints: { every: 3, keep: 4 },
  stages: [
    {
      id: 'sft',
      kind: 'sft',
      steps: 12,
      batch: 16,
      optimizer: { lr: 0.02, muonLr: 0.05 },
      schedule: { kind: 'constant' },
    },
    { id: 'before', kind: 'eval', problems: 6, samples: 2, maxTokens: 24 },
    {
      id: 'grpo',
      kind: 'grpo',
      steps: 4,
      prompts: 4,
      samples: 4,
      maxTokens: 24,
      klCoefficient: 0.05,
      replaceReference: 2,
      minibatches: 2,
      resample: 1,
      optimizer: { matrices: 'adamw', lr: 0.001 },
      schedule: { kind: 'constant' },
    },
    { id: 'sample', kind: 'rejection-sample', steps: 2, prompts: 32, samples: 4, maxTokens: 24 },
    {
      id: 'again',
      kind: 'sft',
      mix: [{ from: 'sample', weight: 3 }, { task: { wrong: 1 } }],
      steps: 5,
      batch: 8,
      schedule: { kind: 'cosine' },
    },
    {
      id: 'distill',
      kind: 'distill',
      model: {
        model_type: 'llama',
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        max_position_embeddings: 48,
      },
      sampling: { steps: 2, prompts: 32, samples: 4, maxTokens: 24 },
      steps: 5,
      batch: 8,
      schedule: { kind: 'cosine' },
    },
    { id: 'after', kind: 'eval', problems: 6, samples: 2, maxTokens: 24 },
  ],
};

/** Writes a recipe into a folder; returns its path. */
export function writeRecipe(folder, recipe) {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${recipe.name}.json`);
  writeFileSync(path, JSON.stringify(recipe, null, 2));
  return path;
}

/**
 * Runs `reckoner …args` from dist/ and waits for its end.
 * @param {readonly string[]} args
 * @param {{fault?: string, env?: Record<string, string>, whileRunning?: (child:
 * import('node:child_process').ChildProcess) => unknown}} [options]
 *   `fault` is `RECKONER_FAULT`; `whileRunning` sees the process.
 * @returns {Promise<{code: number | null, signal: string | null, stdout: string, stderr: string}>}
 */
export function reckoner(args, { fault, env, whileRunning } = {}) {
  if (!existsSync(MAIN)) throw new Error('dist/ is missing; npm run build makes it');
  const all = { ...process.env, NO_COLOR: '1', ...env };
  delete all.FORCE_COLOR;
  delete all.RECKONER_FAULT;
  if (fault !== undefined) all.RECKONER_FAULT = fault;
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: all,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const out = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    out.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    out.stderr += chunk;
  });
  const watchdog = setTimeout(() => {
    out.stderr += `\nhangs: reckoner ${args.join(' ')}`;
    child.kill('SIGABRT');
  }, HANG_MS);
  whileRunning?.(child);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(watchdog);
      resolve({ code, signal, ...out });
    });
  });
}

/**
 * The only run under a folder, or null: a folder without a recipe is none yet.
 * @param {string} runs
 * @returns {string | null}
 */
export function onlyRun(runs) {
  if (!existsSync(runs)) return null;
  const found = readdirSync(runs).filter((name) => existsSync(join(runs, name, 'recipe.json')));
  if (found.length > 1) throw new Error(`${runs} holds ${found.length} runs`);
  return found.length === 1 ? join(runs, found[0]) : null;
}

const sha256 = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');

/** Lines of a JSONL file. @throws when one of them is torn. */
export const jsonLines = (path) =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

/** The events of a run. */
export const eventsOf = (run) => jsonLines(join(run, 'events.jsonl'));

/** Snapshot names of a run, oldest first. */
export const snapshotsOf = (run) => readdirSync(join(run, 'checkpoints')).sort();

/**
 * What must not depend on where a run was cut, by name: hashes of the weights, of the last
 * snapshots with their optimizer states and of the data; the curves; evaluations; tokens by stage.
 * @returns {Record<string, string>}
 */
export function resultOf(run) {
  const result = {};
  /** Whole weights, or an adapter's. */
  const addWeights = (folder) => {
    for (const file of readdirSync(join(run, folder)).sort())
      if (file.endsWith('.safetensors'))
        result[`${folder}/${file}`] = sha256(join(run, folder, file));
  };
  addWeights('model');
  // One more may be left where a kill came between a snapshot and the removal of the oldest.
  for (const name of snapshotsOf(run).slice(-4)) {
    for (const file of readdirSync(join(run, 'checkpoints', name))) {
      if (file.endsWith('.safetensors'))
        result[`checkpoints/${name}/${file}`] = sha256(join(run, 'checkpoints', name, file));
    }
  }
  const stages = join(run, 'stages');
  for (const id of existsSync(stages) ? readdirSync(stages) : []) addWeights(join('stages', id));
  const data = join(run, 'data');
  for (const file of existsSync(data) ? readdirSync(data) : [])
    result[`data/${file}`] = sha256(join(data, file));
  const events = eventsOf(run);
  const last = new Map(events.filter((e) => e.type === 'metrics').map((e) => [e.step, e.attempt]));
  for (const { type, step, attempt, values } of events) {
    if (type !== 'metrics' || attempt !== last.get(step)) continue;
    const { step_time: _, tokens_per_second: __, ...rest } = values;
    result[`step ${String(step).padStart(4, '0')}`] = JSON.stringify(rest);
  }
  for (const { type, stage, results } of events)
    if (type === 'evaluation') result[`evaluation ${stage}`] = JSON.stringify(results);
  const { work } = JSON.parse(readFileSync(join(run, 'bill.json'), 'utf8'));
  for (const { stage, tokensIn, tokensOut, modelFlops } of work) {
    if (tokensIn + tokensOut > 0)
      result[`tokens ${stage}`] = `${tokensIn} in, ${tokensOut} out, ${modelFlops} FLOP`;
  }
  return result;
}

/**
 * What is wrong with a finished run, in words: differences from the reference, and promises about
 * its files that it breaks.
 * @param {string} run
 * @param {Record<string, string>} reference of `resultOf`
 * @returns {string[]}
 */
export function problemsOf(run, reference) {
  const problems = [];
  const result = resultOf(run);
  for (const name of new Set([...Object.keys(reference), ...Object.keys(result)])) {
    if (result[name] !== reference[name])
      problems.push(`${name} is ${result[name]} instead of ${reference[name]}`);
  }
  const events = eventsOf(run);
  let attempt = -1;
  events.forEach((event, i) => {
    if (event.attempt !== attempt) {
      attempt++;
      const begin = attempt === 0 ? 'started' : 'resumed';
      if (event.attempt !== attempt || event.type !== begin) {
        problems.push(
          `events.jsonl line ${i + 1} should be attempt ${attempt}'s ${begin}, is ${event.attempt}'s ${event.type}`,
        );
      }
    }
  });
  const end = events.at(-1);
  if (end.type !== 'ended' || end.reason !== 'completed')
    problems.push(`the log ends with ${JSON.stringify(end)}`);
  // Supervised stages sample nothing.
  if (existsSync(join(run, 'samples.jsonl'))) jsonLines(join(run, 'samples.jsonl'));
  const bill = JSON.parse(readFileSync(join(run, 'bill.json'), 'utf8'));
  const killed = events.some(({ type, usage }) => type === 'usage' && usage.stage === 'lost');
  const lost = bill.lines.filter(({ category }) => category === 'lost');
  if (killed && lost.length === 0) problems.push('the bill has no lost work');
  if (lost.some(({ columns }) => columns.join() !== 'full'))
    problems.push('lost work is not in full alone');
  const left = readdirSync(run, { recursive: true }).filter((name) =>
    /\.(tmp|old)-|\.lock|\.stale|rank\d/.test(name),
  );
  if (left.length > 0) problems.push(`left over: ${left.join(', ')}`);
  return problems;
}

/**
 * How often each fault point was passed by one thread or all together, from the counts that
 * `RECKONER_FAULT=count` prints.
 */
export function faultPoints(stderr) {
  const most = {};
  for (const [, json] of stderr.matchAll(/^reckoner-faults (.*)$/gm)) {
    for (const [name, count] of Object.entries(JSON.parse(json).byName))
      most[name] = Math.max(most[name] ?? 0, count);
  }
  return most;
}

/** A small seeded generator (mulberry32), so that a failing draw can be repeated. */
export function createRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * Starts the recipe, or goes on with the run that is there.
 * @param {{runs: string, recipe: string, flags: readonly string[], resumeFlags?: readonly string[]}}
 * job `flags` of the first start; a resume takes its own
 * @param {Parameters<typeof reckoner>[1]} [options]
 */
export function startOrResume({ runs, recipe, flags, resumeFlags = [] }, options) {
  const run = onlyRun(runs);
  const args = run === null ? [recipe, ...flags] : ['--resume', run, ...resumeFlags];
  return reckoner(['train', ...args, '--runs', runs, '--json'], options);
}

/**
 * A run that is not cut: its folder, result and fault points.
 * @param {Parameters<typeof startOrResume>[0]} job
 */
export async function uncut(job) {
  const call = await startOrResume(job, { fault: 'count' });
  if (call.code !== 0)
    throw new Error(`the reference run failed (${call.code}): ${call.stdout}${call.stderr}`);
  const run = onlyRun(job.runs);
  return { run, result: resultOf(run), points: faultPoints(call.stderr) };
}

/**
 * Fault points of what happens once, in the order in which a run comes to them; all others recur.
 */
const ORDER = ['recipe', 'plan', null, 'file', 'model', 'bill'];

/**
 * One fault for each point name, in an order in which one run can meet them all: `name:n`, with n
 * drawn small, since a resumed run counts anew.
 * @param {Record<string, number>} points passes by name
 * @param {() => number} random
 */
export function drawFaults(points, random) {
  const rankOf = (name) => {
    const rank = ORDER.indexOf(name.split('.')[0]);
    return rank < 0 ? ORDER.indexOf(null) : rank;
  };
  return Object.entries(points)
    .map(([name, passes]) => {
      const recurs = rankOf(name) === ORDER.indexOf(null);
      // A checkpoint has some twenty writes, a step one pass of each of its points.
      const most = recurs ? Math.min(passes, name.startsWith('checkpoint.write') ? 25 : 3) : 1;
      return {
        name,
        pass: 1 + Math.floor(random() * most),
        rank: rankOf(name),
        draw: recurs ? random() : 0,
      };
    })
    .sort((a, b) => a.rank - b.rank || a.draw - b.draw)
    .map(({ name, pass }) => `${name}:${pass}`);
}

/**
 * Cuts a run at one fault after the other, each in a resume of what the one before left, and lets
 * the last resume finish. Where a run is over before it comes to its fault, it is looked at, and a
 * new one meets the fault at its first pass.
 * @param {Parameters<typeof startOrResume>[0]} job its `runs` is the folder of the first run, and
 * the stem of further ones
 * @param {readonly string[]} faults `name:n`
 * @param {Record<string, string>} reference
 * @param {(line: string) => void} [tell]
 */
export async function cutAndResume(job, faults, reference, tell = () => {}) {
  const done = { kills: 0, calls: 0, runs: 1, problems: [] };
  let current = job;
  const history = [];
  const call = async (fault) => {
    done.calls++;
    const result = await startOrResume(current, fault === null ? {} : { fault: `kill@${fault}` });
    const where = `after ${history.join(', ') || 'nothing'}, then ${fault ?? 'no fault'}`;
    if (result.signal === 'SIGKILL') done.kills++;
    // A kill may come when all is done.
    else if (result.code === 0 || result.stdout.includes('is complete;')) {
      for (const problem of problemsOf(onlyRun(current.runs), reference))
        done.problems.push(`${where}: ${problem}`);
    } else {
      const said = `${result.stdout}${result.stderr}`.trim().slice(-500);
      done.problems.push(`${where}: exit ${result.code ?? result.signal}: ${said}`);
    }
    history.push(fault ?? 'no fault');
    tell(`${fault ?? 'to the end'}: ${result.signal ?? `exit ${result.code}`}`);
    return result.signal !== 'SIGKILL';
  };
  let over = false;
  for (const fault of faults) {
    if (over || (await call(fault))) {
      current = { ...job, runs: `${job.runs}-${++done.runs}` };
      history.length = 0;
      over = await call(fault.replace(/:\d+$/, ':1'));
      if (over) done.problems.push(`${fault.replace(/:\d+$/, '')} was never passed`);
    }
    if (done.problems.length > 0) return done;
  }
  if (!over) await call(null);
  return done;
}
