/**
 * @file Facts for `work()` from a survey of a recipe's tasks: lengths of examples and of expected
 * completions, and the share of zero-advantage groups.
 */
import { hashString, Random } from '../base/random.js';
import type { ResolvedRecipe } from '../recipe/index.js';
import type { Facts, SamplingQuestion, Texts } from '../stages/facts.js';
import { always, type Course, meanOf, type Scenario, type Work } from '../stages/work.js';
import { type Example, readExamples, type SourceSpec } from '../training/sources.js';
import { drawLength, type Experience, type Lengths, PROGRESS, surveyLengths } from './lengths.js';

/** Seconds of a task's JavaScript, as the survey measured them. */
export type TaskSeconds = Lengths['seconds'];

/** Completions that are drawn for each part of a stage. */
const DRAWN = 256;
/** Parts of a stage that learns: its completions change on the way. */
const PARTS = 6;
/** After reinforcement learning about so many answers are right. */
const LEARNED_SHARE = 0.85;
const PROGRESS_OF: Record<Scenario, number> = {
  expected: PROGRESS.value,
  short: PROGRESS.low,
  long: PROGRESS.high,
};
/**
 * Share of completions that are already of the later kind where a model that imitates is sampled:
 * how far reinforcement learning will have come is not known either.
 */
const IMITATED_PROGRESS: Record<Scenario, number> = { expected: 0, short: 0, long: 0.1 };

/**
 * Share of later-kind completions at `x` of the stage's way: a ramp that ends where the mean over
 * the stage is `average`.
 */
const progressAt = (x: number, average: number): number =>
  average >= 1 ? 1 : Math.min(1, x / (2 * (1 - average)));

const mean = (values: readonly number[]): number =>
  values.reduce((sum, x) => sum + x, 0) / Math.max(1, values.length);

/** Looks at each of a recipe's tasks once, and remembers what the model has been through. */
export class Surveyor {
  private readonly surveys = new Map<string, Lengths>();
  private experience: Experience;

  constructor(private readonly resolved: ResolvedRecipe) {
    this.experience = resolved.recipe.init ? 'imitation' : 'none';
  }

  /** Facts of stage `i`; stages are asked in order, each followed by `after`. */
  factsOf(i: number, given: Pick<Facts, 'adapter' | 'predictsFurther'>): Facts {
    return {
      ...given,
      examples: (sources) => this.examples(i, sources),
      sampling: (question) => this.sampling(i, question),
    };
  }

  /** A stage changes what later ones can expect of the model. */
  after(works: readonly Work[], anew: boolean): void {
    if (anew) this.experience = this.resolved.recipe.init ? 'imitation' : 'none';
    for (const { loss, source } of works.flatMap(({ passes }) => passes)) {
      if (loss === 'policy') this.experience = 'reinforcement';
      else if (source !== 'stage' || this.experience === 'none') this.experience = 'imitation';
    }
  }

  /** What the task of stage `i` takes of its problems of one split. */
  seconds(i: number, evaluation: number | null): TaskSeconds {
    return this.survey(i, evaluation).seconds;
  }

  private survey(i: number, evaluation: number | null): Lengths {
    const { recipe, tasks, tokenizer } = this.resolved;
    const key = JSON.stringify([recipe.stages[i].task ?? null, evaluation]);
    return this.look(key, () =>
      surveyLengths(tasks[i], tokenizer, hashString(`${recipe.seed}:survey`), evaluation),
    );
  }

  private look(key: string, make: () => Lengths): Lengths {
    const found = this.surveys.get(key) ?? make();
    this.surveys.set(key, found);
    return found;
  }

  /** Examples of all sources, each by its weight. */
  private examples(i: number, sources: readonly SourceSpec[]): Texts {
    const parts = sources.map((source) => ({ ...this.source(i, source), weight: source.weight }));
    const total = parts.reduce((sum, { weight }) => sum + weight, 0);
    const promptTokens = parts.reduce((sum, p) => sum + (p.weight / total) * p.promptTokens, 0);
    const each =
      parts.length === 1
        ? { empirical: parts[0].completions }
        : { mixture: parts.map((p) => ({ weight: p.weight, of: { empirical: p.completions } })) };
    return { promptTokens, completionTokens: { mean: meanOf(each), each: always(each) } };
  }

  private source(
    i: number,
    { from, data, task }: SourceSpec,
  ): { promptTokens: number; completions: number[] } {
    if (data !== undefined) return this.file(data, this.resolved.models[i].max_position_embeddings);
    const { recipe, tokenizer, taskOf } = this.resolved;
    const lengths =
      task === undefined
        ? this.survey(i, null)
        : this.look(JSON.stringify(['source', task]), () =>
            surveyLengths(taskOf(task), tokenizer, hashString(`${recipe.seed}:survey`), null),
          );
    const { promptTokens, right, imitated } = lengths;
    return { promptTokens, completions: from === undefined ? imitated : right };
  }

  /** Lengths of a file's examples; a longer one is read in windows of the model's positions. */
  private file(path: string, positions: number): { promptTokens: number; completions: number[] } {
    const { tokenizer } = this.resolved;
    const count = (text: string): number => tokenizer.encode(text).length;
    const promptOf = ({ prompt, before = [] }: Example): number =>
      before.reduce(
        (sum, turn) => sum + tokenizer.prompt(turn.prompt).length + count(turn.completion) + 1,
        tokenizer.prompt(prompt).length,
      );
    const examples = readExamples(path);
    const prompts = examples.map(promptOf);
    const completions = examples.map(({ completion }, n) =>
      Math.max(1, Math.min(count(completion) + 1, positions + 1 - prompts[n])),
    );
    return { promptTokens: mean(prompts), completions };
  }

  private sampling(i: number, question: SamplingQuestion): ReturnType<Facts['sampling']> {
    const { maxTokens, limit = () => maxTokens, learns, evaluation } = question;
    const { recipe, tokenizer } = this.resolved;
    const lengths = this.survey(i, evaluation);
    const { experience } = this;
    const parts = learns ? PARTS : 1;
    const shareOf = (scenario: Scenario, x: number): number =>
      learns
        ? progressAt(x, PROGRESS_OF[scenario])
        : experience === 'imitation'
          ? IMITATED_PROGRESS[scenario]
          : 0;
    const course = <T>(make: (scenario: Scenario, x: number) => T): Course<T> => {
      const all = (scenario: Scenario): T[] =>
        Array.from({ length: parts }, (_, part) => make(scenario, (part + 0.5) / parts));
      return { expected: all('expected'), short: all('short'), long: all('long') };
    };
    const each = course((scenario, x) => {
      const random = new Random(
        recipe.seed,
        'plan',
        recipe.stages[i].id,
        scenario,
        Math.round(99 * x),
      );
      const limits = { maxTokens: limit(x), vocabulary: tokenizer.vocabularySize };
      const share = shareOf(scenario, x);
      const empirical = Array.from({ length: DRAWN }, () =>
        drawLength(lengths, experience, share, limits, random),
      );
      return { empirical };
    });
    const means = (['short', 'expected', 'long'] as const).map((scenario) =>
      mean(each[scenario].map((one) => meanOf(one))),
    );
    const interval = { low: Math.min(...means), value: means[1], high: Math.max(...means) };
    return {
      promptTokens: lengths.promptTokens,
      completionTokens: { mean: interval, each },
      zeroAdvantage: (samples) =>
        course((scenario, x) => {
          const share = learns ? shareOf(scenario, x) : 0;
          const p = share * LEARNED_SHARE + (1 - share) * lengths.rightShare;
          return p ** samples + (1 - p) ** samples;
        }),
    };
  }
}
