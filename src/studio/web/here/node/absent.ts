/**
 * @file Packages that a page goes without: users' modules, recipes in YAML, and WebGPU for Node.
 */
const absent = (what: string) => (): never => {
  throw new Error(`a page cannot read ${what}`);
};

export const createJiti = absent('modules');
export const parseDocument = absent('YAML');
export const isScalar = absent('YAML');
export const visit = absent('YAML');
export class LineCounter {}
export const create = absent('WebGPU from a package');
