/**
 * @file `reckoner export`: a run's model in a format that other programs read.
 *
 * The model folder of a run is a Hugging Face folder already; exporting copies it, re-encodes its
 * numbers when asked, and makes one from a checkpoint when the run has not ended. Of a run that
 * trained an adapter, the folder is PEFT's: `--to peft` copies that, `--to hf` merges the adapter
 * into the model that it belongs to.
 */

import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { Command } from 'commander';
import { UserError } from '../base/errors.js';
import { formatBytes, formatCount } from '../base/text/index.js';
import { saveGguf } from '../checkpoints/gguf/save.js';
import type { GgufDType } from '../checkpoints/gguf/write.js';
import { isModelFile, saveHuggingFace } from '../checkpoints/hugging-face.js';
import {
  ADAPTER_FILES,
  hasAdapterFor,
  type LoadedAdapter,
  mergeAdapter,
  openWithAdapter,
  saveAdapter,
} from '../checkpoints/peft.js';
import { RUNS, resolveModel } from '../checkpoints/run-folder.js';
import type { TensorSource } from '../checkpoints/safetensors-writer.js';
import type { TensorReader } from '../checkpoints/weights.js';
import { fetchNamed } from './named-model.js';
import { note, print, printDocument, withExamples } from './output.js';

const DTYPES: Record<string, GgufDType> = { f32: 'F32', bf16: 'BF16', f16: 'F16' };

interface ExportOptions {
  to: string;
  out: string;
  dtype: string;
  runs: string;
  json?: boolean;
}

/** What an exporter is given. */
interface ExportJob {
  /** A model folder or a snapshot. */
  source: string;
  out: string;
  dtype: GgufDType;
}

interface Exported {
  tensors: number;
  /** All that are written. */
  parameters: number;
  /** Those of the MTP module among them. */
  mtp?: number;
  bytes: number;
  files: Record<string, { bytes: number; sha256: string }>;
}

/** The formats there are; a new one is a function and a line here. */
const EXPORTERS: Record<string, (job: ExportJob) => Promise<Exported>> = {
  hf: exportHuggingFace,
  peft: exportPeft,
  gguf: exportGguf,
};

async function exportHuggingFace({ source, out, dtype }: ExportJob): Promise<Exported> {
  if (dtype === 'F16')
    throw new UserError('usage', '--dtype f16: choose from f32, bf16', '--dtype');
  checkFolder(out, source);
  const { loaded: model, adapter, close } = openWithAdapter(source);
  const { tensors: reader } = model;
  try {
    // A few megabytes of one tensor in memory at a time.
    const tensors: TensorSource[] = reader.names.map((name) => ({
      name,
      shape: reader.shape(name),
      data:
        adapter && hasAdapterFor(adapter, name)
          ? merged(reader, name, adapter)
          : reader.pieces(name),
    }));
    const written = await saveHuggingFace(out, {
      config: model.config,
      tensors,
      tokenizer: model.tokenizerJson ?? undefined,
      tokenizerConfig: model.tokenizerConfig ?? undefined,
      specialTokensMap: model.specialTokensMap ?? undefined,
      generationConfig: model.generationConfig ?? undefined,
      chatTemplate: model.chatTemplate ?? undefined,
      dtype,
    });
    const ofModule = tensors.filter(({ name }) => inMtpModule(name, model.config));
    const sizes = ofModule.map(({ shape }) => shape.reduce((product, side) => product * side, 1));
    return { ...written, mtp: sizes.reduce((sum, size) => sum + size, 0) };
  } finally {
    close();
  }
}

/** Whether a tensor is of a layer after the last: DeepSeek-V3's MTP module. */
function inMtpModule(name: string, config: Record<string, unknown>): boolean {
  const layer = /^model\.layers\.(\d+)\./.exec(name)?.[1];
  const layers = config.num_hidden_layers;
  return layer !== undefined && typeof layers === 'number' && Number(layer) >= layers;
}

/** Read when asked for: one at a time. */
function* merged(
  reader: TensorReader,
  name: string,
  adapter: LoadedAdapter,
): Generator<Float32Array> {
  yield mergeAdapter(reader.read(name), adapter).data;
}

async function exportPeft({ source, out, dtype }: ExportJob): Promise<Exported> {
  if (dtype === 'F16')
    throw new UserError('usage', '--dtype f16: choose from f32, bf16', '--dtype');
  checkFolder(out, source);
  const { loaded, adapter, close } = openWithAdapter(source);
  try {
    if (!adapter) {
      throw new UserError(
        'usage',
        `--to peft: ${source} has no adapter; a recipe with "adapter" trains one, --to hf exports this`,
        '--to',
      );
    }
    const { tensors: reader, config } = adapter;
    const tensors = reader.names.map((name) => reader.read(name));
    const parameters = tensors.reduce((sum, { data }) => sum + data.length, 0);
    const tokenizer: Record<string, unknown> = {
      'tokenizer.json': loaded.tokenizerJson,
      'tokenizer_config.json': loaded.tokenizerConfig,
      'special_tokens_map.json': loaded.specialTokensMap,
    };
    const json = Object.fromEntries(
      Object.entries(tokenizer).filter(([, value]) => value !== null),
    );
    const { files, bytes } = await saveAdapter(out, {
      config,
      tensors,
      json: { ...json, 'config.json': loaded.config },
      dtype,
    });
    return { tensors: tensors.length, parameters, bytes, files };
  } finally {
    close();
  }
}

/** One file for llama.cpp. */
async function exportGguf({ source, out, dtype }: ExportJob): Promise<Exported> {
  if (existsSync(out) && !statSync(out).isFile())
    throw new UserError('usage', `--out ${out} is a folder; give a file`, '--out');
  const { loaded, adapter, close } = openWithAdapter(source);
  try {
    const { tensors: reader } = loaded;
    const read = (name: string) =>
      adapter ? mergeAdapter(reader.read(name), adapter) : reader.read(name);
    const pieces = (name: string) =>
      adapter && hasAdapterFor(adapter, name) ? merged(reader, name, adapter) : reader.pieces(name);
    const { tensors, parameters, written } = saveGguf(
      out,
      { ...loaded, tensors: { ...reader, read, pieces } },
      dtype,
    );
    return { tensors, parameters, bytes: written.bytes, files: { [basename(out)]: written } };
  } finally {
    close();
  }
}

function pick<T>(table: Record<string, T>, value: string, option: string): T {
  if (Object.hasOwn(table, value)) return table[value];
  throw new UserError(
    'usage',
    `${option} ${value}: choose from ${Object.keys(table).join(', ')}`,
    option,
  );
}

/** The folder is replaced as a whole, so it must hold nothing but an earlier export. */
function checkFolder(out: string, source: string): void {
  if (!existsSync(out)) return;
  if (!statSync(out).isDirectory())
    throw new UserError('usage', `--out ${out} is a file; give a folder`, '--out');
  if (realpathSync(out) === realpathSync(source)) {
    throw new UserError(
      'usage',
      `--out ${out} is the folder that is exported; give another one`,
      '--out',
    );
  }
  const foreign = readdirSync(out).filter(
    (name) => !isModelFile(name) && !ADAPTER_FILES.includes(name),
  );
  if (foreign.length > 0) {
    throw new UserError(
      'usage',
      `--out ${out} has other files in it (${foreign[0]}${foreign.length > 1 ? ', …' : ''}); give a new folder`,
      '--out',
    );
  }
}

async function exportModel(which: string | undefined, options: ExportOptions): Promise<void> {
  const exporter = pick(EXPORTERS, options.to, '--to');
  const dtype = pick(DTYPES, options.dtype, '--dtype');
  if (options.out.trim() === '')
    throw new UserError('usage', '--out is empty; give a folder', '--out');
  const { folder: source, notes } = resolveModel(await fetchNamed(which), options.runs);
  for (const text of notes) note(`note: ${text}`);
  const out = resolve(options.out);
  const { tensors, parameters, mtp = 0, bytes, files } = await exporter({ source, out, dtype });
  if (options.json) {
    printDocument({
      schemaVersion: 1,
      format: options.to,
      source,
      out,
      dtype: options.dtype,
      tensors,
      parameters,
      bytes,
      files,
    });
    return;
  }
  print(
    `${formatCount(parameters)} parameters${mtp > 0 ? ` (${formatCount(parameters - mtp)} without the MTP module)` : ''} in ${tensors} tensors (${options.dtype}), ${formatBytes(bytes)}, written to ${options.out}`,
  );
  const where = JSON.stringify(options.out);
  if (options.to === 'gguf') return;
  print(
    `  python: ${options.to === 'peft' ? `PeftModel.from_pretrained(base, ${where})` : `AutoModelForCausalLM.from_pretrained(${where})`}`,
  );
}

/** `reckoner export [run] --to hf|gguf --out PATH [--dtype f32|bf16|f16] [--json]` */
export function exportCommand(): Command {
  const command = new Command('export')
    .description('write a model in a format that other programs read')
    .argument(
      '[run]',
      'a run (folder, name or part of its name) or a model folder; default: the newest run',
    )
    .option(
      '--to <format>',
      `the format: ${Object.keys(EXPORTERS).join(', ')} (a Hugging Face folder; an adapter; a file for llama.cpp)`,
      'hf',
    )
    .requiredOption('--out <path>', 'where to write it: a folder, or (gguf) a file')
    .option('--dtype <type>', 'numbers: f32, bf16, or (gguf) f16', 'f32')
    .option('--runs <folder>', 'where runs are', RUNS)
    .option('--json', 'print one JSON document')
    .action(exportModel);
  return withExamples(
    command,
    'reckoner export --to hf --out exported',
    'reckoner export r1-mini --dtype bf16 --out exported-bf16',
    'reckoner export tuned --to peft --out adapter',
    'reckoner export --to gguf --dtype f16 --out model.gguf',
  );
}
