/**
 * @file Starts, stops and resumes runs: each is a `reckoner train` of its own, so that it outlives
 * the page and the server.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { UserError } from '../base/errors.js';
import { holderOf, provenHolderOf, type RunFolder } from '../checkpoints/run-folder.js';
import { loadRecipe, trainableRecipes } from '../recipe/index.js';

export interface StartRequest {
  recipe: string;
  seed?: number;
  workers?: number;
  maxUsd?: number;
  maxMinutes?: number;
}

export interface Started {
  pid: number;
  /** The run's name once it has a folder; rejects with why it did not come to that. */
  named: Promise<string>;
}

export interface Processes {
  start(request: StartRequest): Started;
  resume(run: RunFolder): Started;
  stop(run: RunFolder): void;
}

/**
 * @param command how `reckoner` is called: a program and its first arguments
 * @param onFailure what the command said when it ended with an error
 */
export function createProcesses(
  runs: string,
  command: readonly string[],
  onFailure: (run: string, message: string) => void,
): Processes {
  /** Those that were started here and have not ended, by the name of their run. */
  const children = new Map<string, ChildProcess>();

  function launch(args: readonly string[]): Started {
    const [program, ...before] = command;
    // A group of its own: Ctrl-C on the server does not reach it.
    const child = spawn(program, [...before, 'train', ...args, '--runs', runs, '--no-color'], {
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });
    let name: string | null = null;
    let errors = '';
    const named = new Promise<string>((resolve, reject) => {
      child.stderr.setEncoding('utf8');
      child.stderr.on('data', (text: string) => {
        errors = (errors + text).slice(-4000);
        if (name !== null) return;
        // `r1-mini → runs/2026-11-23-r1-mini-7f3a`
        name = /→ (?:.*[/\\])?([^/\\\s,]+)/.exec(errors)?.[1] ?? null;
        if (name === null) return;
        children.set(name, child);
        resolve(name);
      });
      child.on('error', (error) => reject(error));
      child.on('exit', (code) => {
        if (name !== null && children.get(name) === child) children.delete(name);
        const said = /^error: (.*)$/m.exec(errors)?.[1];
        const message = said ?? errors.trim().split('\n').at(-1) ?? '';
        if (name === null)
          reject(new UserError('state', message || `the command ended with code ${code}`));
        else if (code !== 0 && code !== 130) onFailure(name, message);
      });
    });
    child.unref();
    (child.stderr as unknown as { unref?: () => void }).unref?.();
    return { pid: child.pid ?? 0, named };
  }
  return {
    start({ recipe, seed, workers, maxUsd, maxMinutes }) {
      if (!trainableRecipes().includes(recipe)) {
        const known = trainableRecipes().join(', ');
        throw new UserError(
          'usage',
          `no recipe ${JSON.stringify(recipe)} to train; there are ${known}`,
          'recipe',
        );
      }
      loadRecipe(recipe);
      const flags = {
        '--seed': seed,
        '--workers': workers,
        '--max-usd': maxUsd,
        '--max-minutes': maxMinutes,
      };
      return launch([
        recipe,
        ...Object.entries(flags).flatMap(([flag, value]) =>
          value === undefined ? [] : [flag, String(value)],
        ),
      ]);
    },
    resume(run) {
      if (holderOf(run) !== null)
        throw new UserError('state', `${run.name} is running already`, 'run');
      return launch(['--resume', run.root]);
    },
    stop(run) {
      if (holderOf(run) === null) throw new UserError('state', `${run.name} is not running`, 'run');
      // One that was started here is known.
      if (children.get(run.name)?.kill('SIGINT')) return;
      const pid = provenHolderOf(run);
      if (pid === null) {
        const message = `${run.name} is locked by a process that is not known to train it; stop it where it was started`;
        throw new UserError('state', message, 'run');
      }
      process.kill(pid, 'SIGINT');
    },
  };
}
