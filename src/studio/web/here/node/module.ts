/**
 * @file The part of `node:module` that the interpreter uses: a page has no packages to require, so
 * no BLAS either.
 */
export const createRequire = (_from: string) => {
  const require = (name: string): never => {
    throw new Error(`${name} cannot be loaded in a page`);
  };
  return Object.assign(require, { resolve: require });
};
