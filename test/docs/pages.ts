/**
 * @file For tests: the pages that people read, and the fenced blocks in them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url)).replace(/[\\/]$/, '');

export interface Block {
  /** `sh`, `json`, … */
  language: string;
  /** The words after the language. */
  tag: string;
  text: string;
  /** Line of the page on which it opens. */
  line: number;
  /** The paragraph right before it. */
  before: string;
}

export function readPage(page: string): string {
  return readFileSync(join(ROOT, page), 'utf8');
}

/** Pages under a folder of the clone, as paths with `/`. */
export function pagesUnder(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => `${folder}/${name.replaceAll('\\', '/')}`)
    .filter((name) => name.endsWith('.md'))
    .sort();
}

export function blocksOf(text: string): Block[] {
  const lines = text.split('\n');
  const out: Block[] = [];
  for (let i = 0; i < lines.length; i++) {
    const fence = lines[i].match(/^(`{3,})(.*)$/);
    if (!fence) continue;
    const end = lines.indexOf(fence[1], i + 1);
    if (end < 0) throw new Error(`the block of line ${i + 1} does not end`);
    const [language, ...tag] = fence[2].trim().split(/\s+/);
    let from = i - 1;
    while (from >= 0 && lines[from].trim() === '') from--;
    const last = from;
    while (from >= 0 && lines[from].trim() !== '') from--;
    const before = lines.slice(from + 1, last + 1).join(' ');
    out.push({
      language,
      tag: tag.join(' '),
      text: lines.slice(i + 1, end).join('\n'),
      line: i + 1,
      before,
    });
    i = end;
  }
  return out;
}

/** Text outside fenced blocks. */
export function proseOf(text: string): string {
  return text.replace(/^(`{3,}).*$[\s\S]*?^\1$/gm, '');
}

/** Rows of the first table under a heading, as cells; the head and the rule left out. */
export function tableUnder(text: string, heading: string): string[][] {
  const at = text.search(new RegExp(`^#+ ${heading}$`, 'm'));
  if (at < 0) throw new Error(`no heading "${heading}"`);
  const section = text.slice(at).split('\n').slice(1);
  const start = section.findIndex((line) => line.startsWith('|') || /^#/.test(line));
  if (start < 0 || section[start].startsWith('#')) throw new Error(`no table under "${heading}"`);
  const rows = section.slice(start);
  const end = rows.findIndex((line) => !line.startsWith('|'));
  return rows.slice(2, end < 0 ? undefined : end).map((row) =>
    row
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim()),
  );
}

export const relativeTo = (page: string, target: string): string =>
  join(dirname(page), target).replaceAll('\\', '/');
