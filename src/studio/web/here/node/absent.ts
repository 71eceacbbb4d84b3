/** @file Packages that a page goes without: users' modules, and recipes in YAML. */
const absent = (what: string) => (): never => {
  throw new Error(`a page cannot read ${what}`);
};

export const createJiti = absent('modules');
export const parse = absent('YAML');
