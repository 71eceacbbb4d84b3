// Holds the import order of the rooms under src/ (docs/decisions/0008): a room imports itself and
// the rooms below it, never one above, and no files import each other in a circle. The planner and
// the ledger know models by their configuration alone, so for them more is forbidden. Prints one
// line a violation; exits 1 when there is any.
//
//   node scripts/check-rooms.mjs [folder, default src]
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** From top to bottom. */
export const ROOMS = [
  'cli',
  'studio',
  'serve',
  'train',
  'plan',
  'recipe',
  'stages',
  'evaluation',
  'policy',
  'training',
  'inference',
  'planner',
  'ledger',
  'checkpoints',
  'models',
  'architecture',
  'tasks',
  'tokenizers',
  'tensor',
  'usage',
  'catalog',
  'base',
];

/** Rooms below that a room must not use all the same. */
const FORBIDDEN = {
  planner: ['checkpoints', 'models', 'tasks', 'tokenizers', 'tensor'],
  ledger: ['checkpoints', 'models', 'tasks', 'tokenizers', 'tensor'],
};

/**
 * Files outside every room: the public API, which may import everything and which nobody imports.
 */
const ROOTS = ['index.ts', 'index.test.ts'];

/**
 * Source text with comments blanked out (same length, same lines) and strings kept. A small scanner
 * and not a parser: it knows strings, templates and comments. A regular expression literal that
 * holds a quote or `//` would confuse it until the end of its line, so strings end at a line break.
 */
function withoutComments(text) {
  let out = '';
  for (let i = 0; i < text.length; ) {
    const two = text.slice(i, i + 2);
    if (two === '//' || two === '/*') {
      const close = two === '//' ? text.indexOf('\n', i) : text.indexOf('*/', i + 2);
      const end = close < 0 ? text.length : two === '//' ? close : close + 2;
      out += text.slice(i, end).replace(/[^\n]/g, ' ');
      i = end;
    } else if (text[i] === "'" || text[i] === '"') {
      let end = i + 1;
      while (end < text.length && text[end] !== text[i] && text[end] !== '\n')
        end += text[end] === '\\' ? 2 : 1;
      out += text.slice(i, end + 1);
      i = end + 1;
    } else {
      out += text[i++];
    }
  }
  return out;
}

const PATTERNS = [
  // import x from '…', import type …, export … from '…', import '…'
  {
    pattern: /(?<![\w$.])(?:import|export)\s*(?:[\w$*{},\s]*[\s}*]from\s*)?(['"])([^'"\n]+)\1/g,
    loads: true,
  },
  // import('…'), as a value and as a type
  { pattern: /\bimport\s*\(\s*(['"])([^'"\n]+)\1/g, loads: true },
  // new URL('…', import.meta.url): a worker's file
  { pattern: /\bnew\s+URL\s*\(\s*(['"])([^'"\n]+)\1\s*,\s*import\.meta\.url/g, loads: false },
];

/**
 * Every module named in `text`: { specifier, line, loads }; `loads` is false for a file that is
 * only pointed at.
 */
export function importsOf(text) {
  const code = withoutComments(text);
  const found = [];
  for (const { pattern, loads } of PATTERNS) {
    for (const match of code.matchAll(pattern)) {
      const at = match.index + match[0].length;
      found.push({ specifier: match[2], line: code.slice(0, at).split('\n').length, loads });
    }
  }
  return found.sort((a, b) => a.line - b.line);
}

/** 'tensor' for 'tensor/backend.ts'; '' for a file at the root. */
const roomOf = (path) => (path.includes('/') ? path.slice(0, path.indexOf('/')) : '');

/**
 * All violations in a source tree.
 * @param files path relative to src (with forward slashes) → text
 * @returns one line each, sorted by file
 */
export function checkRooms(files) {
  const violations = [];
  const edges = new Map();
  /** './x.js' names './x.ts' (NodeNext); AssemblyScript names it without an ending. */
  const resolve = (from, specifier) => {
    const path = posix.normalize(posix.join(posix.dirname(from), specifier));
    const candidates = [
      path,
      path.replace(/\.m?js$/, '.ts'),
      path.replace(/\.js$/, '.tsx'),
      `${path}.ts`,
      `${path}/index.ts`,
    ];
    return candidates.find((candidate) => files.has(candidate)) ?? path;
  };
  for (const [path, text] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const room = roomOf(path);
    if (room === '' ? !ROOTS.includes(path) : !ROOMS.includes(room)) {
      violations.push(`src/${path}: belongs to no room; move it into one of ${ROOMS.join(', ')}`);
      continue;
    }
    edges.set(path, new Set());
    for (const { specifier, line, loads } of importsOf(text)) {
      if (!specifier.startsWith('.')) continue;
      const target = resolve(path, specifier);
      const where = `src/${path}:${line}`;
      if (target.startsWith('..')) {
        if (loads) violations.push(`${where}: imports ${specifier}, which lies outside src`);
        continue;
      }
      if (loads && files.has(target)) edges.get(path).add(target);
      if (room === '') continue;
      const targetRoom = roomOf(target);
      if (targetRoom === room) continue;
      if (targetRoom === '')
        violations.push(`${where}: ${room} imports ${target}; only users of the package import it`);
      else if (!ROOMS.includes(targetRoom))
        violations.push(`${where}: ${room} imports ${target}, which belongs to no room`);
      else if (ROOMS.indexOf(targetRoom) < ROOMS.indexOf(room))
        violations.push(
          `${where}: ${room} imports ${target}; ${targetRoom} lies above ${room}, and imports go down only`,
        );
      else if (FORBIDDEN[room]?.includes(targetRoom))
        violations.push(
          `${where}: ${room} imports ${target}; the ${room} knows models by their configuration alone`,
        );
    }
  }
  return [...violations, ...circles(edges)];
}

/**
 * One line for each circle of imports: depth-first, a circle is an edge back to a file that is
 * still open.
 */
function circles(edges) {
  const found = [];
  const state = new Map();
  const open = [];
  const visit = (path) => {
    state.set(path, 'open');
    open.push(path);
    for (const target of edges.get(path) ?? []) {
      if (state.get(target) === 'open')
        found.push(
          `src/${path}: imports in a circle: ${[...open.slice(open.indexOf(target)), target].join(' → ')}`,
        );
      else if (!state.has(target)) visit(target);
    }
    open.pop();
    state.set(path, 'done');
  };
  for (const path of edges.keys()) if (!state.has(path)) visit(path);
  return found;
}

/** Reads every TypeScript file under `folder`. */
export function readSources(folder) {
  const files = new Map();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.(ts|tsx|mts|js|mjs)$/.test(entry.name)) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(relative(folder, path).split(sep).join('/'), readFileSync(path, 'utf8'));
  }
  return files;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const violations = checkRooms(
    readSources(process.argv[2] ?? fileURLToPath(new URL('../src', import.meta.url))),
  );
  for (const line of violations) console.error(line);
  if (violations.length > 0) process.exitCode = 1;
}
