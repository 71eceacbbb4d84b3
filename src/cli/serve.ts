/**
 * @file `reckoner serve`: a model behind an OpenAI-compatible HTTP server, and `serve keys` for who
 * may use it.
 */
import { mkdirSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { UserError } from '../base/errors.js';
import { RUNS, resolveModel } from '../checkpoints/run-folder.js';
import {
  addKey,
  createService,
  demandLoopbackOrKeys,
  listen,
  readKeys,
  removeKey,
} from '../serve/index.js';
import { SCHEMA_VERSION, type ServeDocument } from './documents.js';
import { fetchNamed } from './named-model.js';
import {
  integerOption,
  interruptSignal,
  note,
  numberOption,
  print,
  printDocument,
  styleFor,
  withExamples,
} from './output.js';
import { endWithParent, UNTIL_PARENT_EXITS } from './parent.js';
import { BLAS, NO_BLAS, NO_NATIVE, type ProductFlags, productsOfFlags } from './products.js';
import { type PromptingFlags, promptingOf, SYSTEM, THINKING } from './prompting.js';

interface ServeFlags extends ProductFlags, Pick<PromptingFlags, 'system' | 'thinking'> {
  name?: string;
  host: string;
  port: number;
  allowHost: string[];
  cors: string[];
  untilParentExits?: boolean;
  keys?: string;
  requestsPerMinute?: number;
  batch: number;
  queue: number;
  cacheMb: number;
  usage: string | false;
  grace: number;
  runs: string;
  json?: boolean;
}

const USAGE_FILE = 'serve-usage.jsonl';

export function serveCommand(): Command {
  const command = new Command('serve')
    .description(
      'an OpenAI-compatible server: chat, completions, streaming, JSON by a schema, the cost of each request',
    )
    .argument(
      '[model]',
      'a run (folder, name or part of its name) or a model folder; default: the newest run',
    )
    .option('--name <name>', 'what clients call the model (default: the name of the run or folder)')
    .addOption(SYSTEM().default(undefined, 'the one that a client sends'))
    .addOption(THINKING())
    .option(
      '--host <address>',
      'address to listen on; any but this machine needs --keys',
      '127.0.0.1',
    )
    .option('--port <n>', 'port; 0 takes a free one', integerOption(0, 65535), 8080)
    .option(
      '--allow-host <name>',
      'another host name that clients may use, as behind a proxy (repeatable); others get status 403',
      collect,
      [] as string[],
    )
    .option(
      '--cors <origin>',
      'pages of this origin may ask, such as https://example.org; * for all (repeatable; default: none)',
      collectOrigin,
      [] as string[],
    )
    .option('--keys <file>', 'API keys, as "serve keys add" writes them')
    .option(
      '--requests-per-minute <n>',
      'for each key; without keys, for all together',
      numberOption(0.1),
    )
    .option('--batch <n>', 'completions written at once', integerOption(1, 1024), 64)
    .option('--queue <n>', 'completions that may wait; more get status 429', integerOption(0), 256)
    .option('--cache-mb <n>', 'memory for keys and values', integerOption(1, 3000), 512)
    .option(
      '--usage <file>',
      `what each request used and cost, a JSON line each (default: ${USAGE_FILE} in the folder of runs)`,
    )
    .option('--no-usage', 'keep no such record')
    .option(
      '--grace <seconds>',
      'how long answers may take to end after Ctrl-C',
      numberOption(0),
      10,
    )
    .option('--until-parent-exits', UNTIL_PARENT_EXITS)
    .addOption(NO_NATIVE)
    .addOption(BLAS)
    .addOption(NO_BLAS)
    .option('--runs <folder>', 'where runs are', RUNS)
    .option('--json', 'print one JSON document, {url, pid}, once it is ready')
    .action(runServe);
  withExamples(
    command,
    'reckoner serve r1-mini',
    "reckoner serve qwen3.gguf --thinking off --system 'Answer briefly.'",
    'reckoner serve keys add alice --file keys.json && reckoner serve r1-mini --host 0.0.0.0 --keys keys.json',
  );
  command.addCommand(keysCommand());
  return command;
}

async function runServe(which: string | undefined, flags: ServeFlags): Promise<void> {
  const keys = flags.keys === undefined ? [] : readKeys(flags.keys);
  if (flags.keys !== undefined && keys.length === 0) {
    throw new UserError(
      'usage',
      `${flags.keys} has no keys; add one with "reckoner serve keys add NAME --file ${flags.keys}"`,
      '--keys',
    );
  }
  demandLoopbackOrKeys(flags.host, keys.length > 0);
  const { folder, run, notes } = resolveModel(await fetchNamed(which), flags.runs);
  for (const text of notes) note(`note: ${text}`);
  const name = flags.name ?? run?.name ?? basename(resolve(folder));
  const usageFile = flags.usage === false ? null : (flags.usage ?? `${flags.runs}/${USAGE_FILE}`);
  if (usageFile !== null) mkdirSync(dirname(usageFile), { recursive: true });
  const interrupted = flags.untilParentExits ? endWithParent(interruptSignal()) : interruptSignal();
  const service = await createService({
    folder,
    name,
    prompting: promptingOf({ system: flags.system, thinking: flags.thinking }),
    keys,
    usageFile,
    products: productsOfFlags(flags),
    capacity: flags.batch,
    queue: flags.queue,
    cacheBytes: flags.cacheMb * 1024 * 1024,
    requestsPerMinute: flags.requestsPerMinute,
    cors: flags.cors,
  });
  let server: Awaited<ReturnType<typeof listen>>;
  try {
    server = await listen(service, {
      host: flags.host,
      port: flags.port,
      hasKeys: keys.length > 0,
      allowHosts: flags.allowHost,
    });
  } catch (error) {
    await service.close(0);
    throw error;
  }
  const document: ServeDocument = {
    schemaVersion: SCHEMA_VERSION,
    url: server.url,
    pid: process.pid,
    model: name,
  };
  if (flags.json) printDocument(document);
  else {
    const style = styleFor(process.stdout);
    const { parameters, backend, contextLength } = service.engine.info;
    print(`${style.bold(name)} at ${style.cyan(`${server.url}/v1`)}`);
    print(style.dim(`${parameters}; ${contextLength} tokens of context, ${backend}. Ctrl-C ends.`));
    if (usageFile !== null) print(style.dim(`What each request cost: ${usageFile}`));
  }
  await new Promise<void>((resolveEnd) => {
    if (interrupted.aborted) resolveEnd();
    interrupted.addEventListener('abort', () => resolveEnd(), { once: true });
  });
  if (!flags.json)
    note('closing: answers that are being written may end; Ctrl-C again ends at once');
  await server.close(flags.grace);
}

const collect = (value: string, before: string[]): string[] => [...before, value];

/** @throws InvalidArgumentError for what no browser sends as an origin */
function collectOrigin(value: string, before: string[]): string[] {
  if (value === '*') return [...before, value];
  let origin: string | null = null;
  try {
    origin = new URL(value).origin;
  } catch {
    // Not even a URL.
  }
  if (
    origin === null ||
    origin === 'null' ||
    !/^https?:/.test(origin) ||
    value.replace(/\/$/, '') !== origin
  )
    throw new InvalidArgumentError('an origin is such as https://example.org, without a path');
  return [...before, origin];
}

function keysCommand(): Command {
  const keys = new Command('keys').description('API keys of a server: add, list, remove');
  const file = ['--file <file>', 'the file of keys', 'keys.json'] as const;
  keys
    .command('add')
    .description('make a key; it is shown once and kept as a hash')
    .argument('<name>', 'whose it is')
    .option(...file)
    .option('--requests-per-minute <n>', 'a limit for this key', numberOption(0.1))
    .action((name: string, flags: { file: string; requestsPerMinute?: number }) => {
      print(addKey(flags.file, name, new Date(), flags.requestsPerMinute));
      note(`kept as a hash in ${flags.file}; this is the only time that the key is shown`);
    });
  keys
    .command('list')
    .description('names, dates and limits')
    .option(...file)
    .action((flags: { file: string }) => {
      for (const { name, created, requestsPerMinute } of readKeys(flags.file)) {
        print(
          `${name}  ${created}${requestsPerMinute === undefined ? '' : `  ${requestsPerMinute} requests a minute`}`,
        );
      }
    });
  keys
    .command('remove')
    .description('remove a key')
    .argument('<name>', 'whose it is')
    .option(...file)
    .action((name: string, flags: { file: string }) => removeKey(flags.file, name));
  return keys;
}
