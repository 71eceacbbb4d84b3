/**
 * @file The same checks as straight-line code: a method made for one operation, which calls the
 * kernel at once where everything fits and leaves every refusal to the step-by-step check.
 *
 * Checking step by step costs about a microsecond a call (property names and steps are data), which
 * at small widths is as much as the kernels themselves: a decoding step of width 32 took 1.8 times
 * as long. Generated code costs some tens of nanoseconds. It is made by `new Function` from the
 * declarations and nothing else. A page whose policy forbids that (`script-src` without
 * `unsafe-eval`) goes step by step.
 */
import {
  type Analysis,
  compile,
  Dimension,
  dimensionOf,
  type LastOf,
  type Plan,
  type Step,
  valuesOf,
} from './check.js';
import type { ScalarSpec, TensorKind } from './declare.js';
import { type Polynomial, parse } from './expression.js';

/** A kernel or a composition; its context is a backend's own, or the backend itself. */
export type Run = (context: never, call: never, numbers: never) => void;

export type Method = (call: never) => void;

function canGenerate(): boolean {
  try {
    new Function('');
    return true;
  } catch {
    return false;
  }
}

/** A checked method. @param generate false: step by step */
export function checkedMethod(
  analysis: Analysis,
  run: Run,
  context: unknown,
  lastOf: LastOf | null,
  generate = canGenerate(),
): Method {
  const check = compile(analysis);
  const slow: Method = (call) => run(context as never, call, check(call, lastOf) as never);
  if (!generate) return slow;
  const { scalars, declaration } = analysis;
  const make = new Function(
    ...['run', 'context', 'slow', 'lastOf', 'dimensionOf', 'tests', 'standards', 'refuse'],
    `return (call) => {\n${sourceOf(analysis, lastOf !== null)}\n};`,
  );
  return make(
    run,
    context,
    slow,
    lastOf,
    dimensionOf,
    scalars.map(([, spec]) => spec.test),
    scalars.map(([, spec]) => spec.standard),
    declaration.refuse,
  ) as Method;
}

const text = (polynomial: Polynomial): string =>
  polynomial.length === 0
    ? '0'
    : polynomial.map(({ coefficient, names }) => [coefficient, ...names].join(' * ')).join(' + ');

const KINDS: Record<TensorKind, (t: string) => string> = {
  f32: (t) => `${t}.dtype === 'f32' && ${t}.contiguous`,
  strided: (t) => `${t}.dtype === 'f32'`,
  i32: (t) => `${t}.dtype === 'i32' && ${t}.contiguous`,
  weights: (t) => `${t}.dtype !== 'i32' && ${t}.contiguous`,
  stridedWeights: (t) => `${t}.dtype !== 'i32'`,
  numbers: (t) => `${t}.dtype !== 'frozen' && ${t}.contiguous`,
};

const refuseUnless = (condition: string): string => `if (!(${condition})) return slow(call);`;

function scalarSource([name, spec]: readonly [string, ScalarSpec], i: number): string {
  const test = spec.test ? ` && tests[${i}](${name})` : '';
  const right = refuseUnless(`typeof ${name} === '${spec.type}'${test}`);
  const value = `let ${name} = call.${name};`;
  return spec.left
    ? `${value} if (${name} === undefined) ${name} = standards[${i}]; else ${right}`
    : `${value} ${right}`;
}

function dimensionSource(t: string, dimension: Dimension): string {
  if (dimension === Dimension.Size) return `${t}.size`;
  if (dimension === Dimension.Rows) return `${t}.rows`;
  if (dimension === Dimension.Columns) return `${t}.columns`;
  return `dimensionOf(${t}, ${dimension})`;
}

function stepSource(step: Step, plan: Plan, names: readonly string[]): string {
  const tensor = step.tensor < 0 ? null : plan.tensors[step.tensor];
  const found = tensor
    ? dimensionSource(tensorName(tensor.name), step.dimension)
    : text(step.leftOf ?? []);
  if (step.solves < 0) {
    const right = refuseUnless(`${found} === ${text(step.polynomial)}`);
    return tensor?.optional ? `if (${tensorName(tensor.name)} !== null) ${right}` : right;
  }
  const name = names[step.solves];
  if (step.name >= 0 || !step.linear) return `${name} = ${found};`;
  const slope = text(step.linear.slope);
  const whole = refuseUnless(`Number.isInteger(${name}) && ${name} >= 0`);
  return `rest = ${found} - (${text(step.linear.rest)}); slope = ${slope};
${name} = slope === 0 && rest === 0 ? 0 : rest / slope; ${whole}`;
}

/** Tensors and dimensions may have the same name (`dk`). */
const tensorName = (name: string): string => `tensor_${name}`;

function planSource(plan: Plan, names: readonly string[]): string {
  const kinds = plan.tensors.map(({ name, spec, optional }) => {
    const t = tensorName(name);
    const right = `${t} !== undefined && ${t} !== null && ${KINDS[spec.kind](t)}`;
    return refuseUnless(optional ? `${t} === null || (${right})` : right);
  });
  return [...kinds, ...plan.steps.map((step) => stepSource(step, plan, names))].join('\n');
}

function sourceOf(analysis: Analysis, looks: boolean): string {
  const { scalars, tensorNames, selectors, plans, names, given, limits, ends } = analysis;
  const { declaration } = analysis;
  let combinations: string[][] = [[]];
  for (const on of selectors)
    combinations = combinations.flatMap((c) =>
      valuesOf(declaration, on).map((v) => [...c, `${on} === ${JSON.stringify(v)}`]),
    );
  const chosen = plans.map((plan, i) => {
    const source = planSource(plan, names);
    return selectors.length === 0 ? source : `if (${combinations[i].join(' && ')}) {\n${source}\n}`;
  });
  const solved = names.slice(given);
  const all = [...scalars.map(([name]) => name), ...solved];
  return [
    ...scalars.map(scalarSource),
    ...tensorNames.map((name) => `const ${tensorName(name)} = call.${name};`),
    `let ${['rest = 0', 'slope = 0', ...solved.map((name) => `${name} = 0`)].join(', ')};`,
    chosen.join(' else '),
    ...limits.map(({ text: limit }) => refuseUnless(limit)),
    ...(looks ? ends : []).map(({ name, text: end }) => {
      const t = tensorName(name);
      return refuseUnless(`(${t}.size === 0 ? 0 : lastOf(${t})) === ${text(parse(end))}`);
    }),
    `const numbers = { ${all.join(', ')} };`,
    declaration.refuse ? refuseUnless('refuse(call, numbers) === null') : '',
    'run(context, call, numbers);',
  ].join('\n');
}
