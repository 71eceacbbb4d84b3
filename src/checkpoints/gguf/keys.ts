/**
 * @file The keys of a GGUF file's architecture, each read as what it must be.
 */
import { UserError } from '../../base/errors.js';
import { show } from '../safetensors.js';
import type { GgufFile } from './read.js';

export class Keys {
  readonly architecture: string;
  readonly fail: (why: string) => never;

  constructor(private readonly file: Pick<GgufFile, 'path' | 'keys'>) {
    this.fail = (why) => {
      throw new UserError('data', `${file.path} cannot be loaded: ${why}`, file.path);
    };
    const architecture = file.keys.get('general.architecture');
    if (typeof architecture !== 'string') this.fail('it has no general.architecture');
    this.architecture = architecture as string;
  }

  private find(name: string): { key: string; value: unknown } {
    const key = `${this.architecture}.${name}`;
    return { key, value: this.file.keys.get(key) };
  }

  /** A finite number. @throws UserError (data), also when the key is missing */
  number(name: string): number {
    const { key, value } = this.find(name);
    if (value === undefined) this.fail(`it has no ${key}`);
    if (Array.isArray(value)) this.fail(`its ${key} differs from layer to layer`);
    if (typeof value !== 'number' || !Number.isFinite(value))
      return this.fail(`its ${key} is ${show(value)}`);
    return value;
  }

  numberOr(name: string, fallback: number): number {
    return this.find(name).value === undefined ? fallback : this.number(name);
  }

  /** A whole number above 0. */
  size(name: string): number {
    const value = this.number(name);
    if (!Number.isSafeInteger(value) || value < 1)
      this.fail(`its ${this.find(name).key} is ${show(value)}`);
    return value;
  }

  sizeOr(name: string, fallback: number): number {
    return this.find(name).value === undefined ? fallback : this.size(name);
  }

  textOr(name: string, fallback: string): string {
    const { key, value } = this.find(name);
    if (value === undefined) return fallback;
    return typeof value === 'string' ? value : this.fail(`its ${key} is ${show(value)}`);
  }
}
