/**
 * @file The table of decision records lists every record, sorted, with its status and date.
 */
import { expect, it } from 'vitest';
import { renderDecisions } from '../../scripts/decisions.mjs';
import { readPage } from './pages.js';

it('lists every decision record under its own title, status and date', () => {
  expect(readPage('docs/decisions/README.md')).toBe(renderDecisions());
});
