import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadHuggingFace, saveHuggingFace } from '../checkpoints/hugging-face.js';
import { fromBfloat16, toBfloat16 } from '../checkpoints/numbers.js';
import { loadAdapter, saveAdapter } from '../checkpoints/peft.js';
import { createRunFolder, type RunFolder } from '../checkpoints/run-folder.js';
import { exportCommand } from './export.js';

let root: string;
let run: RunFolder;
const tensors = [{ name: 'model.norm.weight', shape: [3], data: Float32Array.of(1, 0.1, 1.001) }];

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'reckoner-export-'));
  run = createRunFolder(join(root, 'runs'), 'mini', new Date(0), 1);
  writeFileSync(run.recipe, '{}');
  const tokenizer = { model: {}, added_tokens: [{ id: 3, content: '</s>' }] };
  await saveHuggingFace(run.model, {
    config: { model_type: 'llama', eos_token_id: 3 },
    tensors,
    tokenizer,
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(root, { recursive: true, force: true });
});

async function call(...argv: string[]): Promise<string> {
  let out = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += text;
    return true;
  });
  try {
    const command = exportCommand()
      .exitOverride()
      .configureOutput({ writeErr: () => {} });
    await command.parseAsync([...argv, '--runs', join(root, 'runs')], { from: 'user' });
  } finally {
    vi.restoreAllMocks();
  }
  return out;
}

describe('reckoner export', () => {
  it('copies the newest run’s model, bit for bit', async () => {
    const out = join(root, 'out');
    expect(await call('--to', 'hf', '--out', out)).toContain('3 parameters in 1 tensors (f32)');
    expect(readdirSync(out).sort()).toEqual(readdirSync(run.model).sort());
    const model = loadHuggingFace(out);
    expect(model.tensors.read('model.norm.weight')).toEqual(tensors[0]);
    expect(model.specialTokensMap).toEqual({ eos_token: '</s>' });
    model.tensors.close();
  });

  it('says how many parameters are of the MTP module', async () => {
    const layer = (i: number, n: number) => ({
      name: `model.layers.${i}.input_layernorm.weight`,
      shape: [n],
      data: new Float32Array(n),
    });
    const folder = join(root, 'mtp');
    await saveHuggingFace(folder, {
      config: { model_type: 'deepseek_v3', num_hidden_layers: 1, num_nextn_predict_layers: 1 },
      tensors: [...tensors, layer(0, 4), layer(1, 5)],
      tokenizer: { model: {} },
    });
    expect(await call(folder, '--to', 'hf', '--out', join(root, 'out'))).toContain(
      '12 parameters (7 without the MTP module) in 3 tensors',
    );
  });

  it('re-encodes, replaces an earlier export, and prints one document', async () => {
    const out = join(root, 'out');
    await call('mini', '--out', out);
    const document = JSON.parse(await call('mini', '--dtype', 'bf16', '--out', out, '--json'));
    expect(document).toMatchObject({
      schemaVersion: 1,
      format: 'hf',
      dtype: 'bf16',
      out,
      source: run.model,
      tensors: 1,
      parameters: 3,
    });
    const model = loadHuggingFace(out);
    expect(model.config).toMatchObject({ torch_dtype: 'bfloat16', eos_token_id: 3 });
    expect(model.tensors.read('model.norm.weight').data).toEqual(
      fromBfloat16(toBfloat16(tensors[0].data)),
    );
    model.tensors.close();
  });

  it('refuses what it cannot do or should not overwrite', async () => {
    const out = join(root, 'out');
    await expect(call('--to', 'onnx', '--out', out)).rejects.toThrow('--to onnx: choose from hf');
    await expect(call('--to', 'toString', '--out', out)).rejects.toThrow('choose from hf');
    await expect(call('--dtype', 'f16', '--out', out)).rejects.toThrow(
      '--dtype f16: choose from f32, bf16',
    );
    await expect(call('--out', '')).rejects.toThrow('--out is empty');
    await expect(call()).rejects.toThrow("required option '--out <path>' not specified");
    await expect(call('--out', run.model)).rejects.toThrow('is the folder that is exported');
    mkdirSync(out);
    writeFileSync(join(out, 'thesis.tex'), '');
    await expect(call('--out', out)).rejects.toThrow(
      'has other files in it (thesis.tex); give a new folder',
    );
    await expect(call('--out', join(out, 'thesis.tex'))).rejects.toThrow('is a file');
    expect(readdirSync(out)).toEqual(['thesis.tex']);
    await expect(call('nothing', '--out', join(root, 'x'))).rejects.toThrow('no run at nothing');
  });

  it('writes an adapter by itself, and merges it into its base', async () => {
    const base = join(root, 'base');
    const name = 'model.layers.0.self_attn.q_proj';
    const weight = {
      name: `${name}.weight`,
      shape: [2, 3],
      data: Float32Array.of(1, 2, 3, 4, 5, 6),
    };
    await saveHuggingFace(base, {
      config: { model_type: 'llama', vocab_size: 4 },
      tensors: [weight, ...tensors],
    });
    const config = {
      peft_type: 'LORA',
      base_model_name_or_path: base,
      r: 1,
      lora_alpha: 2,
      target_modules: ['q_proj'],
      use_dora: false,
    };
    const parts = [
      {
        name: `base_model.model.${name}.lora_A.weight`,
        shape: [1, 3],
        data: Float32Array.of(1, 0, -1),
      },
      {
        name: `base_model.model.${name}.lora_B.weight`,
        shape: [2, 1],
        data: Float32Array.of(0.5, 10),
      },
    ];
    const adapter = join(root, 'adapter');
    await saveAdapter(adapter, { config, tensors: parts });
    await call(adapter, '--out', join(root, 'merged'));
    const merged = loadHuggingFace(join(root, 'merged'));
    // W + (alpha / r) · B·A.
    expect([...merged.tensors.read(weight.name).data]).toEqual([2, 2, 2, 24, 5, -14]);
    expect(merged.tensors.read('model.norm.weight')).toEqual(tensors[0]);
    merged.tensors.close();

    const out = join(root, 'peft');
    expect(await call(adapter, '--to', 'peft', '--out', out)).toContain(
      '5 parameters in 2 tensors',
    );
    const again = loadAdapter(out);
    expect(again.spec).toEqual({ kind: 'lora', rank: 1, alpha: 2, targets: ['q_proj'] });
    expect(parts.map(({ name: part }) => again.tensors.read(part))).toEqual(parts);
    again.tensors.close();

    await expect(call('mini', '--to', 'peft', '--out', join(root, 'x'))).rejects.toThrow(
      'has no adapter',
    );
    await saveAdapter(adapter, { config: { ...config, use_dora: true }, tensors: parts });
    await expect(call(adapter, '--out', join(root, 'x'))).rejects.toThrow(
      'use_dora: must be unset: DoRA is not supported',
    );
    await saveAdapter(adapter, {
      config: { ...config, base_model_name_or_path: 'Qwen/Qwen3-0.6B' },
      tensors: parts,
    });
    await expect(call(adapter, '--out', join(root, 'x'))).rejects.toThrow(
      'there is no model Qwen/Qwen3-0.6B; download',
    );
  });
});
