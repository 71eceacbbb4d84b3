/**
 * @file Links of the documentation that point into the clone: the file is there, and so is the
 * heading.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { pagesUnder, proseOf, ROOT, readPage, relativeTo } from './pages.js';

const pages = [...readdirSync(ROOT).filter((name) => name.endsWith('.md')), ...pagesUnder('docs')];

/** The anchor that GitHub gives a heading. */
const anchorOf = (heading: string): string =>
  heading
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');

const anchorsOf = (page: string): string[] =>
  [...proseOf(readPage(page)).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    anchorOf(heading.trim()),
  );

it('reads every page that a reader may meet', () => {
  expect(pages).toEqual(
    expect.arrayContaining([
      'README.md',
      'CONTRIBUTING.md',
      'docs/README.md',
      'docs/guides/first-run.md',
    ]),
  );
});

describe.each(pages)('%s', (page) => {
  const targets = [...proseOf(readPage(page)).matchAll(/\]\(([^()\s]+)\)/g)].map(
    ([, target]) => target,
  );
  const inside = targets.filter((target) => !/^[a-z]+:/.test(target));

  it('links to what is there', () => {
    const broken = inside.filter((target) => {
      const [path, anchor] = target.split('#');
      const file = path === '' ? page : relativeTo(page, path);
      if (!existsSync(join(ROOT, file))) return true;
      return anchor !== undefined && !anchorsOf(file).includes(anchor);
    });
    expect(broken).toEqual([]);
  });
});

it('the guides are all listed', () => {
  const listed = `${readPage('README.md')}${readPage('docs/README.md')}`;
  for (const guide of pagesUnder('docs/guides'))
    expect(listed).toContain(guide.slice('docs/'.length));
});
