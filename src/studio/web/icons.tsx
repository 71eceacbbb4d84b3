/**
 * @file The few icons, drawn for 16 pixels in one weight of line.
 */
const PATHS = {
  runs: 'M2.5 12.5 6 8l2.5 2.5 5-7M13.5 3.5v3M13.5 3.5h-3',
  chat: 'M3 3.5h10v7H7.5L4.5 13v-2.5H3z',
  plan: 'M3 4.5h10M3 8h10M3 11.5h10M6 3v3M10.5 6.5v3M5 10v3',
  serving: 'M3 3.5h10v3.5H3zM3 9h10v3.5H3zM5 5.2v.01M5 10.7v.01',
  bill: 'M4 2.5h8v11l-2-1.2-2 1.2-2-1.2-2 1.2zM6.3 6h3.4M6.3 8.7h3.4',
  benchmarks: 'M2.5 2.5v11h11M6 10.5v.01M8.5 7v.01M12 4.5v.01',
  sun: 'M8 5.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6M8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M3.4 12.6l.7-.7M11.9 4.1l.7-.7',
  moon: 'M13 9.6A5.5 5.5 0 0 1 6.4 3 5.5 5.5 0 1 0 13 9.6z',
  play: 'M5 3.5v9l7-4.5z',
  stop: 'M4.5 4.5h7v7h-7z',
  link: 'M6.5 9.5l3-3M7 4.8l1.2-1.2a2.9 2.9 0 0 1 4.1 4.1L11.2 9M9 11.2l-1.2 1.2a2.9 2.9 0 0 1-4.1-4.1L4.8 7',
  download: 'M8 2.5v7.5M4.8 7 8 10.2 11.2 7M3 13.5h10',
  chevron: 'M6 4l4 4-4 4',
  close: 'M4 4l8 8M12 4l-8 8',
  check: 'M3.5 8.5l3 3 6-7',
  plus: 'M8 3.5v9M3.5 8h9',
  send: 'M8 13V3.5M4 7.2 8 3.2l4 4',
  warn: 'M8 2.5 14 13H2zM8 6.5v3M8 11.3v.01',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
