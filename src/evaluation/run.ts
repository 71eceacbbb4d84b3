/**
 * @file An evaluation and its file of transcripts, resumed where the file ends; and that
 * of an endpoint from beginning to end. That of a model here is in here.ts.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../base/errors.js';
import { hashOf, sha256File } from '../base/files.js';
import { fileWithin } from '../base/regular.js';
import { evaluationProblems } from '../tasks/dataset.js';
import type { Problem, Task } from '../tasks/task.js';
import { askQuestions } from './ask.js';
import { createEndpoint, type Endpoint, type EndpointOptions } from './endpoint.js';
import { usdOf } from './price.js';
import type { Asked } from './questions.js';
import { openTranscripts, type Transcript, type TranscriptHeader } from './transcripts.js';

export interface Progress {
  /** Called as completions come, with all that there are. */
  show(transcripts: readonly Transcript[], total: number): void;
}

/** Default number of problems; fewer where a file has fewer. */
export const DEFAULT_PROBLEMS = 1000;

/** @throws UserError (usage) when there are fewer */
export function chooseProblems(task: Task, seed: number, count: number | undefined): Problem[] {
  const listed = task.listed?.('evaluation').length ?? Number.POSITIVE_INFINITY;
  return evaluationProblems(task, seed, count ?? Math.min(DEFAULT_PROBLEMS, listed));
}

export const problemsHash = (problems: readonly Problem[]): string =>
  hashOf(
    problems.map(({ key, prompt, prompting }) =>
      prompting === undefined ? [key, prompt] : [key, prompt, prompting],
    ),
  );

/** A hash of the weights in a folder: two models of one name have each their own transcripts. */
export function weightsHash(folder: string): string {
  const names = readdirSync(folder).filter((name) => /\.(safetensors|gguf)$/.test(name));
  return hashOf(names.sort().map((name) => [name, sha256File(fileWithin(folder, name)).sha256]));
}

/** Where transcripts are kept unless the user says otherwise. */
export function transcriptsPath(runs: string, header: TranscriptHeader): string {
  const slug = (text: string): string =>
    text
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-+|-+$/g, '')
      .slice(-40);
  return join(
    runs,
    'evaluations',
    `${slug(header.model)}-${slug(header.task)}-${hashOf(header).slice(0, 8)}.jsonl`,
  );
}

/** An evaluation and the file of its transcripts. */
export interface EvaluationRun {
  file: string;
  header: TranscriptHeader;
  task: Task;
  problems: readonly Problem[];
  progress?: Progress;
}

export const samplesOf = ({
  samples,
  greedy,
}: Pick<TranscriptHeader, 'samples' | 'greedy'>): (number | null)[] => [
  ...Array.from({ length: samples }, (_, i) => i),
  ...(greedy ? [null] : []),
];

/** Answers of a whole evaluation. */
export const answersOf = (header: TranscriptHeader): number =>
  header.problems * samplesOf(header).length;

/** Opens the file, and passes each transcript to it and to the observer. */
export function openRun({
  file,
  header,
  progress,
}: Pick<EvaluationRun, 'file' | 'header' | 'progress'>) {
  const transcripts = openTranscripts(file, header);
  const all = [...transcripts.found];
  const total = answersOf(header);
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

/** An error that says how many answers there are, and how to go on. */
export function sayHowFar(
  error: unknown,
  { file, header }: Pick<EvaluationRun, 'file' | 'header'>,
  answers: number,
): unknown {
  if (!(error instanceof UserError)) return error;
  const goOn = `${answers} of ${answersOf(header)} answers are in ${file}; the same command goes on`;
  return new UserError(error.code, `${error.message}; ${goOn}`, error.field);
}

export interface EndpointRun extends EvaluationRun {
  endpoint: Endpoint;
  parallel: number;
  /** The server is Reckoner's own. */
  own?: boolean;
  /** Ask nothing more that would take the dollars of all transcripts beyond this. */
  maxUsd?: number;
}

/**
 * Of an endpoint. @returns all transcripts; not every question may have been asked where `maxUsd`
 * was reached
 */
export async function evaluateEndpoint(run: EndpointRun): Promise<Transcript[]> {
  const { header, task, problems, endpoint, parallel, maxUsd } = run;
  const { request, seed, temperature, model, maxTokens, pricing } = header;
  const asked: Asked = {
    api: request?.api ?? 'chat',
    model,
    maxTokens,
    own: run.own,
  };
  const record = openRun(run);
  try {
    const questions = problems.flatMap((_, problem) =>
      samplesOf(header)
        .filter((sample) => !record.has(problem, sample))
        .map((sample) => ({ problem, sample })),
    );
    const mayAsk =
      maxUsd === undefined ? undefined : createBudget(maxUsd, () => record.all, pricing);
    await askQuestions(questions, {
      endpoint,
      asked,
      task,
      problems,
      seed,
      temperature,
      parallel,
      mayAsk,
      onTranscript: record.add,
    });
    return record.all;
  } catch (error) {
    throw sayHowFar(error, run, record.all.length);
  } finally {
    record.close();
  }
}

/**
 * Whether one more question fits a budget when each that is still open costs what the answers so
 * far cost on average.
 * @throws UserError (usage) when the cost of an answer is unknown
 */
function createBudget(
  maxUsd: number,
  all: () => readonly Transcript[],
  pricing: TranscriptHeader['pricing'],
) {
  let counted = 0;
  let usd = 0;
  return (open: number): boolean => {
    const transcripts = all();
    for (; counted < transcripts.length; counted++) {
      const own = usdOf(transcripts[counted], pricing);
      if (own === null) {
        const message =
          'the endpoint does not say what its answers cost, so --max-usd cannot be kept to; give prices with --usd-per-mtok';
        throw new UserError('usage', message, '--max-usd');
      }
      usd += own;
    }
    const mean = counted === 0 ? 0 : usd / counted;
    return usd < maxUsd && usd + (open + 1) * mean <= maxUsd;
  };
}

export { createEndpoint, type EndpointOptions };
