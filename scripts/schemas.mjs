// Writes the JSON Schemas of what `--json` prints, and of recipes for editors, to docs/schema/,
// from the schemas in the code (build first).
//
//   node scripts/schemas.mjs
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { jsonSchemas } from '../dist/cli/documents.js';
import { recipeJsonSchema } from '../dist/recipe/index.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = `${root}docs/schema`;
mkdirSync(folder, { recursive: true });
for (const [name, schema] of Object.entries({ ...jsonSchemas(), recipe: recipeJsonSchema() })) {
  writeFileSync(`${folder}/${name}.json`, `${JSON.stringify(schema, null, 2)}\n`);
}
execFileSync(
  process.execPath,
  ['node_modules/@biomejs/biome/bin/biome', 'format', '--write', 'docs/schema'],
  {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
  },
);
