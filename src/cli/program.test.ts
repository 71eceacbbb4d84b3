import { readFileSync } from 'node:fs';
import { CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import type { Failure } from './output.js';
import { createProgram, usageFailure, wantsJson } from './program.js';
import { verbs } from './verbs.js';

const silent = { out: () => {}, err: () => {} };

describe('every verb', () => {
  it.each(verbs.map((make) => make().name()))('%s has an example of itself and --json in its help', async (verb) => {
    let help = '';
    const program = createProgram({ out: (text) => (help += text), err: () => {} });
    await expect(program.parseAsync([verb, '--help'], { from: 'user' })).rejects.toThrow(CommanderError);
    expect(help).toContain('--json');
    expect(help.split(/\nExamples?:\n/)[1]).toMatch(new RegExp(`^  \\$ (npx )?reckoner ${verb}`, 'm'));
    expect(help.endsWith('\n')).toBe(true);
  });
});

describe('commander says in one line what was wrong, where, and what to do', () => {
  const cases: [args: string[], message: string, field: string | undefined][] = [
    [['trian'], "unknown command 'trian' (did you mean train?); see reckoner --help", 'command'],
    [['eval', '--smaples', '3'], "unknown option '--smaples' (did you mean --samples?); see reckoner eval --help", '--smaples'],
    [
      ['eval', '--samples', 'many'],
      "option '--samples <k>' argument 'many' is invalid. It must be a whole number from 1 to 1024; see reckoner eval --help",
      '--samples',
    ],
    [
      ['chat', '--temperature', '-1'],
      "option '--temperature <t>' argument '-1' is invalid. It must be a number from 0 to 100; see reckoner chat --help",
      '--temperature',
    ],
    [['chat', 'a', 'b'], "too many arguments for 'chat'. Expected 1 argument but got 2; see reckoner chat --help", undefined],
    [['train', '--seed'], "option '--seed <n>' argument missing; see reckoner train --help", '--seed'],
  ];
  it.each(cases)('%j', async (args, message, field) => {
    const failure = await createProgram(silent)
      .parseAsync(args, { from: 'user' })
      .then(
        () => null,
        (error: CommanderError): Failure => usageFailure(error, args),
      );
    expect(failure).toEqual({ code: 'usage', ...(field === undefined ? {} : { field }), message, exitCode: 2 });
  });
});

it('--json counts before -- only', () => {
  expect(wantsJson(['chat', '--json'])).toBe(true);
  expect(wantsJson(['chat', '--', '--json'])).toBe(false);
  expect(wantsJson(['chat'])).toBe(false);
});

it('docs/reference/cli.md knows every option of every verb', () => {
  const page = readFileSync(new URL('../../docs/reference/cli.md', import.meta.url), 'utf8');
  for (const make of verbs) {
    const verb = make();
    const section = page.split(`\n## ${verb.name()}\n`)[1]?.split('\n## ')[0] ?? '';
    for (const { long } of verb.options) if (long !== '--json') expect(section, `${verb.name()} ${long}`).toContain(long);
  }
});
