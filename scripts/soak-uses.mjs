/**
 * @file Kills what uses a run, and goes on: an evaluation, a server, the studio with the run that it
 * watches, and training of an adapter. The other half of `npm run soak`.
 *
 * Each kind has one pass that is never stopped, the reference, and trials that are killed (SIGKILL)
 * at random moments until they are through. A trial must end as the reference did: the same bits
 * of weights, the same transcripts, the same answers, and no record lost.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  onlyRun,
  problemsOf,
  reckoner,
  startOrResume,
  TINY,
  uncut,
  writeRecipe,
} from './crash.mjs';

const MAIN = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
/** Calls of a trial that may be killed; and calls after which it makes no progress. */
const KILLED_CALLS = 3;
const MOST_CALLS = 30;

/** A run of the model that is evaluated, served and tuned. */
export async function makeBase(folder) {
  const runs = join(folder, 'base');
  const recipe = writeRecipe(folder, { ...TINY, name: 'base', stages: TINY.stages.slice(0, 1) });
  const { run } = await uncut({ recipe, runs, flags: ['--workers', '1'] });
  return run;
}

/** Calls `next` again and again, killing each after a random time, until one is through. */
async function untilThrough(random, whole, next) {
  let kills = 0;
  for (let calls = 0; calls < MOST_CALLS; calls++) {
    // The last calls run to their end.
    const delay = calls < KILLED_CALLS ? whole * (0.3 + random()) : Number.POSITIVE_INFINITY;
    const call = await next((child) => {
      if (Number.isFinite(delay)) setTimeout(() => child.kill('SIGKILL'), delay);
    });
    if (call.signal === 'SIGKILL') kills++;
    else return { kills, call };
  }
  return {
    kills,
    call: { code: null, stdout: '', stderr: `not through after ${MOST_CALLS} calls` },
  };
}

const said = ({ code, signal, stdout, stderr }) =>
  `exit ${code ?? signal}: ${`${stdout}${stderr}`.trim().slice(-300)}`;

/** Training of an adapter on a base. */
async function lora(base, folder) {
  const stages = TINY.stages
    .filter(({ id }) => ['sft', 'before', 'grpo'].includes(id))
    .map(({ optimizer: _, replaceReference: __, minibatches: ___, ...stage }) => ({
      ...stage,
      optimizer: { lr: 0.002 },
    }))
    .map((stage) => (stage.kind === 'eval' ? { ...stage, optimizer: undefined } : stage));
  const { model: _, ...rest } = TINY;
  const recipe = writeRecipe(folder, {
    ...rest,
    name: 'lora',
    init: { from: base },
    adapter: { kind: 'lora', rank: 4, alpha: 8, targets: 'all-linear' },
    stages,
  });
  // The base is outside the project from which this is called.
  const job = { recipe, flags: ['--workers', '1'], resumeFlags: ['--trust'] };
  const reference = await uncut({ ...job, runs: join(folder, 'lora') });
  return async (n, random, whole) => {
    const runs = join(folder, `lora-${n}`);
    mkdirSync(runs);
    const { kills, call } = await untilThrough(random, whole, (whileRunning) =>
      startOrResume({ ...job, runs }, { whileRunning }),
    );
    const over = call.code === 0 || call.stdout.includes('is complete;');
    return { kills, problems: over ? problemsOf(onlyRun(runs), reference.result) : [said(call)] };
  };
}

/** An evaluation that goes on from its transcripts. */
async function evaluation(base, folder) {
  const evaluate = (file, whileRunning) =>
    reckoner(
      [
        'eval',
        base,
        '--task',
        JSON.stringify(TINY.task),
        '--problems',
        '60',
        '--samples',
        '4',
      ].concat(['--max-tokens', '24', '--workers', '1', '--out', file, '--json']),
      { whileRunning },
    );
  /** What must be the same: all but seconds and dollars, in an order of their own. */
  const resultOf = (file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .slice(1)
      .map((line) => JSON.parse(line))
      .map(({ seconds: _, usd: __, ...rest }) => JSON.stringify(rest))
      .sort();
  const first = join(folder, 'eval.jsonl');
  const call = await evaluate(first);
  if (call.code !== 0) throw new Error(`the reference evaluation failed: ${said(call)}`);
  const reference = resultOf(first);
  return async (n, random, whole) => {
    const file = join(folder, `eval-${n}.jsonl`);
    const { kills, call: end } = await untilThrough(random, whole, (whileRunning) =>
      evaluate(file, whileRunning),
    );
    if (end.code !== 0) return { kills, problems: [said(end)] };
    const result = resultOf(file);
    const problems = [];
    if (result.length !== reference.length)
      problems.push(`${result.length} transcripts instead of ${reference.length}`);
    else if (result.join() !== reference.join()) problems.push('other transcripts');
    return { kills, problems };
  };
}

/** Starts a verb that serves, and waits for its ready document. */
function startServer(args) {
  const child = spawn(process.execPath, [MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, NO_COLOR: '1' },
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  let text = '';
  const ready = new Promise((resolve, reject) => {
    child.stdout.on('data', (part) => {
      text += part;
      try {
        resolve(JSON.parse(text));
      } catch {
        // Not all of it yet.
      }
    });
    void ended.then(() => reject(new Error(`it ended before it was ready: ${text}`)));
  });
  ready.catch(() => {});
  return { child, ready, ended };
}

/** A server that is killed while it answers; its usage file loses no answer that was given. */
async function serving(base, folder) {
  const prompts = ['1+2=', '3+4=', '5-2=', '9-9=', '2+2+2='];
  const start = (usage) =>
    startServer(['serve', base, '--name', 'm', '--port', '0', '--json', '--usage', usage]);
  const ask = async (url, seed) => {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'm',
        messages: [{ role: 'user', content: prompts[seed % prompts.length] }],
        seed,
        max_tokens: 24,
      }),
    });
    if (response.status !== 200) throw new Error(`status ${response.status}`);
    const { id, choices } = await response.json();
    return { id, text: JSON.stringify(choices) };
  };
  const WANTED = 24;
  const reference = [];
  const first = start(join(folder, 'usage.jsonl'));
  const { url } = await first.ready;
  const from = performance.now();
  for (let seed = 0; seed < WANTED; seed++) reference.push((await ask(url, seed)).text);
  const answering = performance.now() - from;
  first.child.kill('SIGKILL');
  await first.ended;
  return async (n, random, whole) => {
    const usage = join(folder, `usage-${n}.jsonl`);
    const problems = [];
    const ids = [];
    let kills = 0;
    let seed = 0;
    while (seed < WANTED && problems.length === 0 && kills < MOST_CALLS) {
      const server = start(usage);
      let timer;
      const cut = (ms) => {
        timer = setTimeout(() => server.child.kill('SIGKILL'), ms);
      };
      // Now and then before it is ready; else while it answers. The last lives are not cut.
      const early = kills < KILLED_CALLS && random() < 0.2;
      if (early) cut(whole * random());
      try {
        const at = (await server.ready).url;
        if (!early && kills < 2 * KILLED_CALLS) cut(answering * random());
        while (seed < WANTED) {
          // Two at once: a batch must not change an answer either.
          const both = [seed, seed + 1].filter((one) => one < WANTED);
          const answers = await Promise.all(both.map((one) => ask(at, one)));
          answers.forEach(({ id, text }, i) => {
            ids.push(id);
            if (text !== reference[both[i]]) problems.push(`another answer to seed ${both[i]}`);
          });
          seed += both.length;
        }
      } catch {
        // Killed while it answered, or before it was ready.
      }
      clearTimeout(timer);
      if (server.child.exitCode === null && server.child.signalCode === null)
        server.child.kill('SIGKILL');
      await server.ended;
      kills++;
    }
    if (seed < WANTED) problems.push(`${seed} of ${WANTED} answers after ${kills} kills`);
    // A kill may tear the last line of one life; those before it are whole.
    const known = new Set();
    for (const line of existsSync(usage) ? readFileSync(usage, 'utf8').split('\n') : []) {
      try {
        known.add(JSON.parse(line).request?.id);
      } catch {
        // Torn.
      }
    }
    const lost = ids.filter((id) => !known.has(id));
    if (lost.length > 0) problems.push(`${lost.length} answers are not in the usage file`);
    return { kills, problems };
  };
}

/** A run that is killed, and resumed from the studio, which is killed too. */
async function studio(_base, folder) {
  const recipe = writeRecipe(folder, { ...TINY, name: 'watched', stages: TINY.stages.slice(0, 3) });
  const job = { recipe, flags: ['--workers', '1'] };
  const reference = await uncut({ ...job, runs: join(folder, 'watched') });
  return async (n, random, whole) => {
    const runs = join(folder, `watched-${n}`);
    mkdirSync(runs);
    let kills = 0;
    for (let calls = 0; calls < MOST_CALLS && onlyRun(runs) === null; calls++) {
      const delay = whole * (0.4 + random());
      const call = await startOrResume(
        { ...job, runs },
        { whileRunning: (child) => setTimeout(() => child.kill('SIGKILL'), delay) },
      );
      if (call.signal === 'SIGKILL') kills++;
    }
    const run = onlyRun(runs);
    if (run === null) return { kills, problems: ['no run was begun'] };
    const name = run.slice(runs.length + 1);
    const isOver = () => {
      try {
        const events = readFileSync(join(run, 'events.jsonl'), 'utf8').trimEnd().split('\n');
        return (
          JSON.parse(events.at(-1)).reason === 'completed' && existsSync(join(run, 'bill.json'))
        );
      } catch {
        return false;
      }
    };
    const until = performance.now() + 120_000;
    while (!isOver() && performance.now() < until) {
      const server = startServer(['studio', '--port', '0', '--json', '--runs', runs]);
      const { url } = await server.ready;
      const page = await (await fetch(url)).text();
      const token = /name="studio-token" content="([^"]+)"/.exec(page)?.[1] ?? '';
      const headers = { 'content-type': 'application/json', 'x-studio-token': token };
      await fetch(`${url}api/runs`).then((response) => response.json());
      // A run that goes on already is refused: it was resumed by the studio that was killed.
      await fetch(`${url}api/runs/${name}/resume`, { method: 'POST', headers, body: '{}' }).then(
        (response) => response.text(),
      );
      const stop = performance.now() + whole * (0.5 + random());
      while (!isOver() && performance.now() < stop)
        await new Promise((resolve) => setTimeout(resolve, 50));
      server.child.kill('SIGKILL');
      kills++;
      await server.ended;
    }
    // The lock is given back a moment after the last file is written.
    await new Promise((resolve) => setTimeout(resolve, 500));
    return { kills, problems: isOver() ? problemsOf(run, reference.result) : ['it did not end'] };
  };
}

/** Each kind: makes its reference, and returns a trial. */
export const USES = { lora, eval: evaluation, serve: serving, studio };
