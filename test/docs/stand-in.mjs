// Stands in for `npm` and `npx` while the commands of the documentation are tried out
// (commands.test.ts):
//
//   node stand-in.mjs npm|npx <clone> whole|short …arguments
//
// `npx reckoner …` runs the built command. `npm ci`, `npm test` and `npm run …` are taken at their
// word when package.json has them: running the tests inside the tests would never end. `npm start`
// runs what package.json says. Where the block is marked `long`, every `train` is cut short after
// half a second.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [, , tool, clone, length, ...given] = process.argv;
const refuse = (message) => {
  console.error(`stand-in: ${message}`);
  process.exit(64);
};

function reckoner(args) {
  if (length === 'short' && args[0] === 'train') {
    const limit = args.indexOf('--max-minutes');
    if (limit >= 0) args.splice(limit, 2);
    args.push('--max-minutes', '0.008');
  }
  const main = join(clone, 'dist/cli/main.js');
  process.argv = [process.execPath, main, ...args];
  return import(pathToFileURL(main).href);
}

if (tool === 'npx') {
  if (given[0] !== 'reckoner') refuse(`npx ${given[0]}: the documentation only runs npx reckoner`);
  await reckoner(given.slice(1));
} else {
  const { scripts } = JSON.parse(readFileSync(join(clone, 'package.json'), 'utf8'));
  const [verb, name] = given;
  if (verb === 'ci') {
    if (!existsSync(join(clone, 'package-lock.json'))) refuse('npm ci needs package-lock.json');
  } else if (verb === 'start') {
    const start = /^node dist\/cli\/main\.js (.+)$/.exec(scripts.start);
    if (!start) refuse(`npm start is ${scripts.start}`);
    await reckoner(start[1].split(' '));
  } else if (!Object.hasOwn(scripts, verb === 'run' ? name : verb)) {
    refuse(`package.json has no script for npm ${given.join(' ')}`);
  }
}
