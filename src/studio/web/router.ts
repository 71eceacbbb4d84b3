/**
 * @file Where the page is: the path and the query, as signals. Links are ordinary links.
 */
import { signal } from '@preact/signals';

let writing: ReturnType<typeof setTimeout> | undefined;

export const path = signal(location.pathname);
export const query = signal(new URLSearchParams(location.search));

function read(): void {
  path.value = location.pathname;
  query.value = new URLSearchParams(location.search);
}

export function go(to: string, options: { replace?: boolean } = {}): void {
  clearTimeout(writing);
  if (options.replace) history.replaceState(null, '', to);
  else {
    history.pushState(null, '', to);
    scrollTo(0, 0);
  }
  read();
}

/**
 * Changes parts of the query in place; null removes one. The address follows in a moment: browsers
 * limit how often it may change.
 */
export function setQuery(changes: Record<string, string | null>): void {
  const next = new URLSearchParams(query.value);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) next.delete(name);
    else next.set(name, value);
  }
  query.value = next;
  clearTimeout(writing);
  writing = setTimeout(
    () =>
      history.replaceState(
        null,
        '',
        next.size === 0 ? location.pathname : `${location.pathname}?${next}`,
      ),
    120,
  );
}

addEventListener('popstate', read);
document.addEventListener('click', (event) => {
  if (
    event.defaultPrevented ||
    event.button !== 0 ||
    event.metaKey ||
    event.ctrlKey ||
    event.shiftKey ||
    event.altKey
  )
    return;
  const link = (event.target as Element).closest('a');
  if (
    link === null ||
    link.origin !== location.origin ||
    link.target !== '' ||
    link.hasAttribute('download')
  )
    return;
  if (link.hash !== '' && link.pathname === location.pathname) return;
  event.preventDefault();
  go(link.pathname + link.search);
});
