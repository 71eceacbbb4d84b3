/**
 * @file A statement as one HTML page: the waterfall and the tables. It stands alone: no script, no
 * font, no request; a policy in the page forbids them. Every text from outside is escaped.
 */
import { html, type Table } from '../../base/text/index.js';
import type { Statement } from '../statement/statement.js';
import { factsOf, notesOf, tablesOf } from './tables.js';
import { waterfallSvg } from './waterfall.js';

const STYLE = `
:root { color-scheme: light dark; --ink: #1c2126; --paper: #ffffff; --line: #d5dade; --total: #2f5d8a; --more: #c26a2d; --less: #3f8f5f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --paper: #15181b; --line: #3a4147; --total: #6ea3d8; --more: #e0935a; --less: #6cc190; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 960px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.6rem; border-bottom: 1px solid var(--line); overflow-wrap: break-word; }
.right { text-align: right; white-space: nowrap; }
tfoot td { font-weight: 600; border-top: 2px solid var(--line); }
.wide { overflow-x: auto; }
.waterfall { width: 100%; height: auto; font-size: 13px; }
.waterfall text { fill: var(--ink); } .waterfall .link { stroke: var(--line); }
.total { fill: var(--total); } .more { fill: var(--more); } .less { fill: var(--less); }
@media print { body { margin: 0; max-width: none; } }`;

/** A page that needs nothing else. @param body HTML; @param style CSS beside that of all pages */
export function htmlPage(title: string, body: readonly string[], style = ''): string {
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>${html(title)}</title><style>${STYLE}${style}</style></head>`,
    `<body><main><h1>${html(title)}</h1>${body[0] ?? ''}`,
    ...body.slice(1),
    '</main></body></html>',
    '',
  ].join('\n');
}

export function statementHtml(statement: Statement): string {
  const list = (items: readonly string[]) =>
    `<ul>${items.map((item) => `<li>${html(item)}</li>`).join('')}</ul>`;
  const notes = notesOf(statement);
  return htmlPage(statement.title, [
    list(factsOf(statement)),
    `<h2>From headline to full</h2>${waterfallSvg(statement)}`,
    ...tablesOf(statement).map(
      (table) => `<h2>${html(table.title ?? '')}</h2><div class="wide">${htmlTable(table)}</div>`,
    ),
    notes.length > 0 ? `<h2>Notes</h2>${list(notes)}` : '',
  ]);
}

export function htmlTable({ head, right, rows, footer = [] }: Omit<Table, 'title'>): string {
  const cells = (row: readonly string[], tag: 'th' | 'td') =>
    `<tr>${row.map((cell, i) => `<${tag}${right[i] ? ' class="right"' : ''}>${html(cell)}</${tag}>`).join('')}</tr>`;
  const body = rows.map((row) => cells(row, 'td')).join('');
  const end =
    footer.length > 0 ? `<tfoot>${footer.map((row) => cells(row, 'td')).join('')}</tfoot>` : '';
  return `<table><thead>${cells(head, 'th')}</thead><tbody>${body}</tbody>${end}</table>`;
}
