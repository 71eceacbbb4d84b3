/**
 * @file The application: the frame around the pages, and which page the address means. Pages are
 * loaded when they are first opened.
 */
import './styles.css';
import { useSignal } from '@preact/signals';
import { type ComponentType, render } from 'preact';
import { useEffect } from 'preact/hooks';
import { connected, followRuns, runs } from './client.js';
import { Brand, Skip, ThemeButton } from './frame.js';
import { Icon, type IconName } from './icons.js';
import { go, path } from './router.js';
import { Problem, Waiting } from './ui.js';

type Load = () => Promise<{ default: ComponentType<{ name: string }> }>;

const PAGES: Record<string, Load> = {
  runs: () => import('./pages/runs.js'),
  run: () => import('./pages/run.js'),
  chat: () => import('./pages/chat.js'),
  plan: () => import('./pages/plan.js'),
  serving: () => import('./pages/serving.js'),
  bill: () => import('./pages/bill.js'),
  benchmarks: () => import('./pages/benchmarks.js'),
};

const NAV: { name: string; href: string; icon: IconName }[] = [
  { name: 'Runs', href: '/runs', icon: 'runs' },
  { name: 'Chat', href: '/chat', icon: 'chat' },
  { name: 'Plan', href: '/plan', icon: 'plan' },
  { name: 'Serving', href: '/serving', icon: 'serving' },
  { name: 'Bill', href: '/bill', icon: 'bill' },
  { name: 'Benchmarks', href: '/benchmarks', icon: 'benchmarks' },
];

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The page of an address, and what it is about. */
function pageOf(at: string): { page: string; name: string } {
  const [first = '', ...rest] = at.split('/').filter(Boolean).map(decoded);
  if (first === 'runs' && rest.length > 0) return { page: 'run', name: rest.join('/') };
  return { page: PAGES[first] === undefined ? 'runs' : first, name: rest.join('/') };
}

function Frame() {
  const { page, name } = pageOf(path.value);
  const Loaded = useSignal<{ page: string; View: ComponentType<{ name: string }> } | null>(null);
  const failed = useSignal<string | null>(null);
  useEffect(() => {
    if (page !== 'run') followRuns();
  }, [page]);
  // Without a run, the page shows a known bill: DeepSeek's.
  useEffect(() => {
    if (path.value !== '/' || runs.value === null) return;
    go(runs.value.length === 0 ? '/bill' : '/runs', { replace: true });
  }, [path.value, runs.value]);
  useEffect(() => {
    if (path.value === '/') return;
    let current = true;
    PAGES[page]().then(
      (module) => {
        if (current) Loaded.value = { page, View: module.default };
      },
      () => {
        failed.value =
          'This page could not be loaded; the server may have been updated. Reload it.';
      },
    );
    return () => {
      current = false;
    };
  }, [page, path.value, Loaded, failed]);
  const loaded = Loaded.value;
  return (
    <>
      <Skip />
      <aside class="side">
        <Brand href="/" />
        <nav aria-label="Pages">
          {NAV.map(({ name: title, href, icon }) => (
            <a
              key={href}
              href={href}
              aria-current={`/${page === 'run' ? 'runs' : page}` === href ? 'page' : undefined}
            >
              <Icon name={icon} />
              <span>{title}</span>
            </a>
          ))}
        </nav>
        <div class="side-foot">
          <span class={`link-state ${connected.value ? '' : 'lost'}`} role="status">
            {connected.value ? '' : 'Server not reached; trying again'}
          </span>
          <ThemeButton />
        </div>
      </aside>
      <main id="main" tabIndex={-1}>
        {failed.value !== null && <Problem>{failed.value}</Problem>}
        {loaded !== null && loaded.page === page && path.value !== '/' ? (
          <loaded.View key={`${page}/${name}`} name={name} />
        ) : (
          <Waiting>Opening…</Waiting>
        )}
      </main>
    </>
  );
}

render(<Frame />, document.getElementById('app') as HTMLElement);
