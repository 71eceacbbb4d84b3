import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { jsonSchemas } from './documents.js';

const folder = new URL('../../docs/schema/', import.meta.url);

it.each(Object.entries(jsonSchemas()))(
  'docs/schema/%s.json is up to date (npm run build && node scripts/schemas.mjs)',
  (name, schema) => {
    expect(JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8'))).toEqual(
      JSON.parse(JSON.stringify(schema)),
    );
  },
);

it('every schema has a version, and every file a schema', () => {
  for (const [name, schema] of Object.entries(jsonSchemas())) {
    const { $schema, properties } = schema as {
      $schema: string;
      properties: Record<string, { const?: number }>;
    };
    expect($schema).toBe('https://json-schema.org/draft/2020-12/schema');
    if (name !== 'error') expect(properties.schemaVersion.const).toBeGreaterThanOrEqual(1);
  }
  const known = [...Object.keys(jsonSchemas()), 'bill', 'recipe'].map((name) => `${name}.json`);
  for (const file of readdirSync(folder)) expect(known).toContain(file);
});
