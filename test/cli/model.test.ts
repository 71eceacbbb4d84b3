/**
 * @file chat, eval and train as a user calls them, with a model that has learned nothing.
 */
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { documents, errorDocument } from '../../src/cli/documents.js';
import { reckoner, writeTinyModel } from './model.js';

let cwd: string;
beforeAll(async () => {
  cwd = mkdtempSync(join(tmpdir(), 'reckoner-cli-'));
  await writeTinyModel(join(cwd, 'tiny'));
});
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

const error = (stdout: string): { code: string; field?: string; message: string } =>
  errorDocument.parse(JSON.parse(stdout)).error;

describe('chat', () => {
  const ask = ['chat', 'tiny', '--prompt', '12+7=', '--max-tokens', '20'];

  it('prints the document of its schema, the same for the same seed', async () => {
    const first = await reckoner([...ask, '--json'], { cwd });
    expect([first.code, first.stderr]).toEqual([0, '']);
    const document = JSON.parse(first.stdout);
    expect(documents.chat.parse(document)).toEqual(document);
    expect(document).toMatchObject({ model: 'tiny', prompt: '12+7=', tokens: { prompt: 6 } });
    expect(document.tokens.completion).toBeLessThanOrEqual(20);
    expect(document.usd).toBeGreaterThan(0);
    const again = JSON.parse((await reckoner([...ask, '--json'], { cwd })).stdout);
    expect(again.text).toBe(document.text);
    const other = JSON.parse((await reckoner([...ask, '--seed', '2', '--json'], { cwd })).stdout);
    expect(other.text).not.toBe(document.text);
  });

  it('names a character that the model has never seen, and shows a prompt that works', async () => {
    const { code, stdout } = await reckoner(['chat', 'tiny', '--prompt', '12*7=', '--json'], {
      cwd,
    });
    expect(code).toBe(2);
    const { message, field } = error(stdout);
    expect(field).toBe('--prompt');
    expect(message).toMatch(/^character "\*" \(U\+002A\) at position 3 of "12\*7="/);
    const example = /; try "([^"]+)"$/.exec(message)?.[1] ?? '';
    expect(
      (await reckoner(['chat', 'tiny', '--prompt', example, '--max-tokens', '5'], { cwd })).code,
    ).toBe(0);
  });

  it('refuses a prompt that is too long, and --json without a prompt', async () => {
    const long = await reckoner(['chat', 'tiny', '--prompt', `${'1+'.repeat(40)}1=`, '--json'], {
      cwd,
    });
    expect([long.code, error(long.stdout).field]).toEqual([2, '--prompt']);
    expect(error(long.stdout).message).toContain('the prompt is too long');
    const none = await reckoner(['chat', 'tiny', '--json'], { cwd });
    expect([none.code, error(none.stdout).message]).toEqual([2, '--json needs --prompt']);
  });

  it('answers every line of its input; an empty one asks and grades an unseen problem', async () => {
    const { code, stdout, stderr } = await reckoner(['chat', 'tiny', '--max-tokens', '8'], {
      cwd,
      input: '3+4=\n\n',
    });
    expect(stderr.trim().split('\n')).toHaveLength(2);
    expect(stderr).toContain('✗ wrong: ');
    expect(stdout).toMatch(/^[0-9+-]+=$/m);
    expect(code).toBe(0);
  });

  it('ends with 130 on Ctrl-C', async () => {
    const { code, stderr } = await reckoner(['chat', 'tiny'], {
      cwd,
      onStart: (child) => {
        child.stdin?.write('1+1=\n');
        // The note after the first answer: the command now waits for the next line.
        child.stderr?.once('data', () => child.kill('SIGINT'));
      },
    });
    expect(code).toBe(130);
    expect(stderr).toMatch(/error: interrupted\n$/);
  });
});

describe('eval', () => {
  it('prints the document of its schema', async () => {
    const args = [
      'eval',
      'tiny',
      '--problems',
      '12',
      '--samples',
      '3',
      '--max-tokens',
      '12',
      '--json',
    ];
    const { code, stdout, stderr } = await reckoner(args, { cwd });
    expect([code, stderr]).toEqual([0, '']);
    const document = documents.eval.parse(JSON.parse(stdout));
    expect(document).toEqual(JSON.parse(stdout));
    expect(document).toMatchObject({ task: 'sums', problems: 12, samples: 3, greedy: { low: 0 } });
    expect(document.passAtK.map(({ k }) => k)).toEqual([1, 2, 3]);
    expect(document.stopReasons.eos + document.stopReasons.length).toBeCloseTo(1, 12);
    // A model of random weights is right by luck alone.
    expect(document.pass1.mean).toBeLessThan(0.2);
  });

  it('refuses a task that the model cannot read', async () => {
    const { code, stdout } = await reckoner(['eval', 'tiny', '--task', 'countdown', '--json'], {
      cwd,
    });
    expect([code, error(stdout).field]).toEqual([2, '--task']);
    expect(error(stdout).message).toContain('trained on sums');
  });
});

describe('a damaged model', () => {
  it('ends in one line that names the file', async () => {
    await writeTinyModel(join(cwd, 'broken'));
    writeFileSync(join(cwd, 'broken', 'config.json'), '{ "model_type": "gpt2" }');
    const { code, stdout } = await reckoner(['chat', 'broken', '--prompt', '1+1=', '--json'], {
      cwd,
    });
    expect([code, error(stdout).code]).toEqual([1, 'data']);
    expect(error(stdout).message).toContain('model_type');
  });
});

describe('train', () => {
  const recipe = {
    name: 'tiny',
    model: {
      model_type: 'llama',
      hidden_size: 16,
      intermediate_size: 32,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      max_position_embeddings: 64,
    },
    task: { name: 'sums' },
    stages: [
      {
        id: 'learn',
        kind: 'sft',
        steps: 3,
        batch: 4,
        optimizer: { lr: 0.001 },
        schedule: { kind: 'constant' },
      },
      { id: 'after', kind: 'eval', problems: 4, samples: 2, maxTokens: 8 },
    ],
  };

  it('prints the document of its schema; progress goes to stderr; the run can be talked to', async () => {
    writeFileSync(join(cwd, 'tiny.json'), JSON.stringify(recipe));
    const { code, stdout, stderr } = await reckoner(
      ['train', 'tiny.json', '--workers', '1', '--json'],
      { cwd },
    );
    expect(code).toBe(0);
    const document = JSON.parse(stdout);
    expect(documents.train.parse(document)).toEqual(document);
    expect(document).toMatchObject({
      recipe: 'tiny',
      seed: 1,
      reason: 'completed',
      step: 4,
      workers: 1,
    });
    expect(stderr).toContain('[learn] sft, 3 steps, stage 1 of 2\n');
    expect(stderr).toMatch(/◆ after · sums · pass@1 .*greedy/);
    expect(existsSync(join(cwd, document.run.folder, 'bill.json'))).toBe(true);
    const exported = await reckoner(['export', document.run.name, '--out', 'out', '--json'], {
      cwd,
    });
    expect(exported.code).toBe(0);
    expect(documents.export.parse(JSON.parse(exported.stdout))).toEqual(
      JSON.parse(exported.stdout),
    );
    const chat = await reckoner(
      ['chat', 'out', '--prompt', '1+1=', '--max-tokens', '4', '--json'],
      { cwd },
    );
    expect(chat.code).toBe(0);
  });

  it('that diverges ends in one error document', async () => {
    const stage = { ...recipe.stages[0], steps: 50, optimizer: { lr: 1e30, matrices: 'adamw' } };
    writeFileSync(
      join(cwd, 'wild.json'),
      JSON.stringify({ ...recipe, name: 'wild', stages: [stage] }),
    );
    const { code, stdout } = await reckoner(['train', 'wild.json', '--workers', '1', '--json'], {
      cwd,
    });
    expect([code, error(stdout).code]).toEqual([1, 'diverged']);
    expect(error(stdout).message).toMatch(/^stage learn, step \d+: /);
  });

  it('whose policy is dead is stopped, and says why', async () => {
    const stage = {
      ...{ id: 'rl', kind: 'grpo', steps: 200, prompts: 2, samples: 2, maxTokens: 1, patience: 7 },
      schedule: { kind: 'constant' },
      optimizer: { matrices: 'adamw', lr: 1e-4 },
    };
    writeFileSync(
      join(cwd, 'dead.json'),
      JSON.stringify({ ...recipe, name: 'dead', stages: [stage] }),
    );
    const call = ['train', 'dead.json', '--workers', '1', '--json'];
    const { code, stdout, stderr } = await reckoner(call, { cwd });
    expect([code, error(stdout).code]).toEqual([1, 'diverged']);
    expect(error(stdout).message).toMatch(
      /^stage rl, step 7: 7 steps in a row without a signal: none of 4 completions .* 4 were cut off at 1 tokens; stopped by patience 7/,
    );
    expect(stderr).toMatch(/5 steps in a row without a signal/);
  });

  it('whose folder is moved meanwhile says so', async () => {
    const stage = { ...recipe.stages[0], steps: 1_000_000 };
    const moving = { ...recipe, name: 'moving', stages: [stage] };
    writeFileSync(join(cwd, 'moving.json'), JSON.stringify(moving));
    const call = ['train', 'moving.json', '--workers', '1', '--runs', 'elsewhere', '--json'];
    const { code, stdout } = await reckoner(call, {
      cwd,
      onStart: (child) => {
        let seen = '';
        child.stderr?.on('data', (chunk) => {
          const before = seen.includes('[learn]');
          seen += chunk;
          if (!before && seen.includes('[learn]'))
            renameSync(join(cwd, 'elsewhere'), join(cwd, 'moved'));
        });
      },
    });
    expect(code).toBe(1);
    expect(error(stdout)).toMatchObject({ code: 'state' });
    expect(error(stdout).message).toMatch(/was moved or removed during the run/);
  });

  it.each(['SIGINT', 'SIGHUP'] as const)(
    'that gets %s says so, and can be resumed',
    async (signal) => {
      const stage = { ...recipe.stages[0], steps: 1_000_000 };
      writeFileSync(
        join(cwd, `${signal}.json`),
        JSON.stringify({ ...recipe, name: `long-${signal.toLowerCase()}`, stages: [stage] }),
      );
      const { code, stdout } = await reckoner(
        ['train', `${signal}.json`, '--workers', '1', '--json'],
        {
          cwd,
          onStart: (child) => {
            let seen = '';
            child.stderr?.on('data', (chunk) => {
              const before = seen.includes('[learn]');
              seen += chunk;
              if (!before && seen.includes('[learn]')) setTimeout(() => child.kill(signal), 300);
            });
          },
        },
      );
      expect(code).toBe(130);
      const document = documents.train.parse(JSON.parse(stdout));
      expect(document.reason).toBe('interrupted');
      const more = await reckoner(
        ['train', '--resume', document.run.name, '--max-minutes', '0', '--json'],
        { cwd },
      );
      expect(more.code).toBe(0);
      const resumed = documents.train.parse(JSON.parse(more.stdout));
      expect(resumed).toMatchObject({ run: { name: document.run.name }, reason: 'max-minutes' });
      expect(resumed.step).toBeGreaterThan(document.step);
    },
  );

  it('names the field of a wrong recipe', async () => {
    writeFileSync(
      join(cwd, 'wrong.json'),
      JSON.stringify({ ...recipe, stages: [{ id: 'x', kind: 'sft', steps: 'three' }] }),
    );
    const { code, stdout } = await reckoner(['train', 'wrong.json', '--json'], { cwd });
    expect(code).toBe(2);
    expect(error(stdout).message).toContain('stages.0.steps');
  });
});
