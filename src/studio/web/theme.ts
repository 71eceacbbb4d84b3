/**
 * @file Light, dark, or as the system: one attribute of the document, which the styles read.
 */
import { signal } from '@preact/signals';

export type Theme = 'system' | 'light' | 'dark';
const KEY = 'reckoner.theme';
const system = matchMedia('(prefers-color-scheme: dark)');

function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : 'system';
  } catch {
    return 'system';
  }
}

export const theme = signal<Theme>(stored());
/** What is shown; charts draw their colours anew when it changes. */
export const shown = signal<'light' | 'dark'>('light');

function apply(): void {
  shown.value = theme.value === 'system' ? (system.matches ? 'dark' : 'light') : theme.value;
  document.documentElement.dataset.theme = shown.value;
}

export function setTheme(next: Theme): void {
  theme.value = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // Private windows may refuse; the choice lasts as long as the page.
  }
  apply();
}

system.addEventListener('change', apply);
apply();
