/**
 * @file `reckoner studio`: the web application, until Ctrl-C.
 */
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { UserError } from '../base/errors.js';
import { isLoopback } from '../base/hosts.js';
import { RUNS } from '../checkpoints/run-folder.js';
import { startStudio } from '../studio/server.js';
import { SCHEMA_VERSION, type StudioDocument } from './documents.js';
import { integerOption, interruptSignal, note, printDocument, withExamples } from './output.js';
import { endWithParent, UNTIL_PARENT_EXITS } from './parent.js';
import { packageVersion } from './version.js';

interface Flags {
  port: number;
  host: string;
  allowHost: string[];
  public?: boolean;
  untilParentExits?: boolean;
  runs: string;
  json?: boolean;
}

export function studioCommand(): Command {
  const command = new Command('studio')
    .description('the web application: watch runs, talk to models, plan, and read bills and claims')
    .option('--port <n>', 'the port; 0 takes one that is free', integerOption(0, 65535), 4000)
    .option('--host <address>', 'the address to listen on', '127.0.0.1')
    .option(
      '--public',
      'allow an address that other machines reach; any visitor of the page can start runs',
    )
    .option(
      '--allow-host <name>',
      'another host name under which the page is opened (repeatable)',
      collect,
      [] as string[],
    )
    .option('--until-parent-exits', UNTIL_PARENT_EXITS)
    .option('--runs <folder>', 'where runs are', RUNS)
    .option('--json', 'print one ready document and nothing else')
    .action(runStudio);
  return withExamples(command, 'reckoner studio', 'reckoner studio --port 0 --json');
}

const collect = (value: string, before: string[]): string[] => [...before, value.toLowerCase()];

async function runStudio(flags: Flags): Promise<void> {
  const { host, port, runs, allowHost } = flags;
  if (!isLoopback(host) && !flags.public) {
    throw new UserError(
      'usage',
      `${host} is reached by other machines, which could start runs; add --public if that is meant`,
      '--host',
    );
  }
  const signal = flags.untilParentExits ? endWithParent(interruptSignal()) : interruptSignal();
  const command = [process.execPath, fileURLToPath(new URL('./main.js', import.meta.url))];
  const studio = await startStudio({
    version: packageVersion(),
    command,
    runs,
    host,
    port,
    names: allowHost,
  });
  if (flags.json)
    printDocument({
      schemaVersion: SCHEMA_VERSION,
      url: studio.url,
      pid: process.pid,
    } satisfies StudioDocument);
  else note(`Reckoner studio: ${studio.url}\nCtrl-C stops it; runs go on.`);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve());
  });
  await studio.close();
}
