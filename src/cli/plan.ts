/**
 * @file `reckoner plan`: what a recipe would take on a machine or cluster, with the layout, the
 * interval and the reasons.
 */

import { Command, Option } from 'commander';
import { UserError } from '../base/errors.js';
import { textWidth } from '../base/text/index.js';
import { readTarget } from '../plan/cluster/cluster-file.js';
import { parseLayout } from '../plan/cluster/layout-text.js';
import { planRecipe } from '../plan/cluster/plan.js';
import { coreName, type LocalDevice, planLocal } from '../plan/local/local-plan.js';
import type { Plan } from '../plan/plan.js';
import type { PlanDocument } from '../plan/schema.js';
import { planText } from '../plan/text.js';
import { BACKENDS, type BackendKind } from '../policy/local/backend.js';
import { inspectGpus } from '../policy/local/gpu.js';
import { loadRecipe, shippedRecipes } from '../recipe/index.js';
import { PRECISIONS, type Precision, requireAdapter } from '../tensor/backends/webgpu/index.js';
import { measure } from './doctor.js';
import { fetchForRecipe } from './named-model.js';
import { print, printDocument, styleFor, withExamples } from './output.js';
import { planServeCommand } from './plan-serve.js';

interface Flags {
  on?: string;
  layout?: string;
  backend?: BackendKind;
  precision?: Precision;
  trust?: boolean;
  json?: boolean;
}

function show(plan: Plan, { json }: Flags): void {
  if (json) printDocument(plan satisfies PlanDocument);
  else print(planText(plan, styleFor(process.stdout), textWidth(process.stdout.columns)));
}

async function measureCore(): Promise<LocalDevice> {
  const { native, kernel, blas } = await measure();
  return {
    name: coreName(),
    peakFlops: 1e9 * Math.max(native?.gflops ?? 0, kernel.gflops, blas?.gflops ?? 0),
  };
}

/** @throws UserError where there is none */
async function measureGpu(precision?: Precision): Promise<LocalDevice> {
  await requireAdapter();
  const [gpu] = await inspectGpus(precision);
  return { name: gpu.name, peakFlops: 1e9 * gpu.gflops };
}

export function planCommand(): Command {
  const command = new Command('plan')
    .description(
      'What a recipe would take on a machine or cluster: the best layout, GPU-hours, days, energy, dollars, with intervals.',
    )
    .argument(
      '<recipe>',
      `a shipped recipe (${shippedRecipes().join(', ')}) or the path of a .json or .yaml file`,
    )
    .option(
      '--on <cluster>',
      'local, <gpu>x<count> such as h800x2048, or a .yaml file; see docs/guides/plan.md',
    )
    .option(
      '--layout <parts>',
      'parts of the layout that are given, such as "pp16 ep64 dualpipe"; the rest is searched for',
    )
    .addOption(new Option('--backend <name>', 'compute backend, with --on local').choices(BACKENDS))
    .addOption(
      new Option('--precision <name>', "precision of a GPU's matrix products").choices(PRECISIONS),
    )
    .option('--trust', "follow what a run's recipe refers to outside your project; it may be code")
    .option('--json', 'print one JSON document')
    .action(async (name: string, flags: Flags) => {
      // Not a required option: commander takes it from `plan serve`, too.
      if (flags.on === undefined)
        throw new UserError('usage', 'name a cluster with --on; see reckoner plan --help', '--on');
      await fetchForRecipe(name);
      const recipe = loadRecipe(name, { trust: flags.trust });
      if (flags.on === 'local') {
        if (flags.layout !== undefined)
          throw new UserError('usage', '--layout is for clusters; leave it out', '--layout');
        const { backend = 'wasm', precision } = flags;
        const measureDevice = backend === 'webgpu' ? () => measureGpu(precision) : measureCore;
        show(await planLocal(recipe, { measureDevice, backend, precision }), flags);
        return;
      }
      for (const name of ['backend', 'precision'] as const) {
        if (flags[name] !== undefined)
          throw new UserError(
            'usage',
            `--${name} is for this machine; use --on local`,
            `--${name}`,
          );
      }
      const target = readTarget(flags.on);
      if (flags.layout !== undefined)
        target.layout = { ...target.layout, ...parseLayout(flags.layout, '--layout') };
      show(planRecipe(recipe, target), flags);
    });
  command.addCommand(planServeCommand());
  return withExamples(
    command,
    'reckoner plan deepseek-v3 --on h800x2048',
    'reckoner plan deepseek-v3 --on h800x2048 --layout "pp16 ep64 dualpipe" --json',
    'reckoner plan deepseek-r1 --on h200x512',
    'reckoner plan r1-mini --on local',
    'reckoner plan r1-mini --on local --backend webgpu',
    'reckoner plan serve DeepSeek-V3 --on h800x32 --slo tpot=50ms',
  );
}
