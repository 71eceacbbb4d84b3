// All benchmarks, one after the other, each printing its table: `npm run bench`. The machine should
// have nothing else to do; the tables say when it had. Without PyTorch (bench/peers/README.md) the
// training step has no ratio. Exits 1 when one fails.
//
//   node bench/run.mjs [--only matmul,training-step,rollouts,memory,ledger] [--python PATH]
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { demandBuild, findPython, root } from './harness.mjs';

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string', default: 'matmul,training-step,rollouts,memory,ledger' },
    python: { type: 'string' },
  },
});
demandBuild();
const python = findPython(flags.python);
const failed = [];
for (const name of flags.only.split(',')) {
  const args = [`bench/${name}.mjs`];
  if (name === 'training-step' && python !== null) args.push('--python', python, '--compile');
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) failed.push(name);
}
if (failed.length > 0) {
  console.error(`failed: ${failed.join(', ')}`);
  process.exitCode = 1;
}
