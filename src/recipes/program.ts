/**
 * @file The program that every rank runs: the stages of a recipe, one after the other.
 *
 * All ranks take the same path through this file; what differs is which slots of a batch a stage gives them. Rank 0 alone
 * speaks: it sends events, and writes snapshots and the final model.
 */
import { join } from 'node:path';
import { UserError } from '../base/errors.js';
import { faultPoint } from '../base/faults.js';
import { hashOf } from '../base/files.js';
import { loadHuggingFace, saveHuggingFace } from '../checkpoints/hugging-face.js';
import { resolveModel } from '../checkpoints/run-folder.js';
import type { NamedTensor } from '../checkpoints/safetensors.js';
import {
  loadSnapshot,
  pruneSnapshots,
  type Snapshot,
  type SnapshotState,
  saveSnapshot,
  snapshotName,
} from '../checkpoints/snapshot.js';
import { loadParameters } from '../inference/open.js';
import {
  architectureOf,
  createModel,
  explicitConfig,
  type Model,
  type ModelConfig,
  parseModelConfig,
  ropeThetaOf,
} from '../models/index.js';
import type { Backend, Tensor } from '../tensor/backend.js';
import { tokenizerFiles } from '../tokenizers/character.js';
import type { Tokenizer } from '../tokenizers/tokenizer.js';
import type { Stage, StageContext } from '../training/stage.js';
import type { StopReason } from '../usage/events.js';
import { calibrateRank } from './calibrate.js';
import { divergence, unsound } from './divergence.js';
import { type FromRank, type RankJob, STOP_REQUESTS } from './messages.js';
import { type ResolvedRecipe, resolveRecipe } from './schema.js';
import { createStage } from './stages.js';

export interface Outcome {
  reason: StopReason;
  /** Global steps done. */
  step: number;
  message?: string;
}

/** A rank's line to the main thread. */
export interface Line {
  send(message: FromRank): void;
  /** Resolves when everything sent so far is on disk. */
  flush(): Promise<void>;
}

const silent: Line = { send: () => {}, flush: async () => {} };

async function toHost(backend: Backend, tensors: readonly { name: string; tensor: Tensor }[]): Promise<NamedTensor[]> {
  const out: NamedTensor[] = [];
  for (const { name, tensor } of tensors) {
    out.push({ name, shape: tensor.shape, data: Float32Array.from(await backend.read(tensor)) });
  }
  return out;
}

/** The parameters as a checkpoint names them, sorted by name so that files do not depend on memory layout. */
function weightsOf(model: Model): { name: string; tensor: Tensor }[] {
  return model.store.parameters.map((p) => ({ name: p.spec.name, tensor: p.value })).sort((a, b) => (a.name < b.name ? -1 : 1));
}

function restore(
  backend: Backend,
  into: readonly { name: string; tensor: Tensor }[],
  from: readonly NamedTensor[],
  what: string,
): void {
  const byName = new Map(from.map((t) => [t.name, t]));
  for (const { name, tensor } of into) {
    const saved = byName.get(name);
    if (!saved || saved.shape.join() !== tensor.shape.join()) {
      throw new UserError('data', `${what}: ${name} is missing or has another shape; the checkpoint is of another recipe`);
    }
    backend.write(tensor, saved.data);
  }
}

/** The fields that say what is computed, with defaults filled in; layers and widths show in the tensors' shapes. */
function computationOf(config: ModelConfig): Record<string, unknown> {
  const { model_type, num_attention_heads, num_key_value_heads, head_dim, rms_norm_eps, tie_word_embeddings } =
    explicitConfig(config);
  const heads = { num_attention_heads, num_key_value_heads, head_dim };
  return { model_type, ...heads, rms_norm_eps, rope_theta: ropeThetaOf(config), tie_word_embeddings };
}

/** Starts from the weights of a run or a model folder. @throws UserError (data) when it is another kind of model */
function loadInitialWeights(backend: Backend, model: Model, tokenizer: Tokenizer, from: string): void {
  const loaded = loadHuggingFace(resolveModel(from).folder);
  try {
    if (hashOf(loaded.tokenizerJson) !== hashOf(tokenizer.toJSON())) {
      throw new UserError('data', `init.from: ${loaded.folder} has another vocabulary than the recipe's tasks`, 'init.from');
    }
    // Weights of one shape may belong to models that compute something else with them.
    const theirs = computationOf(parseModelConfig(loaded.config, join(loaded.folder, 'config.json')));
    for (const [field, value] of Object.entries(computationOf(model.config))) {
      if (value === theirs[field]) continue;
      const message = `init.from: ${loaded.folder} has ${field} ${theirs[field]}, and the recipe's model ${value}; make them equal`;
      throw new UserError('data', message, `model.${field}`);
    }
    loadParameters(backend, model, loaded);
  } finally {
    loaded.tensors.close();
  }
}

/**
 * Runs the recipe from the start or from a snapshot. Returns why it stopped; throws UserError for what a person can mend.
 */
export async function runProgram(job: RankJob, backend: Backend, line: Line): Promise<Outcome> {
  const { rank } = backend.ranks;
  const lead = rank === 0;
  const { send, flush } = lead ? line : silent;
  if (job.calibrate) {
    send({ kind: 'calibrated', calibration: await calibrateRank(backend, job.calibrate) });
    // The plan is on disk before the work begins that it is about.
    await flush();
  }
  const resolved = resolveRecipe(job.recipe);
  const { recipe } = resolved;
  const model = createModel(backend, parseModelConfig(recipe.model, 'recipe'));
  const checkpoints = join(job.runFolder, 'checkpoints');
  const control = new Int32Array(job.control);

  let snapshot: Snapshot | null = job.resumeFrom === null ? null : loadSnapshot(job.resumeFrom);
  if (lead) {
    if (snapshot) restore(backend, weightsOf(model), snapshot.read('weights'), snapshot.folder);
    else if (recipe.init) loadInitialWeights(backend, model, resolved.tokenizer, recipe.init.from);
    else model.store.initialize(recipe.seed);
  }
  await backend.ranks.barrier();

  let step = snapshot?.state.step ?? 0;
  const firstStage = snapshot?.state.stageIndex ?? 0;
  send({ kind: 'ready' });

  /** Saves everything needed to go on at (stageIndex, stageStep). Rank 0 writes; the others wait. */
  async function save(stageIndex: number, stageStep: number, stage: Stage | null): Promise<string | null> {
    let bad: string | null = null;
    if (lead) {
      const weights = await toHost(backend, weightsOf(model));
      const optimizer = stage ? await toHost(backend, stage.state) : [];
      bad = unsound(weights, optimizer);
      if (!bad) {
        await flush();
        const state: SnapshotState = { ...job.foundation, step, stageIndex, stageStep, attempt: job.attempt };
        const folder = join(checkpoints, snapshotName(step));
        const tensors = { weights, ...(stage ? { optimizer } : {}) };
        const written = await saveSnapshot(folder, { state, tensors, json: modelFiles(model, resolved) });
        pruneSnapshots(checkpoints, recipe.checkpoints.keep, step);
        send({ kind: 'stored', bytes: written.bytes });
        const path = `checkpoints/${snapshotName(step)}`;
        send({ kind: 'event', event: { type: 'checkpoint', step, path, bytes: written.bytes, sha256: written.sha256 } });
      }
    }
    const [failed] = await backend.ranks.sum([bad ? 1 : 0]);
    return failed > 0 ? (bad ?? 'the weights are unsound') : null;
  }

  for (let stageIndex = firstStage; stageIndex < recipe.stages.length; stageIndex++) {
    const spec = recipe.stages[stageIndex];
    const mark = backend.mark();
    const context: StageContext = {
      backend,
      model,
      tokenizer: resolved.tokenizer,
      task: resolved.tasks[stageIndex],
      stage: spec.id,
      seed: recipe.seed,
      microBatchTokens: recipe.microBatchTokens,
      dataFolder: join(job.runFolder, 'data'),
    };
    const stage = createStage(context, spec);
    let stageStep = 0;
    if (snapshot && stageIndex === firstStage && snapshot.state.stageStep > 0) {
      stageStep = snapshot.state.stageStep;
      if (lead) restore(backend, stage.state, snapshot.read('optimizer'), snapshot.folder);
    }
    snapshot = null;
    await backend.ranks.barrier();
    send({ kind: 'at', stage: spec.id, purpose: stage.purpose });
    send({ kind: 'event', event: { type: 'stage-started', step, stage: spec.id, kind: spec.kind, steps: stage.steps } });

    while (stageStep < stage.steps) {
      const started = performance.now();
      faultPoint('step.before');
      const result = await stage.step(stageStep + 1);
      faultPoint('step.after');
      stageStep++;
      step++;
      const seconds = (performance.now() - started) / 1000;
      const { tokensIn, tokensOut, modelFlops, values, samples, evaluation } = result;
      send({ kind: 'spent', step, tokensIn, tokensOut, modelFlops });
      const diverged = divergence(values, model.config.vocab_size);
      const finite = Object.fromEntries(Object.entries(values).filter(([, value]) => Number.isFinite(value)));
      const logged = { ...finite, seconds, tokensPerSecond: (tokensIn + tokensOut) / seconds };
      const at = { step, stage: spec.id, kind: spec.kind };
      send({ kind: 'event', event: { type: 'metrics', ...at, stageStep, values: logged } });
      if (samples?.length) send({ kind: 'samples', stage: spec.id, step, samples });
      if (evaluation) {
        const { task, results } = evaluation;
        send({ kind: 'event', event: { type: 'evaluation', step, stage: spec.id, task, label: spec.id, results } });
      }
      if (diverged) return { reason: 'diverged', step, message: `stage ${spec.id}, step ${stageStep}: ${diverged}` };

      const [stop] = await backend.ranks.sum([lead ? Atomics.load(control, 0) : 0]);
      const last = stageStep === stage.steps;
      const due = stage.resumable && (stageStep % recipe.checkpoints.every === 0 || stop !== 0);
      if (!last && due) {
        const bad = await save(stageIndex, stageStep, stage);
        if (bad) return { reason: 'diverged', step, message: `stage ${spec.id}, step ${stageStep}: ${bad}` };
      }
      if (stop !== 0 && !last) return { reason: STOP_REQUESTS[stop] ?? 'interrupted', step };
    }

    await stage.finish?.();
    const bad = await save(stageIndex + 1, 0, null);
    if (bad) return { reason: 'diverged', step, message: `stage ${spec.id}, step ${stageStep}: ${bad}` };
    send({ kind: 'event', event: { type: 'stage-ended', step, stage: spec.id, kind: spec.kind } });
    send({ kind: 'memory', ...backend.memory() });
    model.store.detachGradients();
    backend.release(mark);
    const [stop] = await backend.ranks.sum([lead ? Atomics.load(control, 0) : 0]);
    if (stop !== 0 && stageIndex + 1 < recipe.stages.length) return { reason: STOP_REQUESTS[stop] ?? 'interrupted', step };
  }

  send({ kind: 'at', stage: 'finish', purpose: 'overhead' });
  if (lead) send({ kind: 'stored', bytes: await saveModel(job, backend, model, resolved) });
  await backend.ranks.barrier();
  return { reason: 'completed', step };
}

/** Configuration and tokenizer, so that a snapshot, too, can be talked to and exported. */
function modelFiles(model: Model, { recipe, tokenizer }: ResolvedRecipe) {
  const config: Record<string, unknown> = {
    ...explicitConfig(model.config),
    architectures: [architectureOf(model.config)],
    bos_token_id: tokenizer.special.bos,
    eos_token_id: tokenizer.special.eos,
    pad_token_id: tokenizer.special.pad,
    torch_dtype: 'float32',
    // What the model was trained on, so that `chat` and `eval` know its prompts without the run.
    reckoner: { recipe: recipe.name, task: recipe.task },
  };
  const { tokenizer: json, tokenizerConfig, specialTokensMap } = tokenizerFiles(tokenizer);
  return {
    'config.json': config,
    'tokenizer.json': json,
    'tokenizer_config.json': tokenizerConfig,
    'special_tokens_map.json': specialTokensMap,
  };
}

/** Writes the result as a Hugging Face folder. Returns its size in bytes. */
async function saveModel(job: RankJob, backend: Backend, model: Model, resolved: ResolvedRecipe): Promise<number> {
  const { bytes } = await saveHuggingFace(join(job.runFolder, 'model'), {
    config: modelFiles(model, resolved)['config.json'],
    tensors: await toHost(backend, weightsOf(model)),
    ...tokenizerFiles(resolved.tokenizer),
    dtype: 'F32',
  });
  return bytes;
}
