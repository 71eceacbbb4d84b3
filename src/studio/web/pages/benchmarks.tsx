/**
 * @file Benchmarks: accuracy against dollars. What was measured here and what was published stand
 * apart, for they are different things.
 */
import { accuracyInterval } from '../../../base/intervals.js';
import { MODEL_SCORES } from '../../../catalog/data/scores.js';
import { runs } from '../client.js';
import { rangeOf } from '../figures.js';
import { percent, unbroken, usd } from '../format.js';
import { Button, Card, csv, Later, Page, Scroll, save, Waiting } from '../ui.js';

interface Point {
  key: string;
  label: string;
  usd: number;
  accuracy: number;
  /** Of the 95% interval; null where it is not known. */
  interval: { low: number; high: number } | null;
  colour: number;
  href?: string;
  /** Joined to the point before. */
  joined: boolean;
}

export default function Benchmarks() {
  const list = runs.value;
  const measured = (list ?? []).flatMap((run, i) =>
    run.evaluations
      .filter(({ results }) => results.pass1 !== undefined)
      .map((evaluation, j) => ({
        run,
        evaluation,
        colour: (i % 6) + 1,
        joined: j > 0 && run.evaluations[j - 1].task === evaluation.task,
      })),
  );
  const points = measured.map(
    ({ run, evaluation, colour, joined }): Point => ({
      key: `${run.name} ${evaluation.step}`,
      label: `${run.recipe} ${run.name.slice(-4)}, ${evaluation.stage}`,
      usd: evaluation.trainingUsd,
      accuracy: evaluation.results.pass1,
      interval: accuracyInterval(evaluation.results),
      colour,
      href: `/runs/${encodeURIComponent(run.name)}`,
      joined,
    }),
  );
  return (
    <Page
      title="Benchmarks"
      sub="Accuracy against dollars. Measured here and published elsewhere are kept apart: other tasks, other prices, other hands."
    >
      <Card
        title="Measured here"
        note="pass@1 on problems that training cannot have drawn, against the dollars of training until then; bars are 95% intervals. A line joins a run’s evaluations."
        aside={
          <Button
            icon="download"
            onClick={() =>
              save(
                'benchmarks.csv',
                csv([
                  [
                    'run',
                    'stage',
                    'task',
                    'pass1',
                    'low95',
                    'high95',
                    'greedy',
                    'training_usd',
                    'usd',
                  ],
                  ...measured.map(
                    ({ run, evaluation: { stage, task, results, trainingUsd, usd: all } }) => [
                      run.name,
                      stage,
                      task,
                      results.pass1,
                      accuracyInterval(results)?.low ?? null,
                      accuracyInterval(results)?.high ?? null,
                      results.greedy ?? null,
                      trainingUsd,
                      all,
                    ],
                  ),
                ]),
              )
            }
          >
            CSV
          </Button>
        }
      >
        {list === null ? (
          <Waiting>Reading the runs folder…</Waiting>
        ) : points.length === 0 ? (
          <p class="waiting">
            No run has been evaluated here yet. r1-mini is, before and after its reinforcement
            learning.
          </p>
        ) : (
          <Scatter points={points} label="Accuracy against training dollars, measured here" />
        )}
        {points.length > 0 && (
          <Scroll label="Table of what was measured here">
            <table>
              <thead>
                <tr>
                  <th scope="col">Run</th>
                  <th scope="col">Stage</th>
                  <th scope="col">Task</th>
                  <th scope="col" class="num">
                    pass@1
                  </th>
                  <th scope="col" class="num">
                    Greedy
                  </th>
                  <th scope="col" class="num">
                    Headline until then
                  </th>
                  <th scope="col" class="num">
                    Full until then
                  </th>
                </tr>
              </thead>
              <tbody>
                {measured.map(
                  ({
                    run,
                    evaluation: { stage, task, step, results, trainingUsd, usd: all },
                    colour,
                  }) => (
                    <tr key={`${run.name} ${step}`}>
                      <th scope="row">
                        <i class={`swatch run-${colour}`} aria-hidden="true" />{' '}
                        <a href={`/runs/${encodeURIComponent(run.name)}`}>{run.name}</a>
                      </th>
                      <td>{stage}</td>
                      <td>{task}</td>
                      <td class="num">
                        {percent(results.pass1)} <span class="faint">{rangeOf(results)}</span>
                      </td>
                      <td class="num">
                        {results.greedy === undefined ? '–' : percent(results.greedy)}
                      </td>
                      <td class="num">{usd(trainingUsd)}</td>
                      <td class="num">{usd(all)}</td>
                    </tr>
                  ),
                )}
              </tbody>
            </table>
          </Scroll>
        )}
      </Card>
      {/* Not before what stands above it has its height. */}
      {list !== null && (
        <Later>
          <Published />
        </Later>
      )}
    </Page>
  );
}

const AIME = MODEL_SCORES.filter(
  (row) => row.trainingUsd !== null && row.benchmark === 'AIME 2024',
);
const BY_PROBLEM = MODEL_SCORES.filter(
  (row) => row.usdPerProblem !== null && row.benchmark === 'Aider polyglot',
);
/** Many rows have one source; each is printed once. */
const SOURCES = [...new Set(MODEL_SCORES.map(({ source }) => source))];

const published = (
  rows: typeof MODEL_SCORES,
  usdOf: (row: (typeof MODEL_SCORES)[number]) => number | null,
): Point[] =>
  rows.map((row, i) => ({
    key: row.model,
    label: row.model,
    usd: usdOf(row) as number,
    accuracy: row.score / 100,
    interval: null,
    colour: (i % 6) + 1,
    joined: false,
  }));

function Published() {
  return (
    <Card
      title="Published"
      note="By others. Final runs are at $2 an H800-hour, where they were published; they leave research and failed runs out. A problem is what its answers cost at the price of the day."
    >
      <h3>AIME 2024, pass@1, against the dollars of the final runs</h3>
      <Scatter
        label="AIME 2024 against the dollars of the final runs, as published"
        points={published(AIME, (row) => row.trainingUsd)}
      />
      <h3>Aider polyglot against the dollars of a problem</h3>
      <Scatter
        label="Aider polyglot against the dollars of a problem, as published"
        points={published(BY_PROBLEM, (row) => row.usdPerProblem)}
      />
      <Later>
        <Scores />
      </Later>
    </Card>
  );
}

function Scores() {
  return (
    <>
      <Scroll label="Table of published scores">
        <table>
          <thead>
            <tr>
              <th scope="col">Model</th>
              <th scope="col">Benchmark</th>
              <th scope="col" class="num">
                Score
              </th>
              <th scope="col" class="num">
                Final runs
              </th>
              <th scope="col" class="num">
                A problem
              </th>
              <th scope="col">What it is</th>
            </tr>
          </thead>
          <tbody>
            {MODEL_SCORES.map((row) => (
              <tr key={`${row.model} ${row.benchmark}`}>
                <th scope="row">{row.model}</th>
                <td>{row.benchmark}</td>
                <td class="num">{row.unit === 'percent' ? percent(row.score / 100) : row.score}</td>
                <td class="num">
                  {row.trainingUsd === null ? (
                    <span class="faint">not published</span>
                  ) : (
                    usd(row.trainingUsd)
                  )}
                </td>
                <td class="num">
                  {row.usdPerProblem === null ? (
                    <span class="faint">–</span>
                  ) : (
                    usd(row.usdPerProblem)
                  )}
                </td>
                <td class="source">
                  {unbroken(`${row.definition}, ${row.date}`)} [{SOURCES.indexOf(row.source) + 1}]
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      <ol class="footnotes" aria-label="Sources">
        {SOURCES.map((source) => (
          <li key={source}>{source}</li>
        ))}
      </ol>
    </>
  );
}

const [WIDTH, HEIGHT, LEFT, BOTTOM] = [1000, 300, 44, 34];

/** Dollars on a logarithmic axis, accuracy on a plain one. */
function Scatter({ points, label }: { points: Point[]; label: string }) {
  const costs = points.map((point) => Math.max(point.usd, 1e-9));
  const low = Math.floor(Math.log10(Math.min(...costs)) * 2 - 0.4) / 2;
  const high = Math.ceil(Math.log10(Math.max(...costs)) * 2 + 0.4) / 2;
  const x = (value: number): number =>
    LEFT + ((Math.log10(Math.max(value, 1e-9)) - low) / (high - low)) * (WIDTH - LEFT - 90);
  const y = (share: number): number => 12 + (1 - share) * (HEIGHT - BOTTOM - 12);
  const ticks: number[] = [];
  for (let power = Math.floor(low); power <= high; power++)
    for (const digit of [1, 2, 5])
      if (power + Math.log10(digit) >= low && power + Math.log10(digit) <= high)
        ticks.push(digit * 10 ** power);
  const labels = placeLabels(
    points.map((point) => ({ text: point.label, x: x(point.usd), y: y(point.accuracy) })),
  );
  return (
    <div class="scatter-box" role="region" tabIndex={0} aria-label={label}>
      <svg class="scatter" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label}>
        {[0, 0.25, 0.5, 0.75, 1].map((share) => (
          <g key={share}>
            <path class="grid" d={`M${LEFT} ${y(share)}H${WIDTH}`} />
            <text x={LEFT - 8} y={y(share) + 4} text-anchor="end">
              {percent(share, 0)}
            </text>
          </g>
        ))}
        {ticks.map((tick) => (
          <text key={tick} x={x(tick)} y={HEIGHT - 12} text-anchor="middle">
            {usd(Number(tick.toPrecision(1)))}
          </text>
        ))}
        {points.map((point, i) => {
          const before = points[i - 1];
          return (
            <g key={point.key} class={`dot run-${point.colour}`}>
              {point.joined && before !== undefined && (
                <path
                  d={`M${x(before.usd)} ${y(before.accuracy)}L${x(point.usd)} ${y(point.accuracy)}`}
                />
              )}
              {point.interval !== null && (
                <path d={`M${x(point.usd)} ${y(point.interval.high)}V${y(point.interval.low)}`} />
              )}
              <circle cx={x(point.usd)} cy={y(point.accuracy)} r={4.5} />
              <title>{`${point.label}: ${percent(point.accuracy)} at ${usd(point.usd)}`}</title>
              {labels[i] !== null && (
                <text
                  class="dot-label"
                  x={x(point.usd) + (labels[i] === 'end' ? -9 : 9)}
                  y={y(point.accuracy) + 4}
                  text-anchor={labels[i] as string}
                >
                  {point.label}
                </text>
              )}
            </g>
          );
        })}
      </svg>
    </div>
  );
}

/**
 * Right of its point, left of it, or nowhere, so that no two labels meet; the table and the point
 * itself say it, too.
 */
function placeLabels(
  labels: readonly { text: string; x: number; y: number }[],
): ('start' | 'end' | null)[] {
  const taken: { from: number; to: number; y: number }[] = labels.map(({ x, y }) => ({
    from: x - 6,
    to: x + 6,
    y,
  }));
  return labels.map(({ text, x, y }) => {
    const width = 12 + 6.3 * text.length;
    for (const [anchor, from] of [['start', x + 7] as const, ['end', x - 7 - width] as const]) {
      const to = from + width;
      const meets = taken.some(
        (other) => Math.abs(other.y - y) < 13 && from < other.to && to > other.from,
      );
      if (meets || from < LEFT || to > WIDTH) continue;
      taken.push({ from, to, y });
      return anchor;
    }
    return null;
  });
}
