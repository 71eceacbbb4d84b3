import { describe, expect, it } from 'vitest';
import { UserError } from '../base/errors.js';
import { createChatTemplate } from './chat-template.js';

const say = (source: string, content = 'x'): string =>
  createChatTemplate(source, {})([{ role: 'user', content }]);

/** Programs that would run for hours, or fill the memory, by what they do. */
const HOSTILE: Record<string, string> = {
  'nested loops': `${'{% for a in range(1000) %}'.repeat(6)}x${'{% endfor %}'.repeat(6)}`,
  'nested loops without a body': `{% set r = range(100000) %}${'{% for a in r %}'.repeat(4)}${'{% endfor %}'.repeat(4)}`,
  'a filtered loop': '{% set r = range(100000) %}{% for a in r if a in r %}{% endfor %}',
  'a text that doubles': `{% set ns = namespace(a='xxxxxxxx') %}{% for i in range(60) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}{{ ns.a }}`,
  'a text that doubles by itself': `{% set a = 'xxxxxxxx' %}${'{% set a = a + a %}'.repeat(60)}{{ a }}`,
  'a list that doubles': `{% set ns = namespace(a=[1, 2]) %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}{{ ns.a }}`,
  'a list of itself, twice each time': `{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a | tojson }}`,
  'such a list, printed': `{% set ns = namespace(a=[1]) %}{% for i in range(22) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{% for i in range(99) %}{{ ns.a }}{% endfor %}`,
  'such a list, compared': `{% set ns = namespace(a=[1]) %}{% for i in range(20) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{% for i in range(999) %}{{ ns.a == 'x' }}{% endfor %}`,
  'mappings of mappings': `{% set ns = namespace(a={'k': 1}) %}{% for i in range(60) %}{% set ns.a = {'l': ns.a, 'r': ns.a} %}{% endfor %}{{ ns.a }}`,
  'a namespace in itself': '{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}',
  'a namespace in a list': '{% set ns = namespace() %}{% set ns.a = [ns, ns] %}{{ ns.a }}',
  'recursion without end': '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}',
  'recursion that branches': `{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}`,
  'replacements that multiply': `{% set a = 'a' %}${"{% set a = a.replace('a', 'aaaaaaaaaaaaaaaa') %}".repeat(12)}{{ a }}`,
  'replacements as a filter': `{% set a = 'a' %}${"{% set a = a | replace('a', 'aaaaaaaaaaaaaaaa') %}".repeat(12)}{{ a }}`,
  'a replacement of nothing': `{% set a = 'aaaaaaaa' %}${"{% set a = a.replace('', a) %}".repeat(12)}{{ a }}`,
  'a join by a long text': `{% set s = 'x' * 2 if false else 'xxxxxxxxxxxxxxxx' %}${'{% set s = s ~ s %}'.repeat(14)}{{ range(100000) | join(s) }}`,
  'an indent of millions': `{{ 'a\\nb' | indent(100000000) }}`,
  'an indent of JSON': `{{ [[1]] | tojson(indent=100000000) }}`,
  'ranges of ranges': `{% for i in range(100000) %}{% set a = range(100000) %}{% endfor %}`,
  'a huge range': '{% for i in range(10000000000) %}x{% endfor %}',
  'a range backwards': '{% for i in range(0, -10000000000, -1) %}x{% endfor %}',
  'a range that stands still': '{% for i in range(0, 10, 0) %}x{% endfor %}',
  'texts compared all over': `{% set s = 'ab' %}${'{% set s = s ~ s %}'.repeat(18)}{% for i in range(100000) %}{{ 'ba' in s }}{% endfor %}`,
  'parentheses without end': `{{ ${'('.repeat(200_000)}1${')'.repeat(200_000)} }}`,
  'slices of slices': `{% set r = range(100000) %}{% for i in range(100000) %}{% set x = r[1:] %}{% endfor %}`,
  'spread arguments': `{% set r = range(100000) %}{% macro f() %}{{ varargs | length }}{% endmacro %}{% for i in range(100000) %}{{ f(*r) }}{% endfor %}`,
};

describe('a hostile chat template', () => {
  it.each(Object.entries(HOSTILE))(
    'ends soon: %s',
    (_name, source) => {
      const before = process.memoryUsage().heapUsed;
      let thrown: unknown;
      try {
        say(source);
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(UserError);
      expect((thrown as Error).message).toMatch(/^the model's chat template [^\n]+$/);
      expect((process.memoryUsage().heapUsed - before) / 1e6).toBeLessThan(500);
    },
    12_000,
  );
});

describe('a well-behaved chat template', () => {
  it('has the means of Jinja', () => {
    expect(say("{{ 'abc'.replace('b', 'xx') }}")).toBe('axxc');
    expect(say("{{ 'abab'.replace('b', 'x', 1) }}{{ 'abab' | replace('b', 'x', count=1) }}")).toBe(
      'axabaxab',
    );
    expect(say("{{ [1, 2] | join(', ') }}{{ {'a': [1]} | tojson(indent=2) }}")).toBe(
      '1, 2{\n  "a": [\n    1\n  ]\n}',
    );
    expect(
      say(
        "{% set ns = namespace(n=0) %}{% for m in messages if m.role == 'user' %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
      ),
    ).toBe('1');
    expect(say('{{ messages[::-1][0].content | trim }}', ' y ')).toBe('y');
  });

  it('has room for a long conversation', () => {
    const template = createChatTemplate(
      "{% for m in messages %}{% if loop.first and m.role != 'system' %}<s>{% endif %}{{ '<|' ~ m.role ~ '|>' ~ m.content | trim ~ '\\n' }}{% endfor %}",
      {},
    );
    const messages = Array.from({ length: 5000 }, (_, i) => ({
      role: i % 2 ? ('assistant' as const) : ('user' as const),
      content: 'a few words of a turn',
    }));
    expect(template(messages)).toContain('<s><|user|>a few words of a turn\n<|assistant|>');
    expect(say('{{ messages[0].content }}', 'x'.repeat(1_000_000)).length).toBe(1_000_000);
  });

  it('may be written with the line ends of Windows', () => {
    const source = '{% for m in messages %}\n{{ m.content }}\n{% endfor %}\nend';
    for (const end of ['\r\n', '\r']) expect(say(source.replaceAll('\n', end))).toBe(say(source));
    expect(say(source)).toBe('x\nend');
  });
});
