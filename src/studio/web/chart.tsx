/**
 * @file A live chart: uPlot on a canvas, one colour a run, with the band from least to greatest
 * where a point stands for many steps.
 */
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import type { Curve } from '../run-state.js';
import { count, type Metric, tick as tickText } from './format.js';
import { shown } from './theme.js';
import { inTurn } from './turns.js';

export interface Series {
  name: string;
  /** Number of the colour, 1 to 6. */
  colour: number;
  curve: Curve;
}

const HEIGHT = 168;

/**
 * Colours and fonts of the styles; asking the browser for one makes it compute them all, so each is
 * asked for once a theme.
 */
const tokens = new Map<string, string>();
function token(name: string): string {
  const key = `${shown.value} ${name}`;
  let value = tokens.get(key);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    tokens.set(key, value);
  }
  return value;
}

/** Pixels of the axis at the left: most labels have few characters, small dollars have many. */
const roomFor = (_: uPlot, labels: string[] | null): number =>
  Math.max(52, ...(labels ?? []).map((label) => 14 + 6.4 * label.length));

/**
 * The table that uPlot takes: x, then of each series its mean, least and greatest, on the union of
 * all x.
 */
function table(series: readonly Series[]): uPlot.AlignedData {
  const columns = series.map(({ curve }): uPlot.AlignedData => {
    const mean = curve.sum.map((sum, i) => sum / curve.count[i]);
    return [curve.last, mean, curve.min, curve.max];
  });
  if (columns.length === 0) return [[]];
  return columns.length === 1 ? columns[0] : uPlot.join(columns);
}

export function Chart({
  metric,
  name,
  series,
  version,
  sync,
}: {
  metric: Metric;
  name: string;
  series: Series[];
  version: number;
  sync: string;
}) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const theme = shown.value;
  // Another set of runs, or other colours, is another chart; new points are not.
  const shape = `${theme} ${series.map((one) => `${one.name}:${one.colour}`).join(' ')}`;
  const data = useMemo(() => table(series), [version, shape]);
  const newest = useRef(data);
  newest.current = data;
  useEffect(() => {
    const host = box.current;
    if (host === null) return;
    const [ink, grid, font] = [token('--muted'), token('--grid'), `11px ${token('--sans')}`];
    const axis = { stroke: ink, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
    const short = (value: number): string => (metric.axis ?? tickText)(value);
    const options: Omit<uPlot.Options, 'width' | 'height'> = {
      padding: [8, 14, 0, 0],
      legend: { show: false },
      scales: { x: { time: false } },
      cursor: { sync: { key: sync }, points: { size: 6 }, drag: { x: true, y: false }, y: false },
      axes: [
        {
          ...axis,
          size: 24,
          gap: 4,
          space: 70,
          values: (_, ticks) => ticks.map((tick) => tickText(tick)),
        },
        { ...axis, size: roomFor, gap: 6, space: 34, values: (_, ticks) => ticks.map(short) },
      ],
      series: [
        {},
        ...series.flatMap(({ colour, curve }) => {
          const stroke = token(`--run-${colour}`);
          // A line through one point cannot be seen.
          const points = { show: () => curve.last.length === 1, size: 7, fill: stroke };
          return [
            { stroke, width: 1.75, spanGaps: true, points },
            { stroke: 'transparent', spanGaps: true, points: { show: false } },
            { stroke: 'transparent', spanGaps: true, points: { show: false } },
          ];
        }),
      ],
      bands: series.map(
        ({ colour }, i): uPlot.Band => ({
          series: [3 * i + 3, 3 * i + 2],
          fill: `${token(`--run-${colour}`)}26`,
        }),
      ),
      hooks: {
        setCursor: [
          (self) => {
            const readout = host.nextElementSibling as HTMLElement | null;
            if (readout === null) return;
            const at = self.cursor.idx;
            const x = at === null || at === undefined ? undefined : self.data[0][at];
            if (x === undefined) readout.textContent = '';
            else {
              const values = series.map((one, i) => {
                const value = self.data[3 * i + 1][at as number];
                return value === null || value === undefined
                  ? ''
                  : `${series.length > 1 ? `${one.name.slice(-4)} ` : ''}${metric.show(value)}`;
              });
              readout.textContent = `step ${count(x)} · ${values.filter(Boolean).join(' · ')}`;
            }
          },
        ],
      },
    };
    let size = { width: 0, height: HEIGHT };
    let cancel: (() => void) | null = null;
    // The observer knows the width without a layout of its own, and says it at once.
    const resized = new ResizeObserver(([{ contentRect }]) => {
      size = { width: Math.max(120, Math.floor(contentRect.width)), height: HEIGHT };
      if (plot.current !== null) plot.current.setSize(size);
      else
        cancel ??= inTurn(() => {
          plot.current = new uPlot({ ...options, ...size }, newest.current, host);
        });
    });
    resized.observe(host);
    return () => {
      resized.disconnect();
      cancel?.();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, name, sync]);
  useEffect(() => plot.current?.setData(data), [data]);
  const main = series[0];
  const end = main === undefined ? undefined : main.curve.last.at(-1);
  const last =
    main === undefined || end === undefined
      ? null
      : (main.curve.sum.at(-1) as number) / (main.curve.count.at(-1) as number);
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{metric.title}</span>
        <span class="chart-value">{last === null ? '' : metric.show(last)}</span>
      </figcaption>
      <div
        class="chart-box"
        ref={box}
        role="img"
        aria-label={`${metric.title}${last === null ? '' : `, now ${metric.show(last)}`} over ${count(end ?? 0)} steps`}
      />
      <p class="chart-readout" aria-hidden="true" />
      <p class="chart-note">{metric.note}</p>
    </figure>
  );
}
