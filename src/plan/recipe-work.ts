/**
 * @file What a recipe has to do, in tokens, as plain data: the work of its stages, the models that
 * it is of, and the recipe's own numerics. Both planners price this; a browser can be handed it.
 */
import { type Architecture, architectureOf, familyOf } from '../architecture/index.js';
import { demandGrant } from '../base/grants.js';
import { configOf } from '../checkpoints/load-model.js';
import { resolveModel } from '../checkpoints/run-folder.js';
import { type ModelConfig, parametersOf, parseModelConfig, planAdapter } from '../models/index.js';
import { isTrainable, type Recipe, type ResolvedRecipe, resolveRecipe } from '../recipe/index.js';
import { factsOfHints } from '../stages/facts.js';
import { kindOf, type StageSpec, teacherOf } from '../stages/index.js';
import type { WorkModels } from '../stages/totals.js';
import type { Work } from '../stages/work.js';
import { sizeOf } from '../tensor/backend.js';
import { Surveyor, type TaskSeconds } from './facts.js';

/** A stage of a recipe, in tokens. */
export interface StageWork {
  id: string;
  kind: StageSpec['kind'];
  /** True when the stage changes weights. */
  trains: boolean;
  works: readonly Work[];
  models: WorkModels;
}

export interface RecipeWork {
  name: string;
  /** Of the recipe's own model. */
  architecture: Architecture;
  adapter: boolean;
  /** As the recipe says it; absent where it says nothing. */
  numerics: Recipe['plan'];
  stages: StageWork[];
  published: readonly { what: string; stages: string[]; gpuHours: number; source: string }[];
}

/** What a stage's task takes on this machine, beside its work. */
export interface SurveyedWork extends RecipeWork {
  /** One a stage. */
  seconds: TaskSeconds[];
  /** Configurations of the stages' models, and of the models that they imitate. */
  configs: { stage: ModelConfig; teacher: object | null }[];
}

/** Parameters of the recipe's adapter; undefined where there is none. */
function adapterParameters({ recipe, models }: ResolvedRecipe): number | undefined {
  if (!recipe.adapter) return undefined;
  const { specs } = planAdapter(parametersOf(models[0]), recipe.adapter);
  return specs.reduce((sum, spec) => sum + sizeOf(spec), 0);
}

/** The same where the model cannot run here: 0 for a family that has no parameters here. */
function adapterOfConfig({ adapter, model }: Recipe): number | undefined {
  if (!adapter) return undefined;
  const { model_type } = model as { model_type?: unknown };
  if (familyOf(String(model_type))?.engine === undefined) return 0;
  const { specs } = planAdapter(parametersOf(parseModelConfig(model, 'model')), adapter);
  return specs.reduce((sum, spec) => sum + sizeOf(spec), 0);
}

/** The work of a recipe that can run here. @throws UserError */
export function surveyRecipe(resolved: ResolvedRecipe): SurveyedWork {
  const { recipe, models } = resolved;
  const surveyor = new Surveyor(resolved);
  const adapted = adapterParameters(resolved);
  const seconds: TaskSeconds[] = [];
  const configs: SurveyedWork['configs'] = [];
  const architecture = architectureOf(recipe.model, recipe.name);
  // Stages of one model share its architecture, under the name of the first of them.
  const known = new Map([[JSON.stringify(recipe.model), architecture]]);
  const named = (config: object, name: string): Architecture => {
    const key = JSON.stringify(config);
    const found = known.get(key) ?? architectureOf(config, name);
    known.set(key, found);
    return found;
  };
  const stages = recipe.stages.map((stage, i): StageWork => {
    const kind = kindOf(stage);
    const teacher = teacherOf(recipe.stages, i);
    const config = teacher === null ? null : configNamed(teacher, recipe.stages, models);
    configs.push({ stage: models[i], teacher: config });
    const given = {
      adapter: recipe.adapter !== undefined,
      predictsFurther: Boolean(models[i].num_nextn_predict_layers),
    };
    const facts = factsOfHints(stage.plan ?? {}, given, surveyor.factsOf(i, given));
    const works = kind.work(stage, facts);
    surveyor.after(works, stage.model !== undefined || stage.init !== undefined);
    seconds.push(surveyor.seconds(i, kind.evaluates?.(stage) ?? null));
    const { id, kind: name } = stage;
    const architectures = {
      stage: named(models[i], `${recipe.name} ${id}`),
      ...(config === null ? {} : { teacher: named(config, teacher as string) }),
    };
    const made = { architectures, adapterParameters: adapted };
    return { id, kind: name, trains: kind.trains, works, models: made };
  });
  return { ...frameOf(recipe), architecture, stages, seconds, configs };
}

/** The work of any recipe, with what its stages say where its data is not here. @throws UserError */
export function recipeWork(recipe: Recipe): RecipeWork {
  if (isTrainable(recipe)) {
    const { seconds: _, configs: __, ...work } = surveyRecipe(resolveRecipe(recipe));
    return work;
  }
  const architecture = architectureOf(recipe.model, recipe.name);
  const adapted = adapterOfConfig(recipe);
  const own: Architecture[] = [];
  const stages = recipe.stages.map((stage, i): StageWork => {
    const { id, kind, plan = {} } = stage;
    own.push(
      stage.model === undefined
        ? (own[i - 1] ?? architecture)
        : architectureOf(stage.model, `${recipe.name} ${id}`),
    );
    const teacher = teacherOf(recipe.stages, i);
    const at = recipe.stages.findIndex((other) => other.id === teacher);
    const architectures = {
      stage: own[i],
      ...(teacher === null
        ? {}
        : { teacher: at >= 0 ? own[at] : architectureOf(configAt(teacher), teacher) }),
    };
    const facts = factsOfHints(plan, {
      adapter: recipe.adapter !== undefined,
      predictsFurther: own[i].mtpLayers > 0,
    });
    const { trains, work } = kindOf(stage);
    const works = work(stage, facts);
    return { id, kind, trains, works, models: { architectures, adapterParameters: adapted } };
  });
  return { ...frameOf(recipe), architecture, stages };
}

const frameOf = ({ name, adapter, plan, published = [] }: Recipe) => ({
  name,
  adapter: adapter !== undefined,
  numerics: plan,
  published,
});

/** The configuration of a model by the id of a stage, or of a run's or a folder's. */
function configNamed(
  from: string,
  stages: readonly StageSpec[],
  models: readonly ModelConfig[],
): object {
  const at = stages.findIndex(({ id }) => id === from);
  return at >= 0 ? models[at] : configAt(from);
}

function configAt(from: string): object {
  demandGrant(from, 'teacher');
  return configOf(resolveModel(from).folder);
}
