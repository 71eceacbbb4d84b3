/** @file Cases: what happens at the vocabulary, and the losses. */
import { POLICY_METRICS } from '../../operations/losses.js';
import { tokenLogProbabilities } from '../../operations/token-log-probabilities.js';
import type { Draw, OperationCase } from '../problem.js';
import { taped } from '../taped.js';

export const vocabulary: OperationCase[] = [
  {
    name: 'tokenLogProbabilities and its derivative',
    draw(draw) {
      const [n, d, size] = [draw.rows(131), draw.size(65), draw.size(513)];
      const temperature = draw.random.pick([1, 1, 0.7, 1.6]);
      const accumulate = { dHidden: draw.flag(), dHead: draw.flag() };
      const wanted = draw.random.pick(['both', 'both', 'dHidden', 'dHead']);
      return {
        label: `[${n}, ${d}] · [${size}, ${d}]ᵀ / ${temperature}, ${wanted} += ${JSON.stringify(accumulate)}`,
        inputs: {
          hidden: draw.numbers([n, d]),
          head: draw.numbers([size, d], d ** -0.5),
          targets: draw.indices(n, size),
          gradient: draw.numbers([n]),
          dHiddenBefore: draw.numbers([n, d]),
          dHeadBefore: draw.numbers([size, d]),
        },
        run({ backend, input, output }) {
          const [hidden, head, targets] = [input('hidden'), input('head'), input('targets')];
          const logSumExp = output('logSumExp', [n]);
          const [logProbabilities, entropy] = [
            output('logProbabilities', [n]),
            output('entropy', [n]),
          ];
          backend.tokenLogProbabilities({
            logProbabilities,
            entropy,
            logSumExp,
            hidden,
            head,
            targets,
            temperature,
          });
          const into = (name: 'dHidden' | 'dHead', shape: number[]) =>
            wanted === 'both' || wanted === name
              ? output(name, shape, { initial: accumulate[name] ? `${name}Before` : undefined })
              : null;
          backend.tokenLogProbabilitiesBackward({
            dHidden: into('dHidden', [n, d]),
            dHead: into('dHead', [size, d]),
            dLogProbabilities: input('gradient'),
            logSumExp,
            hidden,
            head,
            targets,
            temperature,
            accumulate,
          });
        },
      };
    },
  },
  {
    name: 'tokenLogProbabilities on the tape',
    draw(draw) {
      const [n, d, size] = [draw.rows(33), draw.size(33), draw.size(65)];
      const temperature = draw.random.pick([1, 0.7, 1.6]);
      return taped(draw, {
        label: `[${n}, ${d}] · [${size}, ${d}]ᵀ / ${temperature}`,
        variables: { hidden: draw.numbers([n, d]), head: draw.numbers([size, d], d ** -0.5) },
        constants: { targets: draw.indices(n, size) },
        outputShape: [n],
        build(tape, variable, context) {
          const { hidden, head } = { hidden: variable('hidden'), head: variable('head') };
          const result = tokenLogProbabilities(
            tape,
            hidden,
            head,
            context.input('targets'),
            temperature,
          );
          context.keep('entropy', result.entropy);
          return result.logProbabilities;
        },
      });
    },
  },
  {
    name: 'tokenLogProbabilities with a frozen head, on the tape',
    draw(draw) {
      // More rows and tokens than one chunk of logits and one tile of the head.
      const [n, d, size] = [draw.rows(513), draw.wholeBlocks(65), draw.size(513)];
      const temperature = draw.random.pick([1, 0.7, 1.6]);
      return taped(draw, {
        label: `[${n}, ${d}] · frozen [${size}, ${d}]ᵀ / ${temperature}`,
        variables: { hidden: draw.numbers([n, d], d ** -0.5) },
        constants: { head: draw.frozen([size, d]), targets: draw.indices(n, size) },
        outputShape: [n],
        build(tape, variable, { input, keep }) {
          const result = tokenLogProbabilities(
            tape,
            variable('hidden'),
            input('head'),
            input('targets'),
            temperature,
          );
          keep('entropy', result.entropy);
          return result.logProbabilities;
        },
      });
    },
  },
  {
    name: 'sample',
    draw(draw) {
      const [batch, size] = [draw.rows(65), draw.size(513)];
      const temperature = draw.random.pick([0, 0.6, 1, 1, 1.5]);
      const logits = draw.numbers([batch, size], draw.random.pick([1, 4]), 0);
      const data = logits.data as Float32Array;
      // Ties at temperature 0: the first of the largest is the answer.
      if (temperature === 0) for (let i = 0; i < data.length; i += 3) data[i] = Math.round(data[i]);
      const uniforms = draw.from([batch], (b) =>
        uniformAwayFromEdges(draw, data.subarray(b * size, (b + 1) * size), temperature),
      );
      return {
        label: `[${batch}, ${size}] at temperature ${temperature}`,
        inputs: { logits, uniforms },
        run({ backend, input, output, keep }) {
          const ids = backend.allocate('i32', [batch]);
          backend.sample({
            ids,
            logProbabilities: output('logProbabilities', [batch]),
            logits: input('logits'),
            uniforms: input('uniforms'),
            temperature,
          });
          keep('ids', ids);
        },
      };
    },
  },
  {
    name: 'crossEntropyLoss',
    draw(draw) {
      const n = draw.rows(513);
      return {
        label: `${n} tokens`,
        inputs: {
          logProbabilities: draw.from([n], () => -Math.abs(2 * draw.random.normal())),
          weights: draw.numbers([n]),
        },
        run({ backend, input, output }) {
          const [dLogProbabilities, loss] = [output('dLogProbabilities', [n]), output('loss', [1])];
          backend.crossEntropyLoss({
            dLogProbabilities,
            loss,
            logProbabilities: input('logProbabilities'),
            weights: input('weights'),
          });
        },
        derivative: {
          output: 'loss',
          weight: null,
          gradients: { logProbabilities: 'dLogProbabilities' },
        },
      };
    },
  },
  {
    name: 'policyLoss',
    draw(draw) {
      const n = draw.rows(513);
      const [clipLow, clipHigh] = draw.random.pick([
        [0.2, 0.2],
        [0.2, 0.28],
        [0.1, 0.5],
      ]);
      const klCoefficient = draw.random.pick([0, 0.04, 0.5]);
      const withReference = klCoefficient > 0 || draw.flag();
      const { random } = draw;
      const old = draw.from([n], () => -Math.abs(2 * random.normal()));
      // Log-ratios keep away from the two kinks, where one-sided derivatives differ and a rounded
      // ratio may fall on either side.
      const edges = [Math.log(1 - clipLow), Math.log(1 + clipHigh)];
      const logRatio = (): number => {
        const r = 0.4 * random.normal();
        return edges.some((edge) => Math.abs(edge - r) < 0.01) ? logRatio() : r;
      };
      return {
        label: `${n} tokens, clip ${clipLow} ${clipHigh}, β ${klCoefficient}, reference ${withReference}`,
        inputs: {
          old,
          logProbabilities: draw.from([n], (i) => old.data[i] + logRatio()),
          reference: draw.from([n], (i) => old.data[i] + 0.5 * random.normal()),
          advantages: draw.from([n], () => (random.chance(0.1) ? 0 : random.normal())),
          weights: draw.from([n], () => (random.chance(0.2) ? 0 : random.uniform())),
        },
        run({ backend, input, output }) {
          const metrics = output('metrics', [POLICY_METRICS.length]);
          const dLogProbabilities = output('dLogProbabilities', [n]);
          const reference = withReference ? input('reference') : null;
          const [now, before] = [input('logProbabilities'), input('old')];
          const options = { clipLow, clipHigh, klCoefficient };
          backend.policyLoss({
            dLogProbabilities,
            metrics,
            logProbabilities: now,
            old: before,
            reference,
            advantages: input('advantages'),
            weights: input('weights'),
            ...options,
          });
          // The loss alone once more, so that finite differences have a single number to look at.
          const loss = output('loss', [1]);
          backend.copy({
            out: loss,
            a: backend.view(metrics, POLICY_METRICS.indexOf('loss'), [1]),
          });
        },
        derivative: {
          output: 'loss',
          weight: null,
          gradients: { logProbabilities: 'dLogProbabilities' },
        },
      };
    },
  },
];

/** A uniform number at which the answer does not hang on the rounding of the cumulative sum. */
function uniformAwayFromEdges(draw: Draw, logits: Float32Array, temperature: number): number {
  if (temperature === 0) return draw.random.uniform();
  const largest = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const weights = Array.from(logits, (z) => Math.exp((z - largest) / temperature));
  const total = weights.reduce((a, b) => a + b, 0);
  for (;;) {
    const uniform = draw.random.uniform();
    let cumulative = 0;
    const close = weights.some((weight) => {
      cumulative += weight / total;
      return Math.abs(cumulative - uniform) < 1e-5;
    });
    if (!close) return uniform;
  }
}
