/**
 * @file Names of LaTeX commands and Unicode characters that answers are written with, and what each
 * stands for.
 */

export const FUNCTIONS = new Set(
  `sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh coth arcsinh arccosh arctanh
   asin acos atan ln log lg exp det gcd lcm max min arg Re Im deg`.split(/\s+/),
);

/** Commands that change the look of what follows, and nothing else. */
export const IGNORED = new Set(
  `left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr displaystyle textstyle scriptstyle
   limits nolimits mathbf mathit mathsf mathcal boldsymbol bm pmb mathopen mathclose mathstrut
   checkmark qed blacksquare square Box phantom hfill centering large Large normalsize small tiny bf
   it color textcolor middle mathbin mathrel mathord strut nobreak underline boxed fbox`.split(
    /\s+/,
  ),
);
export const SPACES = new Set([
  ...',:;!>/ '.split(''),
  'quad',
  'qquad',
  'thinspace',
  'enspace',
  'space',
  'hspace',
  'negthinspace',
]);
/** Commands whose argument is text. */
export const TEXTS = new Set(
  `text textrm textbf textit textsf texttt textnormal emph mathrm mbox hbox rm operatorname
   mathnormal`.split(/\s+/),
);
export const GREEK = new Set(
  `alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau
   upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar
   aleph`.split(/\s+/),
);
export const OPERATORS: Record<string, string> = {
  cdot: '*',
  times: '*',
  ast: '*',
  cdotp: '*',
  div: '/',
  slash: '/',
  pm: 'pm',
  mp: 'mp',
  le: '<=',
  leq: '<=',
  leqslant: '<=',
  ge: '>=',
  geq: '>=',
  geqslant: '>=',
  lt: '<',
  gt: '>',
  ne: '!=',
  neq: '!=',
  approx: '~',
  simeq: '~',
  sim: '~',
  thickapprox: '~',
  equiv: '=',
  colon: ':',
  in: 'in',
  cup: 'cup',
  cap: 'cap',
  setminus: 'setminus',
  backslash: 'setminus',
  smallsetminus: 'setminus',
  mid: '|',
  vert: '|',
  lvert: '|',
  rvert: '|',
  prime: "'",
  degree: 'deg',
  circ: 'deg',
  land: 'and',
  wedge: 'and',
  lor: 'or',
  vee: 'or',
};
export const BRACKETS: Record<string, { t: 'open' | 'close'; op: string }> = {
  '(': { t: 'open', op: '(' },
  ')': { t: 'close', op: '(' },
  '[': { t: 'open', op: '[' },
  ']': { t: 'close', op: '[' },
  '\\{': { t: 'open', op: 'set' },
  '\\}': { t: 'close', op: 'set' },
  lbrace: { t: 'open', op: 'set' },
  rbrace: { t: 'close', op: 'set' },
  lbrack: { t: 'open', op: '[' },
  rbrack: { t: 'close', op: '[' },
  lparen: { t: 'open', op: '(' },
  rparen: { t: 'close', op: '(' },
  langle: { t: 'open', op: '<' },
  rangle: { t: 'close', op: '<' },
  lfloor: { t: 'open', op: 'floor' },
  rfloor: { t: 'close', op: 'floor' },
  lceil: { t: 'open', op: 'ceil' },
  rceil: { t: 'close', op: 'ceil' },
  '{': { t: 'open', op: '{' },
  '}': { t: 'close', op: '{' },
};
export const CURRENCY: Record<string, string> = {
  $: '$',
  '€': '€',
  '£': '£',
  '¥': '¥',
  '₹': '₹',
  '¢': '¢',
};

/** Characters with a LaTeX name of their own. */
export const UNICODE: Record<string, string> = {
  '×': '\\times ',
  '·': '\\cdot ',
  '⋅': '\\cdot ',
  '∙': '\\cdot ',
  '•': '\\cdot ',
  '÷': '\\div ',
  '√': '\\sqrt ',
  '∛': '\\cbrt ',
  '∞': '\\infty ',
  '≤': '\\le ',
  '≥': '\\ge ',
  '⩽': '\\le ',
  '⩾': '\\ge ',
  '≠': '\\ne ',
  '≈': '\\approx ',
  '≃': '\\approx ',
  '∪': '\\cup ',
  '∩': '\\cap ',
  '∖': '\\setminus ',
  '∅': '\\emptyset ',
  '∈': '\\in ',
  '±': '\\pm ',
  '∓': '\\mp ',
  '°': '\\degree ',
  '∘': '\\degree ',
  '℃': '\\degree C',
  '℉': '\\degree F',
  '∠': '\\angle ',
  '△': '\\triangle ',
  '⟨': '\\langle ',
  '⟩': '\\rangle ',
  '〈': '\\langle ',
  '〉': '\\rangle ',
  '⌊': '\\lfloor ',
  '⌋': '\\rfloor ',
  '⌈': '\\lceil ',
  '⌉': '\\rceil ',
  '∣': '|',
  ℝ: '\\mathbb{R}',
  ℤ: '\\mathbb{Z}',
  ℚ: '\\mathbb{Q}',
  ℕ: '\\mathbb{N}',
  ℂ: '\\mathbb{C}',
  '…': '\\ldots ',
  '′': "'",
  '’': "'",
  Ω: '\\Omega ',
  µ: '\\mu ',
};
for (const [i, letter] of [...'αβγδεζηθικλμνξοπρστυφχψω'].entries()) {
  UNICODE[letter] = `\\${[...GREEK][i]} `;
}
for (const [letter, name] of Object.entries({
  Γ: 'Gamma',
  Δ: 'Delta',
  Θ: 'Theta',
  Λ: 'Lambda',
  Ξ: 'Xi',
  Π: 'Pi',
  Σ: 'Sigma',
  Φ: 'Phi',
  Ψ: 'Psi',
  ϕ: 'phi',
  ε: 'epsilon',
}))
  UNICODE[letter] = `\\${name} `;
export const SUPERSCRIPTS = '⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿˣ';
export const SUPERSCRIPTED = '0123456789+-()nx';
export const SUBSCRIPTS = '₀₁₂₃₄₅₆₇₈₉₊₋₍₎';
export const SUBSCRIPTED = '0123456789+-()';
export const VULGAR: Record<string, [number, number]> = {
  '½': [1, 2],
  '⅓': [1, 3],
  '⅔': [2, 3],
  '¼': [1, 4],
  '¾': [3, 4],
  '⅕': [1, 5],
  '⅖': [2, 5],
  '⅗': [3, 5],
  '⅘': [4, 5],
  '⅙': [1, 6],
  '⅚': [5, 6],
  '⅛': [1, 8],
  '⅜': [3, 8],
  '⅝': [5, 8],
  '⅞': [7, 8],
};
