/**
 * @file Parts of the frame that the studio and the page that trains in a tab have in common.
 */
import { Icon } from './icons.js';
import { setTheme, shown } from './theme.js';

/** For keyboard users. */
export function Skip() {
  return (
    <a class="skip" href="#main">
      Skip to the content
    </a>
  );
}

export function Brand({ href }: { href: string }) {
  return (
    <a class="brand" href={href}>
      <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
        <rect width="32" height="32" rx="8" />
        <path d="M8 23V15M13.3 23V9M18.7 23v-6M24 23V12" />
      </svg>
      Reckoner
    </a>
  );
}

export function ThemeButton({ class: more = '' }: { class?: string }) {
  const dark = shown.value === 'dark';
  return (
    <button
      type="button"
      class={`button quiet square ${more}`}
      onClick={() => setTheme(dark ? 'light' : 'dark')}
      aria-label={dark ? 'Light colours' : 'Dark colours'}
    >
      <Icon name={dark ? 'sun' : 'moon'} />
    </button>
  );
}
