// Writes docs/schema/recipe.json, the JSON Schema of recipes for editors, from the schema that the code checks by.
//
//   npm run build && node scripts/recipe-schema.mjs
import { writeFileSync } from 'node:fs';
import { recipeJsonSchema } from '../dist/recipes/schema.js';

writeFileSync(new URL('../docs/schema/recipe.json', import.meta.url), `${JSON.stringify(recipeJsonSchema(), null, 2)}\n`);
