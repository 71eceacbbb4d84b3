/**
 * @file An evaluation from beginning to end: of a model here or of an endpoint, gone on with where a file of transcripts has begun.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../base/errors.js';
import { hashOf, sha256File } from '../base/files.js';
import type { OpenModel } from '../inference/open.js';
import { createStopwatch } from '../inference/stopwatch.js';
import { evaluationProblems } from '../tasks/dataset.js';
import type { Problem, Task } from '../tasks/task.js';
import { askQuestions } from './ask.js';
import { createEndpoint, type Endpoint, type EndpointOptions } from './endpoint.js';
import { answerProblems } from './evaluate.js';
import type { Asked } from './questions.js';
import { openTranscripts, type Transcript, type TranscriptHeader } from './transcripts.js';

export interface Progress {
  /** Called as completions come, with all that there are. */
  show(transcripts: readonly Transcript[], total: number): void;
}

/** Problems when nobody says otherwise; fewer where a file has fewer. */
export const DEFAULT_PROBLEMS = 1000;

/** @throws UserError (usage) when there are fewer */
export function chooseProblems(task: Task, seed: number, count: number | undefined): Problem[] {
  const listed = task.listed?.('evaluation').length ?? Number.POSITIVE_INFINITY;
  return evaluationProblems(task, seed, count ?? Math.min(DEFAULT_PROBLEMS, listed));
}

export const problemsHash = (problems: readonly Problem[]): string => hashOf(problems.map(({ key, prompt }) => [key, prompt]));

/** A hash of the weights in a folder: two models of one name have each their own transcripts. */
export function weightsHash(folder: string): string {
  const names = readdirSync(folder).filter((name) => /\.(safetensors|gguf)$/.test(name));
  return hashOf(names.sort().map((name) => [name, sha256File(join(folder, name)).sha256]));
}

/** Where transcripts are kept unless the user says otherwise. */
export function transcriptsPath(runs: string, header: TranscriptHeader): string {
  const slug = (text: string): string =>
    text
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-+|-+$/g, '')
      .slice(-40);
  return join(runs, 'evaluations', `${slug(header.model)}-${slug(header.task)}-${hashOf(header).slice(0, 8)}.jsonl`);
}

interface Run {
  file: string;
  header: TranscriptHeader;
  task: Task;
  problems: readonly Problem[];
  progress?: Progress;
}

/** Opens the file, and hands each transcript on to it and to whoever watches. */
function openRun({ file, header, progress }: Run) {
  const transcripts = openTranscripts(file, header);
  const all = [...transcripts.found];
  const total = header.problems * (header.samples + (header.greedy ? 1 : 0));
  const have = new Set(all.map(({ problem, sample }) => `${problem}/${sample}`));
  progress?.show(all, total);
  return {
    all,
    has: (problem: number, sample: number | null) => have.has(`${problem}/${sample}`),
    add(transcript: Transcript): void {
      const key = `${transcript.problem}/${transcript.sample}`;
      if (have.has(key)) return;
      have.add(key);
      transcripts.append(transcript);
      all.push(transcript);
      progress?.show(all, total);
    },
    close: () => transcripts.close(),
  };
}

const samplesOf = ({ samples, greedy }: TranscriptHeader): (number | null)[] => [
  ...Array.from({ length: samples }, (_, i) => i),
  ...(greedy ? [null] : []),
];

/** Of a model here, on one core. @returns all transcripts */
export async function evaluateHere(opened: OpenModel, run: Run & { maxTokens: number }): Promise<Transcript[]> {
  const { header, task, problems, maxTokens } = run;
  const { samples, temperature, greedy, seed } = header;
  const record = openRun(run);
  try {
    const left = problems.map((_, i) => i).filter((i) => samplesOf(header).some((sample) => !record.has(i, sample)));
    if (left.length === 0) return record.all;
    const stopwatch = createStopwatch();
    let before = { seconds: 0, usd: 0 };
    await answerProblems({ ...opened, task, seed }, problems, left, {
      samples,
      temperature,
      greedy,
      maxTokens,
      onTranscript(transcript) {
        // What went by since the one before is this one's: the sum is what all took.
        const now = stopwatch.read();
        record.add({ ...transcript, seconds: now.seconds - before.seconds, usd: now.usd - before.usd });
        before = now;
      },
    });
    return record.all;
  } finally {
    record.close();
  }
}

export interface EndpointRun extends Run {
  endpoint: Endpoint;
  parallel: number;
}

/** Of an endpoint. @returns all transcripts */
export async function evaluateEndpoint(run: EndpointRun): Promise<Transcript[]> {
  const { header, task, problems, endpoint, parallel, file } = run;
  const { request, seed, temperature, model, maxTokens } = header;
  const asked: Asked = { api: request?.api ?? 'chat', instruction: request?.instruction ?? null, model, maxTokens };
  const record = openRun(run);
  const total = problems.length * samplesOf(header).length;
  try {
    const questions = problems.flatMap((_, problem) =>
      samplesOf(header)
        .filter((sample) => !record.has(problem, sample))
        .map((sample) => ({ problem, sample })),
    );
    await askQuestions(questions, { endpoint, asked, task, problems, seed, temperature, parallel, onTranscript: record.add });
    return record.all;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const goOn = `${record.all.length} of ${total} answers are in ${file}; the same command goes on`;
    throw new UserError(error.code, `${error.message}; ${goOn}`, error.field);
  } finally {
    record.close();
  }
}

export { createEndpoint, type EndpointOptions };
