import { readFileSync } from 'node:fs';
import { CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import type { Failure } from './output.js';
import { createProgram, usageFailure, wantsJson } from './program.js';
import { verbs } from './verbs.js';

const silent = { out: () => {}, err: () => {} };

describe('every verb', () => {
  it.each(Object.keys(verbs))(
    '%s has an example of itself and --json in its help',
    async (verb) => {
      let help = '';
      const args = [verb, '--help'];
      const program = await createProgram(args, { out: (text) => (help += text), err: () => {} });
      expect(program.commands.map((command) => command.name())).toEqual([verb]);
      await expect(program.parseAsync(args, { from: 'user' })).rejects.toThrow(CommanderError);
      expect(help).toContain('--json');
      expect(help.split(/\nExamples?:\n/)[1]).toMatch(
        new RegExp(`^  \\$ (npx )?reckoner ${verb}`, 'm'),
      );
      const examples = help.split(/\nExamples?:\n/)[1];
      expect(Math.max(...examples.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
      expect(help.endsWith('\n')).toBe(true);
    },
  );
});

describe('commander says in one line what was wrong, where, and what to do', () => {
  const cases: [args: string[], message: string, field: string | undefined][] = [
    [['trian'], "unknown command 'trian' (did you mean train?); see reckoner --help", 'command'],
    [
      ['eval', '--smaples', '3'],
      "unknown option '--smaples' (did you mean --samples?); see reckoner eval --help",
      '--smaples',
    ],
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
    [
      ['chat', 'a', 'b'],
      "too many arguments for 'chat'. Expected 1 argument but got 2; see reckoner chat --help",
      undefined,
    ],
    [
      ['train', '--seed'],
      "option '--seed <n>' argument missing; see reckoner train --help",
      '--seed',
    ],
  ];
  it.each(cases)('%j', async (args, message, field) => {
    const program = await createProgram(args, silent);
    const failure = await program.parseAsync(args, { from: 'user' }).then(
      () => null,
      (error: CommanderError): Failure => usageFailure(error, args),
    );
    expect(failure).toEqual({
      code: 'usage',
      ...(field === undefined ? {} : { field }),
      message,
      exitCode: 2,
    });
  });
});

it('--json counts before -- only', () => {
  expect(wantsJson(['chat', '--json'])).toBe(true);
  expect(wantsJson(['chat', '--', '--json'])).toBe(false);
  expect(wantsJson(['chat'])).toBe(false);
});

it('docs/reference/cli.md knows every option of every verb', async () => {
  const page = readFileSync(new URL('../../docs/reference/cli.md', import.meta.url), 'utf8');
  for (const load of Object.values(verbs)) {
    const verb = await load();
    const section = page.split(`\n## ${verb.name()}\n`)[1]?.split('\n## ')[0] ?? '';
    for (const { long } of verb.options)
      if (long !== '--json') expect(section, `${verb.name()} ${long}`).toContain(long);
  }
});
