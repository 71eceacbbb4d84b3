import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { SCHEMA_VERSION, validateDocument } from './documents.js';
import { renderValidation, validateFile } from './validate.js';

const folder = mkdtempSync(join(tmpdir(), 'reckoner-validate-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const COLUMNS =
  'source,model,seq_len,gpu,n_gpus,tp,pp,dp,micro_batch,global_batch,precision,measured_metric,measured_value,unit,note';
const file = join(folder, 'rows.csv');
writeFileSync(
  file,
  [
    COLUMNS,
    'a paper,Llama 3 8B,8192,H100-SXM-80GB,8,1,1,8,1,128,bf16,tokens_per_s_per_gpu,12000,tokens/s/GPU,FSDP',
    'a paper,Nobody 1B,8192,H100-SXM-80GB,8,1,1,8,1,128,bf16,loss,2,nats,',
  ].join('\n'),
);

it('prints a document that its schema accepts, with every row predicted or skipped', () => {
  const document = validateDocument.parse({ schemaVersion: SCHEMA_VERSION, ...validateFile(file) });
  expect(document.predicted + document.skipped.length).toBe(document.rows);
  expect(document.predictions[0]).toMatchObject({
    row: 1,
    metric: 'tokens_per_s_per_gpu',
    measured: 12000,
  });
});

it('shows errors by group and why rows were skipped', () => {
  const text = renderValidation(validateFile(file));
  expect(text).toMatch(/^1 of 2 rows predicted, 1 skipped\./);
  expect(text).toMatch(/by accelerator .*\nh100 +1 /);
  expect(text).toMatch(/skipped\n +1 {2}loss is not a speed/);
});

it('says in one line what is wrong with a file', () => {
  expect(() => validateFile(join(folder, 'nothing.csv'))).toThrow(
    /nothing\.csv: there is no such file; give a CSV/,
  );
  expect(() => validateFile(folder)).toThrow(/it is a folder/);
});
