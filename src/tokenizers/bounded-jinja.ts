/**
 * @file A Jinja interpreter with a budget: a chat template comes with a model, from a stranger, and
 * must end soon, in little memory, whatever it does.
 *
 * The interpreter is Hugging Face's; this one counts. Each node that is evaluated costs a unit, and
 * what a node's value is used for costs by its size: a text its length, a list that is printed,
 * filtered, compared or joined all that it holds, however often it holds the same list. So nested
 * loops, recursion, and texts and lists that double run out of units and not of time or memory. The
 * count depends on the template and the conversation alone, never on the machine. What could make
 * one large value in a single operation (`replace`, `join`, `indent`, `tojson`, `range`) is
 * estimated before it is done.
 */

import { Environment, Interpreter, type parse } from '@huggingface/jinja';
import { strftimeNow } from './strftime.js';

type Program = ReturnType<typeof parse>;
type Loose = Record<string, unknown>;
type Scope = unknown;

/** A value of the library's interpreter, by the name of its class. */
interface Value {
  type: string;
  value: unknown;
  builtins: ReadonlyMap<string, Value>;
}

/** What is overridden of the library's interpreter, which its own types keep private. */
const LibraryInterpreter = Interpreter as unknown as new (
  environment: Environment,
) => {
  run(program: Program): Value;
  evaluate(node: Loose | undefined, scope: Scope): Value;
  applyFilter(operand: Value, filter: Loose, scope: Scope): Value;
  evaluateArguments(nodes: readonly Loose[], scope: Scope): [Value[], Map<string, Value>];
};

/** A unit is a third of a microsecond or so; a conversation of 20,000 turns takes some 700,000. */
export const MOST_UNITS = 1_000_000;
/** Processor time, which does not grow where others use the machine, too. */
const MOST_MS = 1500;
const UNITS_A_LOOK = 2000;
/** Characters of a text; the largest request that `serve` takes has a million. */
const MOST_CHARACTERS = 2_000_000;
/** Characters that cost a unit. An element of a list costs one. */
const CHARACTERS_A_UNIT = 16;
/** Units of an iteration, a call, and the lookup of a name that there is not: each makes scopes. */
const SCOPE_UNITS = 8;
const MOST_NESTED = 100;
const MOST_INDENT = 64;
const MOST_RANGE = 100_000;

class OverBudget extends Error {}

/** Milliseconds of processor time; in a browser, which does not tell, of the clock. */
function processorMs(): number {
  if (typeof process.cpuUsage !== 'function') return performance.now();
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const over = (what: string): never => {
  throw new OverBudget(`it ${what}`);
};

/** `range` of Python, of at most so many numbers. */
export function boundedRange(...bounds: number[]): number[] {
  const [from, to] = bounds.length > 1 ? bounds : [0, bounds[0]];
  const step = bounds[2] ?? 1;
  const length = Math.ceil((to - from) / step);
  if (!(length <= MOST_RANGE)) throw new OverBudget(`range of ${length} numbers`);
  return Array.from({ length: Math.max(0, length) }, (_, i) => from + i * step);
}

/** Filters that take a list by reference, whatever it holds. */
const SHALLOW_FILTERS = new Set(['length', 'first', 'last', 'list', 'default', 'safe']);

const sizeOf = (value: Map<string, Value> | unknown[]): number =>
  Array.isArray(value) ? value.length : value.size;

/** Operations whose result may be much larger than what they are given. */
const GROWING = new Set(['replace', 'join', 'indent', 'tojson']);

const filterName = (filter: Loose): string =>
  String((filter.type === 'Identifier' ? filter : (filter.callee as Loose | undefined))?.value);

interface Uses {
  /** Nodes whose whole value is read by the node around them. */
  whole: Set<unknown>;
  /** Nodes over whose value a loop goes. */
  iterated: Set<unknown>;
}

function usesIn(program: Program): Uses {
  const whole = new Set<unknown>();
  const iterated = new Set<unknown>();
  const work: unknown[] = [program];
  while (work.length > 0) {
    const node = work.pop();
    if (typeof node !== 'object' || node === null) continue;
    if (Array.isArray(node)) {
      for (const child of node) work.push(child);
      continue;
    }
    if (node instanceof Map) {
      for (const [key, value] of node) work.push(key, value);
      continue;
    }
    const { type, operator, left, right, body, alternate, defaultBlock, operand, filter } =
      node as Loose;
    for (const block of [body, alternate, defaultBlock])
      if (Array.isArray(block)) for (const statement of block) whole.add(statement);
    const { object, property, args, iterable, argument } = node as Loose;
    if (type === 'For') iterated.add(iterable).add((iterable as Loose).lhs);
    if (type === 'SpreadExpression') whole.add(argument);
    if (type === 'BinaryExpression' && !['and', 'or'].includes(String((operator as Loose).value)))
      whole.add(left).add(right);
    if (type === 'FilterExpression' && !SHALLOW_FILTERS.has(filterName(filter as Loose)))
      whole.add(operand);
    if (type === 'MemberExpression' && (property as Loose).type === 'SliceExpression')
      whole.add(object);
    if (type === 'CallExpression') for (const given of args as unknown[]) whole.add(given);
    for (const child of Object.values(node)) work.push(child);
  }
  return { whole, iterated };
}

interface Weight {
  /** Values in it, each as often as it is reached. */
  values: number;
  depth: number;
}

class BoundedInterpreter extends LibraryInterpreter {
  private units = 0;
  private nextLook = UNITS_A_LOOK;
  private readonly started = processorMs();
  private readonly weights = new WeakMap<object, Weight>();
  private readonly whole: ReadonlySet<unknown>;
  private readonly iterated: ReadonlySet<unknown>;

  constructor(
    environment: Environment,
    { whole, iterated }: Uses,
    private readonly mostUnits: number,
  ) {
    super(environment);
    this.whole = whole;
    this.iterated = iterated;
  }

  private spend(units: number): void {
    this.units += units;
    if (this.units >= this.nextLook) this.look();
  }

  private look(): void {
    if (this.units > this.mostUnits) over(`takes more than ${this.mostUnits} steps`);
    if (processorMs() - this.started > MOST_MS) over(`takes longer than ${MOST_MS / 1000} s`);
    this.nextLook = Math.min(this.units + UNITS_A_LOOK, this.mostUnits + 1);
  }

  /** @throws OverBudget for a list or mapping that is too large, nested too deep, or in itself */
  private weigh(value: Value): Weight {
    const { type } = value;
    if (type === 'StringValue')
      return { values: 1 + (value.value as string).length / CHARACTERS_A_UNIT, depth: 0 };
    const list = type === 'ArrayValue' || type === 'TupleValue';
    if (!list && !(value.value instanceof Map)) return { values: 1, depth: 0 };
    const known = this.weights.get(value);
    if (known !== undefined) return known;
    const own: Weight = { values: 1, depth: 0 };
    for (const child of (value.value as Map<string, Value> | Value[]).values()) {
      // Namespaces alone can change once they are made: a list that held one could hold itself.
      if (child.type === 'NamespaceValue') over('puts a namespace into another value');
      const { values, depth } = this.weigh(child);
      own.values += values;
      own.depth = Math.max(own.depth, depth + 1);
    }
    if (own.depth > MOST_NESTED) over(`nests values more than ${MOST_NESTED} deep`);
    if (own.values > this.mostUnits) over('makes a list that is too large');
    if (type !== 'NamespaceValue') this.weights.set(value, own);
    return own;
  }

  override evaluate(node: Loose | undefined, scope: Scope): Value {
    if (++this.units >= this.nextLook) this.look();
    if (node === undefined) return super.evaluate(node, scope);
    const { type } = node;
    let value: Value;
    if (type === 'FilterExpression') value = this.filter(node, scope);
    else if (type === 'CallExpression') {
      this.units += SCOPE_UNITS;
      value = this.call(node, scope);
    } else value = super.evaluate(node, scope);
    const content = value?.value;
    if (typeof content === 'string') {
      const { length } = content;
      if (length > MOST_CHARACTERS) over(`makes a text of more than ${MOST_CHARACTERS} characters`);
      if (length >= CHARACTERS_A_UNIT) this.spend(length / CHARACTERS_A_UNIT);
    } else if (content === undefined) this.units += SCOPE_UNITS;
    else if (typeof content === 'object' && content !== null)
      this.spendOnHolder(node, value, content as Map<string, Value> | Value[]);
    if (type === 'Set') this.checkAssigned(node, scope);
    return value;
  }

  private spendOnHolder(node: Loose, value: Value, content: Map<string, Value> | Value[]): void {
    // The elements are looked at once, when the value is made.
    const { type } = node;
    if (type !== 'Identifier' && type !== 'MemberExpression' && !this.weights.has(value))
      this.spend(this.weigh(value).values);
    if (this.whole.has(node)) this.spend(this.weigh(value).values);
    if (this.iterated.has(node)) this.spend(SCOPE_UNITS * sizeOf(content));
  }

  /** A namespace may not come to hold a namespace. */
  private checkAssigned({ assignee }: Loose, scope: Scope): void {
    if ((assignee as Loose).type !== 'MemberExpression') return;
    this.weigh(this.evaluate((assignee as Loose).object as Loose, scope));
  }

  private filter(node: Loose, scope: Scope): Value {
    const operand = this.evaluate(node.operand as Loose, scope);
    const filter = node.filter as Loose;
    this.estimate(operand, filterName(filter), filter.args as Loose[] | undefined, scope);
    return this.applyFilter(operand, filter, scope);
  }

  private call(node: Loose, scope: Scope): Value {
    const callee = node.callee as Loose;
    const method = (callee.property as Loose | undefined)?.value;
    if (callee.type !== 'MemberExpression' || method !== 'replace')
      return super.evaluate(node, scope);
    const object = this.evaluate(callee.object as Loose, scope);
    const args = this.estimate(object, 'replace', node.args as Loose[], scope);
    const run = object.builtins.get('replace');
    if (run?.type !== 'FunctionValue') throw new Error('replace is a method of texts');
    return (run.value as (args: Value[], scope: Scope) => Value)(args, scope);
  }

  /**
   * The arguments of an operation whose result may be much larger than what it is given.
   * @throws OverBudget when it would be
   */
  private estimate(operand: Value, name: string, nodes: Loose[] = [], scope: Scope): Value[] {
    if (!GROWING.has(name)) return [];
    const [positional, named] = this.evaluateArguments(nodes, scope);
    const given = [...positional, ...named.values()];
    let widest = 1;
    for (const { type, value } of given) {
      if (type === 'StringValue') widest = Math.max(widest, (value as string).length);
      if (type === 'ArrayValue' || type === 'TupleValue')
        for (const part of value as Value[])
          if (part.type === 'StringValue') widest = Math.max(widest, (part.value as string).length);
      if (type === 'IntegerValue' && name !== 'replace') {
        if ((value as number) > MOST_INDENT) over(`indents by more than ${MOST_INDENT}`);
        widest = Math.max(widest, MOST_INDENT);
      }
    }
    const { values, depth } = this.weigh(operand);
    const text = operand.type === 'StringValue' ? (operand.value as string) : null;
    let places = values * (depth + 1);
    if (name === 'indent' && text !== null) places = text.split('\n').length;
    if (name === 'replace' && text !== null) {
      const old = positional[0]?.type === 'StringValue' ? (positional[0].value as string) : '';
      places = old === '' ? text.length + 1 : text.split(old).length - 1;
      widest = positional[1]?.type === 'StringValue' ? (positional[1].value as string).length : 1;
    }
    if (places * widest > MOST_CHARACTERS)
      over(`makes a text of more than ${MOST_CHARACTERS} characters`);
    this.spend(values);
    return named.size === 0 ? positional : [...positional, this.keywords(named)];
  }

  private keywords(named: Map<string, Value>): Value {
    return { type: 'KeywordArgumentsValue', value: named } as unknown as Value;
  }
}

/** What a template may call and name; `range` is bounded. */
const GLOBALS: Record<string, unknown> = {
  range: boundedRange,
  strftime_now: strftimeNow,
  raise_exception(message: unknown): never {
    throw new Error(String(message));
  },
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
};

/** @returns a function from the template's variables to its text, which throws over the budget */
export function boundedTemplate(
  program: Program,
  mostUnits: number = MOST_UNITS,
): (variables: Record<string, unknown>) => string {
  const uses = usesIn(program);
  return (variables) => {
    const environment = new Environment();
    for (const [name, value] of Object.entries({ ...GLOBALS, ...variables }))
      environment.set(name, value);
    const interpreter = new BoundedInterpreter(environment, uses, mostUnits);
    return String(interpreter.run(program).value);
  };
}
