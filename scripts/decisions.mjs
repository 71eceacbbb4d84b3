// Renders the table of decision records (docs/decisions/README.md) from the records' own headings.
// A record begins with `# N. Title`, an empty line and `*Status · date*`.
//
//   node scripts/decisions.mjs           writes the table
//   node scripts/decisions.mjs --check   exits 1 when the table is not the one that the records give
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('../docs/decisions/', import.meta.url));
const HEAD = /^# (\d+)\. (.+)\n\n\*(.+?) · (\d{4}-\d{2}-\d{2})\*\n/;

const OPENING = `# Decisions

Each record is half a page: what was decided, what was rejected, and the measurement that decided
it where there was one. An overturned record stays, and its status names its successor. Numbers
that are missing were never used.

| | decision | status | date |
|---|---|---|---|
`;

/** The table as Markdown. @throws Error that names a record without the heading above */
export function renderDecisions(folder = FOLDER) {
  const rows = readdirSync(folder)
    .filter((name) => /^\d{4}-.*\.md$/.test(name))
    .sort()
    .map((name) => {
      const head = HEAD.exec(readFileSync(`${folder}${name}`, 'utf8'));
      if (!head || Number(head[1]) !== Number(name.slice(0, 4)))
        throw new Error(
          `docs/decisions/${name}: must begin with "# N. Title" and "*Status · date*"`,
        );
      const [, number, title, status, date] = head;
      return `| [${number}](${name}) | ${title} | ${status} | ${date} |\n`;
    });
  return OPENING + rows.join('');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = renderDecisions();
  const file = `${FOLDER}README.md`;
  if (!process.argv.includes('--check')) writeFileSync(file, text);
  else if (readFileSync(file, 'utf8') !== text) {
    console.error('docs/decisions/README.md is stale: run "node scripts/decisions.mjs"');
    process.exitCode = 1;
  }
}
