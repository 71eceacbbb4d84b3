import { defineConfig } from 'vitest/config';

/** Where .ci/run wants the results as JSON, beside the usual output. */
const report = process.env.RECKONER_TEST_REPORT;

/** Tests in the system's Chromium: `npm run test:browser`. CHROMIUM names another browser. */
export default defineConfig({
  test: {
    include: ['test/browser/**/*.browser.ts'],
    testTimeout: 240_000,
    hookTimeout: 240_000,
    // A page draws what it shows in turns; how long that takes depends on what else runs.
    expect: { poll: { timeout: 60_000 } },
    pool: 'forks',
    maxWorkers: 1,
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
  },
});
