/**
 * @file Parts that every page uses.
 */
import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { csvCell, type Table } from '../../base/text/index.js';
import type { RunStatus } from '../protocol.js';
import { Icon, type IconName } from './icons.js';
import { inTurn } from './turns.js';

export function Page({
  title,
  sub,
  actions,
  children,
}: {
  title: string;
  sub?: ComponentChildren;
  actions?: ComponentChildren;
  children: ComponentChildren;
}) {
  useEffect(() => {
    document.title = `${title} · Reckoner`;
  }, [title]);
  return (
    <div class="page">
      <header class="page-head">
        <div>
          <h1>{title}</h1>
          {sub !== undefined && <p class="sub">{sub}</p>}
        </div>
        {actions !== undefined && <div class="actions">{actions}</div>}
      </header>
      {children}
    </div>
  );
}

const STATUS: Record<RunStatus, { word: string; tone: string }> = {
  running: { word: 'Running', tone: 'live' },
  completed: { word: 'Completed', tone: 'good' },
  interrupted: { word: 'Stopped', tone: 'idle' },
  'max-usd': { word: 'Stopped at its limit of dollars', tone: 'idle' },
  'max-minutes': { word: 'Stopped at its limit of time', tone: 'idle' },
  diverged: { word: 'Diverged', tone: 'bad' },
  failed: { word: 'Failed', tone: 'bad' },
  killed: { word: 'Ended unexpectedly', tone: 'bad' },
};

export function Status({ of }: { of: RunStatus }) {
  const { word, tone } = STATUS[of];
  return (
    <span class={`status ${tone}`}>
      <i aria-hidden="true" />
      {word}
    </span>
  );
}

export function Button(props: {
  children: ComponentChildren;
  onClick: () => void;
  icon?: IconName;
  kind?: 'primary' | 'quiet' | 'danger';
  disabled?: boolean;
  label?: string;
  pressed?: boolean;
}) {
  const { children, onClick, icon, kind = '', disabled, label, pressed } = props;
  return (
    <button
      type="button"
      class={`button ${kind}`}
      onClick={onClick}
      disabled={disabled}
      aria-label={label}
      aria-pressed={pressed}
    >
      {icon !== undefined && <Icon name={icon} />}
      {children}
    </button>
  );
}

/** A figure with its name, its unit and its interval. */
export function Stat({
  name,
  value,
  note,
  tone,
}: {
  name: string;
  value: string;
  note?: ComponentChildren;
  tone?: string;
}) {
  return (
    <div class={`stat ${tone ?? ''}`}>
      <dt>{name}</dt>
      <dd>{value}</dd>
      <dd class="note">{note ?? ' '}</dd>
    </div>
  );
}

/** Tabs that are links: each has an address. */
export function Tabs({
  label,
  items,
}: {
  label: string;
  items: { name: string; href: string; current: boolean }[];
}) {
  return (
    <nav class="tabs" aria-label={label}>
      {items.map(({ name, href, current }) => (
        <a key={name} href={href} aria-current={current ? 'page' : undefined}>
          {name}
        </a>
      ))}
    </nav>
  );
}

export function Card({
  title,
  note,
  aside,
  children,
  flush,
}: {
  title?: ComponentChildren;
  note?: ComponentChildren;
  aside?: ComponentChildren;
  children: ComponentChildren;
  flush?: boolean;
}) {
  return (
    <section class={`card${flush ? ' flush' : ''}`}>
      {title !== undefined && (
        <div class="card-head">
          <div>
            <h2>{title}</h2>
            {note !== undefined && <p class="note">{note}</p>}
          </div>
          {aside}
        </div>
      )}
      {children}
    </section>
  );
}

/** What opens under a button; Escape, and a click elsewhere, close it. */
export function Menu({
  title,
  children,
}: {
  title: ComponentChildren;
  children: ComponentChildren;
}) {
  const box = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const away = (event: PointerEvent): void => {
      const menu = box.current;
      if (menu?.open && !menu.contains(event.target as Node)) menu.open = false;
    };
    document.addEventListener('pointerdown', away);
    return () => document.removeEventListener('pointerdown', away);
  }, []);
  return (
    <details
      class="menu right"
      ref={box}
      onKeyDown={(event) => {
        if (event.key !== 'Escape') return;
        event.currentTarget.open = false;
        event.currentTarget.querySelector('summary')?.focus();
      }}
    >
      <summary>{title}</summary>
      <div class="menu-body">{children}</div>
    </details>
  );
}

/** A table that may be wider than the screen: the keyboard must reach it to move it. */
export function Scroll({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <div class="scroll" role="region" tabIndex={0} aria-label={label}>
      {children}
    </div>
  );
}

/** A table as the ledger and the planner make it, for the terminal too; the first cell is a head. */
export function TextTable({
  table: { title, head, right, rows, footer = [] },
  label = title,
}: {
  table: Table;
  label?: string;
}) {
  const typographic = (text: string): string => text.replaceAll(/(?<![\w-])-(?=[\d$])/g, '−');
  return (
    <DataTable
      label={`Table: ${label}`}
      columns={head.map((name, i) => ({
        head: name,
        num: right[i],
        cell: (row: readonly string[]) => typographic(row[i]),
      }))}
      rows={[...rows, ...footer]}
    />
  );
}

export interface TableColumn<Row> {
  head: string;
  /** True for numbers, which align right. */
  num?: boolean;
  /** A class of its cells. */
  tone?: string;
  cell: (row: Row) => ComponentChildren;
}

/** A table; the first cell of a row is its head. */
export function DataTable<Row>({
  label,
  columns,
  rows,
}: {
  label: string;
  columns: readonly TableColumn<Row>[];
  rows: readonly Row[];
}) {
  const [first, ...rest] = columns;
  const classOf = ({ num, tone }: TableColumn<Row>) => (num ? 'num' : tone);
  return (
    <Scroll label={label}>
      <table>
        <thead>
          <tr>
            {columns.map((column, i) => (
              <th key={i} scope="col" class={classOf(column)}>
                {column.head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, r) => (
            <tr key={r}>
              <th scope="row">{first.cell(row)}</th>
              {rest.map((column, i) => (
                <td key={i} class={classOf(column)}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

/** What is being waited for, in words, and never before it has taken a while. */
export function Waiting({ children }: { children: ComponentChildren }) {
  const late = useSignal(false);
  useEffect(() => {
    const timer = setTimeout(() => {
      late.value = true;
    }, 150);
    return () => clearTimeout(timer);
  }, [late]);
  return (
    <p class="waiting" role="status">
      {late.value ? children : ' '}
    </p>
  );
}

/** What is further down the page: built after what is seen first, in a turn of its own. */
export function Later({ children }: { children: ComponentChildren }) {
  const [ready, set] = useState(false);
  useEffect(() => inTurn(() => set(true)), []);
  return ready ? children : <div class="later" />;
}

export function Problem({ children }: { children: ComponentChildren }) {
  return (
    <div class="problem" role="alert">
      <Icon name="warn" />
      <div>{children}</div>
    </div>
  );
}

/** Something fetched: what it is, that it is coming, or why it does not come. */
export function useLoaded<T>(
  load: () => Promise<T>,
  keys: readonly unknown[],
): { value: T | null; error: string | null } {
  const [state, set] = useState<{ value: T | null; error: string | null }>({
    value: null,
    error: null,
  });
  useEffect(() => {
    let current = true;
    load().then(
      (value) => current && set({ value, error: null }),
      (error) => current && set({ value: null, error: (error as Error).message }),
    );
    return () => {
      current = false;
    };
  }, keys);
  return state;
}

export function Select<T extends string>({
  label,
  value,
  options,
  onChange,
  hideLabel,
}: {
  label: string;
  value: T;
  options: readonly { value: T; name: string }[];
  onChange: (value: T) => void;
  hideLabel?: boolean;
}) {
  return (
    <label class="field">
      <span class={hideLabel ? 'hidden' : ''}>{label}</span>
      <select value={value} onChange={(event) => onChange(event.currentTarget.value as T)}>
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.name}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Copies a link and says so. */
export function CopyLink({ url }: { url?: string }) {
  const [done, set] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  return (
    <Button
      icon={done ? 'check' : 'link'}
      onClick={() => {
        void navigator.clipboard?.writeText(url ?? location.href);
        set(true);
        clearTimeout(timer.current);
        timer.current = setTimeout(() => set(false), 1500);
      }}
    >
      <span aria-live="polite">{done ? 'Copied' : 'Link'}</span>
    </Button>
  );
}

export function Spark({ values, label }: { values: readonly number[]; label: string }) {
  if (values.length < 2) return <span class="spark" />;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const y = (value: number): number => 21 - ((value - low) / (high - low || 1)) * 18;
  const points = values
    .map((value, i) => `${((i / (values.length - 1)) * 100).toFixed(1)},${y(value).toFixed(1)}`)
    .join(' ');
  return (
    <svg
      class="spark"
      viewBox="0 0 100 24"
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      <polyline points={points} vector-effect="non-scaling-stroke" />
    </svg>
  );
}

/** Saves something under a name, from the page. */
export function save(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const link = Object.assign(document.createElement('a'), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

export function csv(rows: readonly (readonly (string | number | null)[])[]): Blob {
  const lines = rows.map((row) => row.map((value) => csvCell(String(value ?? ''))).join(','));
  return new Blob([`${lines.join('\r\n')}\r\n`], { type: 'text/csv' });
}
