/**
 * @file `reckoner eval` as a user starts it: a model here, `reckoner serve`, servers that fail;
 * killed and gone on with.
 */
import { spawn } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { documents, errorDocument } from '../../src/cli/documents.js';
import { createTask, evaluationProblems } from '../../src/tasks/index.js';
import { NAME, type Serving, serve } from '../serve/serving.js';
import { reckoner, writeTinyModel } from './model.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const cwd = mkdtempSync(join(tmpdir(), 'reckoner-eval-'));
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

const linesOf = (file: string): Record<string, unknown>[] =>
  readFileSync(join(cwd, file), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

async function evaluate(args: readonly string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await reckoner(['eval', ...args, '--json'], { cwd, env });
  const document = JSON.parse(stdout);
  if (code !== 0)
    return { code, stderr, error: errorDocument.parse(document).error, document: null as never };
  expect(documents.eval.parse(document)).toEqual(document);
  return { code, stderr, error: null, document: documents.eval.parse(document) };
}

describe('a model here', () => {
  beforeAll(() => writeTinyModel(join(cwd, 'tiny')));
  const args = ['tiny', '--problems', '30', '--samples', '3', '--max-tokens', '12'];

  it('keeps every transcript, goes on from half a file with other workers, and says the same', async () => {
    const whole = await evaluate([...args, '--workers', '1', '--out', 'whole.jsonl']);
    const lines = linesOf('whole.jsonl');
    expect(lines).toHaveLength(1 + 30 * 4);
    expect(lines[1]).toMatchObject({
      prompt: expect.stringMatching(/=$/),
      completion: expect.any(String),
      reason: expect.any(String),
    });
    // A kill leaves some lines and half of one.
    const text = readFileSync(join(cwd, 'whole.jsonl'), 'utf8').split('\n');
    writeFileSync(
      join(cwd, 'half.jsonl'),
      `${text.slice(0, 18).join('\n')}\n${text[18].slice(0, 20)}`,
    );
    const resumed = await evaluate([...args, '--workers', '3', '--out', 'half.jsonl']);
    const measured = {
      seconds: 0,
      usd: 0,
      usdPerProblem: 0,
      usdPerCorrectAnswer: null,
      transcripts: '',
    };
    expect({ ...resumed.document, ...measured }).toEqual({ ...whole.document, ...measured });
    const byKey = (a: object, b: object): number =>
      JSON.stringify(a) < JSON.stringify(b) ? -1 : 1;
    const completions = (file: string): object[] =>
      linesOf(file)
        .slice(1)
        .map(({ problem, sample, completion }) => ({ problem, sample, completion }))
        .sort(byKey);
    expect(completions('half.jsonl')).toEqual(completions('whole.jsonl'));
    // A third call has nothing left to ask.
    const before = readFileSync(join(cwd, 'half.jsonl'));
    expect((await evaluate([...args, '--out', 'half.jsonl'])).document.usd).toBe(
      resumed.document.usd,
    );
    expect(readFileSync(join(cwd, 'half.jsonl'))).toEqual(before);
    const other = await evaluate([...args, '--seed', '2', '--out', 'half.jsonl']);
    expect([other.code, other.error?.field]).toEqual([2, '--out']);
  }, 120_000);

  it('is stopped by Ctrl-C with one line that says how to go on', async () => {
    const long = [
      'eval',
      'tiny',
      '--problems',
      '2000',
      '--samples',
      '16',
      '--max-tokens',
      '40',
      '--out',
      'long.jsonl',
    ];
    const { code, stderr } = await reckoner(long, {
      cwd,
      onStart: (child) => {
        const timer = setInterval(() => {
          if (!existsSync(join(cwd, 'long.jsonl')) || linesOf('long.jsonl').length < 2) return;
          clearInterval(timer);
          child.kill('SIGINT');
        }, 50);
      },
    });
    expect(code).toBe(130);
    expect(stderr).toMatch(
      /interrupted; [1-9]\d* of 34000 answers are in long\.jsonl; the same command goes on\n$/,
    );
    expect(existsSync(join(cwd, 'long.jsonl.lock'))).toBe(false);
  }, 60_000);

  it('keeps them with the runs unless it is told otherwise', async () => {
    const { document } = await evaluate([...args, '--no-greedy']);
    expect(document.transcripts).toMatch(/^runs\/evaluations\/tiny-sums-[0-9a-f]{8}\.jsonl$/);
    expect(document.greedy).toBeNull();
    expect(readdirSync(join(cwd, 'runs/evaluations'))).toHaveLength(1);
  });
});

describe('reckoner serve', () => {
  let serving: Serving;
  beforeAll(async () => {
    serving = await serve();
  }, 60_000);
  afterAll(() => serving.stop());

  it('is asked through chat: every completion graded, its dollars as the server says', async () => {
    const args = [
      '--task',
      'sums',
      '--problems',
      '5',
      '--samples',
      '2',
      '--max-tokens',
      '16',
      '--out',
      'chat.jsonl',
    ];
    const { document } = await evaluate([serving.url, ...args]);
    expect(document).toMatchObject({
      model: NAME,
      endpoint: `${serving.url}/v1`,
      problems: 5,
      greedy: null,
      pricing: null,
    });
    expect(document.tokens?.completion).toBeGreaterThan(0);
    const lines = linesOf('chat.jsonl').slice(1);
    expect(lines).toHaveLength(10);
    const usd = lines.reduce((sum, line) => sum + Number(line.usd), 0);
    expect(usd).toBeGreaterThan(0);
    expect(document.usd).toBeCloseTo(usd, 15);
    const usage = readFileSync(join(serving.folder, 'usage.jsonl'), 'utf8').trim().split('\n');
    expect(usage.length).toBeGreaterThanOrEqual(10);
  }, 60_000);

  it.each([
    'think-answer',
    'boxed',
    'last-number',
    'final-line',
    'json',
    '(text) => (/\\d/.exec(text) ?? [])[0] ?? null',
  ])(
    'gives the verdicts of the same model here: %s',
    async (format) => {
      const task = JSON.stringify({ name: 'sums', maximum: 9, terms: [2, 3], format });
      const args = ['--task', task, '--problems', '12', '--samples', '1', '--greedy'];
      const asked = [...args, '--max-tokens', '24'];
      const graded = async (model: string, out: string) => {
        rmSync(join(cwd, out), { force: true });
        await evaluate([model, ...asked, '--out', out]);
        return linesOf(out)
          .filter(({ sample }) => sample === null)
          .map(({ problem, completion, answer, correct, wellFormed, stop }) =>
            JSON.stringify({ problem, completion, answer, correct, wellFormed, stop }),
          )
          .sort();
      };
      const here = await graded(join(serving.folder, 'model'), 'form-here.jsonl');
      expect(here).toHaveLength(12);
      expect(await graded(serving.url, 'form-served.jsonl')).toEqual(here);
    },
    60_000,
  );

  it('is asked the bare prompt with --completions, and priced by the token where prices are given', async () => {
    const args = [
      '--task',
      'sums',
      '--problems',
      '4',
      '--samples',
      '2',
      '--max-tokens',
      '8',
      '--out',
      'plain.jsonl',
    ];
    const { document } = await evaluate([
      serving.url,
      ...args,
      '--completions',
      '--usd-per-mtok',
      '10,100,1',
    ]);
    const { prompt, cached, completion } = document.tokens as NonNullable<typeof document.tokens>;
    expect(document.usd).toBeCloseTo(
      (10 * (prompt - cached) + cached + 100 * completion) / 1e6,
      15,
    );
    expect(document.pricing).toMatchObject({ outputUsdPerMtok: 100 });
  }, 60_000);

  it('answers questions and code from JSON Lines, every row asked', async () => {
    const questions = [
      { question: 'One and one?', answer: 'It is 1+1=<<1+1=2>>2\n#### 2' },
      { question: 'Two?', answer: 2 },
      { prompt: 'Half?', answer: '1/2' },
    ];
    writeFileSync(join(cwd, 'q.jsonl'), questions.map((row) => JSON.stringify(row)).join('\n'));
    const code = { prompt: 'function one() {', entry: 'one', tests: [{ args: [], expected: 1 }] };
    writeFileSync(join(cwd, 'c.jsonl'), JSON.stringify(code));
    for (const [file, problems] of [
      ['q.jsonl', 3],
      ['c.jsonl', 1],
    ] as const) {
      const { document } = await evaluate([
        serving.url,
        '--task',
        file,
        '--samples',
        '1',
        '--max-tokens',
        '4',
      ]);
      expect(document).toMatchObject({ task: file, problems, pass1: { mean: 0 } });
    }
  }, 60_000);
});

describe('a server that fails', () => {
  type Handler = (
    request: IncomingMessage,
    response: ServerResponse,
    body: { messages: { content: string }[] },
  ) => void;
  let server: ReturnType<typeof createServer>;
  let requests = 0;
  async function start(handler: Handler): Promise<string> {
    requests = 0;
    server = createServer((request, response) => {
      // The caller first asks which server this is; this one has no list of models.
      if (request.method === 'GET') return void response.writeHead(404).end();
      let text = '';
      request.on('data', (piece) => (text += piece));
      request.on('end', () => {
        requests++;
        handler(request, response, JSON.parse(text));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  }
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  const task = createTask({ name: 'sums' });
  const gold = new Map(
    evaluationProblems(task, 1, 8).map((problem) => [problem.prompt, task.gold(problem) as string]),
  );
  const right: Handler = (_request, response, { messages }) => {
    const content = gold.get(messages[messages.length - 1].content) as string;
    const usage = { prompt_tokens: 10, completion_tokens: 20 };
    response.end(
      JSON.stringify({ choices: [{ message: { content }, finish_reason: 'stop' }], usage }),
    );
  };
  const args = [
    '--model',
    'm',
    '--task',
    'sums',
    '--problems',
    '8',
    '--samples',
    '2',
    '--parallel',
    '3',
  ];

  it('is asked again: 429 with Retry-After, 500, a broken connection', async () => {
    const faults: Handler[] = [
      (_request, response) =>
        response.writeHead(429, { 'retry-after': '0' }).end('{"error":{"message":"slow down"}}'),
      (_request, response) => response.writeHead(500).end(),
      (_request, response) => void response.socket?.destroy(),
    ];
    const url = await start((request, response, body) =>
      (faults.shift() ?? right)(request, response, body),
    );
    const { document, stderr } = await evaluate([url, ...args, '--out', 'faults.jsonl']);
    expect(document).toMatchObject({ pass1: { mean: 1 }, format: { mean: 1 }, usd: null });
    expect(requests).toBe(16 + 3);
    expect(stderr).toMatch(/trying again in [\d.]+ s: 429: slow down\n/);
    expect(
      linesOf('faults.jsonl')
        .slice(1)
        .reduce((sum, { tries = 1 }) => sum + Number(tries), 0),
    ).toBe(19);
  }, 60_000);

  it('is gone on with after a kill, nothing asked twice that was answered', async () => {
    const silent = 7;
    const killed = await start((request, response, body) => {
      // After so many answers nobody answers any more, until the caller is killed.
      if (requests <= silent) right(request, response, body);
    });
    const port = (server.address() as AddressInfo).port;
    const call = ['eval', killed, ...args, '--out', 'killed.jsonl', '--json'];
    const child = spawn(process.execPath, [MAIN, ...call], { cwd, stdio: 'ignore' });
    // Until all places are waiting for answers that do not come.
    while (requests < silent + 3) await new Promise((resolve) => setTimeout(resolve, 20));
    const second = await evaluate(call.slice(1, -1));
    expect(second.error).toMatchObject({ code: 'state', field: '--out' });
    expect(second.error?.message).toMatch(
      `killed.jsonl is being written by process ${child.pid} since`,
    );
    await new Promise((resolve) => {
      child.once('exit', resolve);
      child.kill('SIGKILL');
    });
    const had = linesOf('killed.jsonl').length - 1;
    expect(had).toBe(silent);
    appendFileSync(join(cwd, 'killed.jsonl'), '{"problem":3,"sample":1,"prom');
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    requests = 0;
    server = createServer((request, response) => {
      if (request.method === 'GET') return void response.writeHead(404).end();
      let text = '';
      request.on('data', (piece) => (text += piece));
      request.on('end', () => {
        requests++;
        right(request, response, JSON.parse(text));
      });
    });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    const { document } = await evaluate(call.slice(1, -1));
    expect(document).toMatchObject({ problems: 8, pass1: { mean: 1 } });
    expect(requests).toBe(16 - silent);
    expect(linesOf('killed.jsonl')).toHaveLength(17);
  }, 60_000);

  it('that stays away ends in one line that says how to go on', async () => {
    const url = await start((request, response, body) => {
      if (requests <= 5) right(request, response, body);
      else response.writeHead(503).end('{"error":{"message":"overloaded"}}');
    });
    const { code, error } = await evaluate([url, ...args, '--retries', '0', '--out', 'away.jsonl']);
    expect(code).toBe(1);
    expect(error?.message).toMatch(
      /503: overloaded; 5 of 16 answers are in away\.jsonl; the same command goes on$/,
    );
  }, 60_000);

  it('is asked no more than --max-usd pays for, and gone on with when there is more', async () => {
    const url = await start(right);
    // An answer is 10 tokens read and 20 written.
    const priced = [...args, '--usd-per-mtok', '10,100', '--out', 'budget.jsonl'];
    const five = await evaluate([url, ...priced, '--max-usd', '0.011']);
    expect(five.document).toMatchObject({
      stopped: 'max-usd',
      answers: { have: 5, of: 16 },
      problems: 2,
    });
    expect(requests).toBe(5);
    const nine = await evaluate([url, ...priced, '--max-usd', '0.02']);
    expect(nine.document.answers).toEqual({ have: 9, of: 16 });
    const all = await evaluate([url, ...priced]);
    expect(all.document).toMatchObject({
      stopped: null,
      answers: { have: 16, of: 16 },
      problems: 8,
    });
    expect(requests).toBe(16);
    const none = await evaluate([
      url,
      ...args,
      '--usd-per-mtok',
      '10,100',
      '--out',
      'poor.jsonl',
      '--max-usd',
      '0.002',
    ]);
    expect(none.error).toMatchObject({
      code: 'state',
      field: '--max-usd',
      message: expect.stringContaining(': 1 of 16 are in poor'),
    });
    const unknown = await evaluate([url, ...args, '--out', 'unknown.jsonl', '--max-usd', '1']);
    expect([unknown.code, unknown.error?.field]).toEqual([2, '--max-usd']);
    expect(unknown.error?.message).toContain(
      'give prices with --usd-per-mtok; 1 of 16 answers are in unknown.jsonl',
    );
  }, 60_000);

  it("is graded by a user's own task, from its file", async () => {
    const mirrored = (length: number, start: string): string => {
      const half = start.padEnd(Math.ceil(length / 2), 'a').slice(0, Math.ceil(length / 2));
      return (
        half +
        [...half]
          .reverse()
          .join('')
          .slice(length % 2)
      );
    };
    const url = await start((_request, response, { messages }) => {
      const [length, start] = messages[messages.length - 1].content.slice(0, -1).split(',');
      // Every other answer is one letter short.
      const content = `<answer>${mirrored(Number(length) - (requests % 2), start)}</answer>`;
      response.end(JSON.stringify({ choices: [{ message: { content }, finish_reason: 'stop' }] }));
    });
    const module = fileURLToPath(new URL('../../examples/my-task/palindromes.ts', import.meta.url));
    const own = [
      '--model',
      'm',
      '--task',
      module,
      '--problems',
      '6',
      '--samples',
      '2',
      '--parallel',
      '1',
      '--out',
      'own.jsonl',
    ];
    const { document } = await evaluate([url, ...own]);
    expect(document).toMatchObject({
      task: 'palindromes (palindromes.ts)',
      pass1: { mean: 0.5 },
      tokens: null,
      usd: null,
    });
    expect(linesOf('own.jsonl')[1]).toMatchObject({ correct: false, wellFormed: true });
  }, 60_000);

  it('gets the key of the variable that is named, and no other', async () => {
    const seen: (string | undefined)[] = [];
    const url = await start((request, response, body) => {
      seen.push(request.headers.authorization);
      right(request, response, body);
    });
    const env = { OPENAI_API_KEY: 'sk-not-this', MY_KEY: 'sk-this' };
    await evaluate([url, ...args, '--out', 'key.jsonl', '--key', 'MY_KEY'], env);
    expect(new Set(seen)).toEqual(new Set(['Bearer sk-this']));
    expect(readFileSync(join(cwd, 'key.jsonl'), 'utf8')).not.toContain('sk-');
    seen.length = 0;
    await evaluate([url, ...args, '--out', 'nokey.jsonl'], env);
    expect(new Set(seen)).toEqual(new Set([undefined]));
    const missing = await evaluate([url, ...args, '--key', 'NO_SUCH_KEY']);
    expect([missing.code, missing.error?.field]).toEqual([2, '--key']);
  }, 60_000);
});

it('compare puts measured beside published, each marked', async () => {
  const { code, stdout, stderr } = await reckoner(
    [
      'eval',
      'compare',
      'plain.jsonl',
      'whole.jsonl',
      '--published',
      'Aider polyglot',
      '--out',
      'all.html',
      '--json',
    ],
    { cwd },
  );
  expect(code, stderr).toBe(0);
  const document = documents['eval-compare'].parse(JSON.parse(stdout));
  expect(document.rows.slice(0, 2)).toMatchObject([
    { benchmark: 'sums', kind: 'measured', source: 'plain.jsonl' },
    { benchmark: 'sums', kind: 'measured', model: 'tiny' },
  ]);
  expect(document.rows[0].usdPerProblem).toBeGreaterThan(0);
  const published = document.rows.filter(({ kind }) => kind === 'published');
  expect(published.map(({ model }) => model)).toContain('DeepSeek R1');
  for (const row of published)
    expect([row.source.length > 20, row.date !== '', row.definition !== '']).toEqual([
      true,
      true,
      true,
    ]);
  expect(readFileSync(join(cwd, 'all.html'), 'utf8')).toContain('<svg class="plot"');
  const wrong = await reckoner(['eval', 'compare', '--published', 'IQ'], { cwd });
  expect([wrong.code, wrong.stderr]).toEqual([
    2,
    expect.stringContaining('no published results of "IQ"; there are AIME 2024'),
  ]);
});
