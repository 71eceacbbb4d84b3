/**
 * @file `reckoner claim`: a published figure of what a model cost, and every step from it to
 * another.
 */
import { Command } from 'commander';
import { UserError } from '../base/errors.js';
import { readJson } from '../base/files.js';
import { readYaml } from '../base/yaml.js';
import {
  CLAIM_SCHEMA_VERSION,
  CLAIMS,
  claimText,
  evaluateClaim,
  readClaim,
} from '../ledger/claims/index.js';
import { planned, sampled } from '../plan/cluster/claim-options.js';
import { print, printDocument, type Style, styleFor, withExamples } from './output.js';

interface Flags {
  list?: boolean;
  all?: boolean;
  json?: boolean;
}

const DEFAULT = 'deepseek';

export function claimCommand(): Command {
  const command = new Command('claim')
    .description(
      'Reconcile published figures of what a model cost: each figure with its scope, period, interval and source, each step ' +
        'from one to the next, and where the usual retelling goes wrong.',
    )
    .argument(
      '[claim]',
      `a claim that ships, or a JSON or YAML file with one of your own (default: ${DEFAULT})`,
    )
    .option('--list', 'list the claims that ship')
    .option('--all', 'also print the assumptions that have no interval')
    .option('--json', 'print one JSON document')
    .action((which: string | undefined, flags: Flags) => {
      const style = styleFor(process.stdout);
      if (flags.list) {
        if (which !== undefined)
          throw new UserError('usage', `--list takes no claim; leave out ${which}`, '--list');
        list(style, flags.json === true);
        return;
      }
      const document = evaluateClaim(claimOf(which ?? DEFAULT), { propagate: sampled, planned });
      if (flags.json) printDocument(document);
      else print(claimText(document, { style, width: process.stdout.columns, all: flags.all }));
    });
  return withExamples(
    command,
    'reckoner claim',
    'reckoner claim llama-3.1-405b --json',
    'reckoner claim --list',
  );
}

/** A claim by id, or the file of a path. @throws UserError */
function claimOf(which: string) {
  const shipped = CLAIMS.find(({ id }) => id === which);
  if (shipped !== undefined) return readClaim(shipped, which);
  if (!/[./\\]/.test(which)) {
    const known = CLAIMS.map(({ id }) => id).join(', ');
    throw new UserError(
      'usage',
      `no claim ${JSON.stringify(which)}; there are ${known}, or give the path of a JSON or YAML file`,
      'claim',
    );
  }
  return readClaim(
    /\.ya?ml$/i.test(which) ? readYaml(which, 'claim') : readJson(which, 'claim'),
    which,
  );
}

function list(style: Style, json: boolean): void {
  const claims = CLAIMS.map(({ id, title, said, figures }) => ({
    id,
    title,
    who: said[0].who,
    when: said[0].when,
    figures: figures.length,
  }));
  if (json) {
    printDocument({ schemaVersion: CLAIM_SCHEMA_VERSION, claims });
    return;
  }
  const width = Math.max(...claims.map(({ id }) => id.length));
  const lines = claims.map(
    ({ id, title, who, when }) =>
      `${style.bold(id.padEnd(width))}  ${title} ${style.dim(`(${who}, ${when})`)}`,
  );
  print(lines.join('\n'));
}
