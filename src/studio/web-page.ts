/**
 * @file The HTML document of every path of the application: the built `index.html` with the token,
 * and with preload links for the page's script and the run's state. Without these links a browser
 * would request the script only when the frame runs, and the state only when the page does.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Of Vite's manifest: the files of a module, and the modules that it imports. */
type Manifest = Record<
  string,
  { file: string; css?: string[]; imports?: string[]; isEntry?: boolean }
>;

/** Makes the document for a path. @param web the built application */
export function createWebPage(web: string, token: string): (pathname: string) => string {
  return (pathname) => {
    const document = readFileSync(join(web, 'index.html'), 'utf8').replace(
      '__STUDIO_TOKEN__',
      token,
    );
    const manifest = manifestOf(web);
    const [page = '', name] = pathname.split('/').filter(Boolean);
    const module = page === 'runs' && name !== undefined ? 'run' : page;
    const links = [...filesOf(manifest, `pages/${module}.tsx`)].map((file) =>
      file.endsWith('.css')
        ? `<link rel="stylesheet" crossorigin href="/${file}">`
        : `<link rel="modulepreload" crossorigin href="/${file}">`,
    );
    const data = dataOf(module, name);
    // Encoded in the path as it is, so nothing in it can end the attribute.
    if (data !== null && /^[\w%.~/-]+$/.test(data))
      links.push(`<link rel="preload" as="fetch" crossorigin href="${data}">`);
    return document.replace('</head>', `${links.join('')}</head>`);
  };
}

/** What a page asks for before it can show anything. */
function dataOf(page: string, name: string | undefined): string | null {
  if (page === 'run') return `/api/runs/${name}`;
  if (page === 'plan') return '/api/recipes';
  if (page === 'chat') return '/api/models';
  return page === 'bill' && name !== 'runs' ? `/api/claims/${name ?? 'deepseek'}` : null;
}

function manifestOf(web: string): Manifest {
  try {
    return JSON.parse(readFileSync(join(web, '.vite/manifest.json'), 'utf8')) as Manifest;
  } catch {
    return {};
  }
}

/** What a module loads beside the entry, which the document names itself. */
function filesOf(manifest: Manifest, module: string, found = new Set<string>()): Set<string> {
  const entry = manifest[module];
  if (entry === undefined || entry.isEntry || found.has(entry.file)) return found;
  for (const file of [entry.file, ...(entry.css ?? [])]) found.add(file);
  for (const next of entry.imports ?? []) filesOf(manifest, next, found);
  return found;
}
