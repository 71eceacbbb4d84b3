/**
 * @file What programs for Node find in their realm: the parts of it that can be had without a clock,
 * a network or a locale, the same on every machine. Time stands still at the start of 2024, in UTC.
 */

/** First script of a program's realm. */
export const GLOBALS = `(() => {
const quiet = () => {};
const define = (name, value) => Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
Math.random = () => 0.5;
define('console', new Proxy({}, { get: () => quiet }));
define('module', { exports: {} });
define('exports', module.exports);
define('process', { env: {}, argv: [], platform: 'sandbox', hrtime: Object.assign(() => [0, 0], { bigint: () => 0n }), nextTick: quiet, exit: quiet, stdout: { write: quiet } });
define('performance', { now: () => 0, mark: quiet, measure: quiet });
let timers = 0;
for (const name of ['setTimeout', 'setInterval', 'setImmediate']) define(name, () => ++timers);
for (const name of ['clearTimeout', 'clearInterval', 'clearImmediate']) define(name, quiet);
define('require', (name) => {
  if (/^(?:node:)?assert/.test(name)) return Object.assign(quiet, { equal: quiet, strictEqual: quiet, deepEqual: quiet, deepStrictEqual: quiet, ok: quiet, throws: quiet });
  if (/^(?:node:)?(?:util|perf_hooks|buffer)$/.test(name)) return { performance, Buffer, inspect: String, isDeepStrictEqual: (a, b) => JSON.stringify(a) === JSON.stringify(b) };
  throw new Error('require(' + name + ') is not available');
});

// Dates in UTC, whatever the machine's zone.
const Zoned = Date;
const START = 1704067200000;
const dateOnly = /^\\d{4}(?:-\\d\\d(?:-\\d\\d)?)?$/;
const parse = (text) => {
  const s = String(text);
  const t = Zoned.parse(s);
  if (Number.isNaN(t) || dateOnly.test(s.trim()) || /(?:Z|[+-]\\d\\d:?\\d\\d|GMT|UTC)\\)?$/i.test(s.trim())) return t;
  return t - new Zoned(t).getTimezoneOffset() * 60000;
};
class UtcDate extends Zoned {
  constructor(...args) {
    if (args.length === 0) super(START);
    else if (args.length > 1) super(Zoned.UTC(...args));
    else if (typeof args[0] === 'string') super(parse(args[0]));
    else super(args[0]);
  }
  static now() { return START; }
  static parse(text) { return parse(text); }
  getTimezoneOffset() { return 0; }
}
for (const part of ['Day', 'Date', 'Month', 'FullYear', 'Hours', 'Minutes', 'Seconds', 'Milliseconds']) {
  UtcDate.prototype['get' + part] = Zoned.prototype['getUTC' + part];
  if (part !== 'Day') UtcDate.prototype['set' + part] = Zoned.prototype['setUTC' + part];
}
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const two = (n) => String(n).padStart(2, '0');
const dateText = (d) => DAYS[d.getUTCDay()] + ' ' + MONTHS[d.getUTCMonth()] + ' ' + two(d.getUTCDate()) + ' ' + d.getUTCFullYear();
const timeText = (d) => two(d.getUTCHours()) + ':' + two(d.getUTCMinutes()) + ':' + two(d.getUTCSeconds());
UtcDate.prototype.toDateString = function () { return dateText(this); };
UtcDate.prototype.toTimeString = function () { return timeText(this) + ' GMT+0000 (Coordinated Universal Time)'; };
UtcDate.prototype.toString = function () { return Number.isNaN(this.getTime()) ? 'Invalid Date' : this.toDateString() + ' ' + this.toTimeString(); };
UtcDate.prototype.toLocaleDateString = function () { return (this.getUTCMonth() + 1) + '/' + this.getUTCDate() + '/' + this.getUTCFullYear(); };
UtcDate.prototype.toLocaleTimeString = function () { return ((this.getUTCHours() + 11) % 12 + 1) + timeText(this).slice(2) + (this.getUTCHours() < 12 ? ' AM' : ' PM'); };
UtcDate.prototype.toLocaleString = function () { return this.toLocaleDateString() + ', ' + this.toLocaleTimeString(); };
Object.defineProperty(UtcDate, 'name', { value: 'Date' });
define('Date', new Proxy(UtcDate, { apply: () => new UtcDate().toString() }));
UtcDate.prototype.constructor = Date;

define('structuredClone', (value) => {
  const seen = new Map();
  const copy = (v) => {
    if (typeof v === 'function' || typeof v === 'symbol') throw new Error(String(v) + ' could not be cloned.');
    if (typeof v !== 'object' || v === null) return v;
    if (seen.has(v)) return seen.get(v);
    const made = Array.isArray(v) ? [] : v instanceof Map ? new Map() : v instanceof Set ? new Set() : v instanceof Zoned ? new Date(v.getTime())
      : v instanceof RegExp ? new RegExp(v.source, v.flags) : ArrayBuffer.isView(v) ? v.slice() : {};
    seen.set(v, made);
    if (v instanceof Map) v.forEach((x, k) => made.set(copy(k), copy(x)));
    else if (v instanceof Set) v.forEach((x) => made.add(copy(x)));
    else if (!(v instanceof Zoned) && !(v instanceof RegExp) && !ArrayBuffer.isView(v)) for (const k of Object.keys(v)) made[k] = copy(v[k]);
    return made;
  };
  return copy(value);
});
define('queueMicrotask', (f) => void Promise.resolve().then(f));

const bytesOf = (text) => {
  const out = [];
  for (const c of String(text)) {
    let p = c.codePointAt(0);
    if (p >= 0xd800 && p < 0xe000) p = 0xfffd;
    if (p < 0x80) out.push(p);
    else if (p < 0x800) out.push(0xc0 | p >> 6, 0x80 | p & 63);
    else if (p < 0x10000) out.push(0xe0 | p >> 12, 0x80 | p >> 6 & 63, 0x80 | p & 63);
    else out.push(0xf0 | p >> 18, 0x80 | p >> 12 & 63, 0x80 | p >> 6 & 63, 0x80 | p & 63);
  }
  return out;
};
const textOf = (b) => {
  let out = '';
  for (let i = 0; i < b.length;) {
    const c = b[i++];
    const more = c < 0x80 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : -1;
    let p = more < 0 ? 0xfffd : c & (more === 0 ? 127 : 63 >> more);
    for (let k = 0; k < more; k++) p = p << 6 | b[i++] & 63;
    out += String.fromCodePoint(p > 0x10ffff ? 0xfffd : p);
  }
  return out;
};
define('TextEncoder', class TextEncoder { get encoding() { return 'utf-8'; } encode(text = '') { return Uint8Array.from(bytesOf(text)); } });
define('TextDecoder', class TextDecoder { get encoding() { return 'utf-8'; } decode(bytes = []) { return textOf(bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : bytes); } });
const B64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const toBase64 = (b) => {
  let out = '';
  for (let i = 0; i < b.length; i += 3) {
    const n = b[i] << 16 | (b[i + 1] ?? 0) << 8 | (b[i + 2] ?? 0);
    out += B64[n >> 18] + B64[n >> 12 & 63] + (i + 1 < b.length ? B64[n >> 6 & 63] : '=') + (i + 2 < b.length ? B64[n & 63] : '=');
  }
  return out;
};
const fromBase64 = (s) => {
  const out = [];
  let n = 0, bits = 0;
  for (const c of String(s).replace(/-/g, '+').replace(/_/g, '/')) {
    const d = B64.indexOf(c);
    if (d < 0) continue;
    n = n << 6 | d; bits += 6;
    if (bits >= 8) { bits -= 8; out.push(n >> bits & 255); }
  }
  return out;
};
define('btoa', (s) => toBase64([...String(s)].map((c) => { const p = c.charCodeAt(0); if (p > 255) throw new Error('Invalid character'); return p; })));
define('atob', (s) => String.fromCharCode(...fromBase64(s)));
class Buffer extends Uint8Array {
  static from(value, encoding = 'utf8') {
    const bytes = typeof value !== 'string' ? Array.from(value) : encoding === 'hex' ? (value.match(/../g) ?? []).map((h) => parseInt(h, 16))
      : /^base64/.test(encoding) ? fromBase64(value) : /^(?:latin1|binary|ascii)$/.test(encoding) ? [...value].map((c) => c.charCodeAt(0) & 255) : bytesOf(value);
    const out = new Buffer(bytes.length);
    out.set(bytes);
    return out;
  }
  static alloc(n, fill = 0) { return new Buffer(n).fill(fill); }
  static byteLength(text) { return bytesOf(text).length; }
  static isBuffer(value) { return value instanceof Buffer; }
  static concat(list) { return Buffer.from(list.flatMap((b) => [...b])); }
  toString(encoding = 'utf8') {
    return encoding === 'hex' ? [...this].map((b) => b.toString(16).padStart(2, '0')).join('') : /^base64/.test(encoding) ? toBase64(this)
      : /^(?:latin1|binary|ascii)$/.test(encoding) ? String.fromCharCode(...this) : textOf(this);
  }
}
define('Buffer', Buffer);

class URLSearchParams {
  constructor(init = '') {
    const plain = (s) => decodeURIComponent(s.replace(/\\+/g, ' '));
    this.list = typeof init === 'string' ? init.replace(/^\\?/, '').split('&').filter(Boolean).map((p) => { const i = p.indexOf('='); return i < 0 ? [plain(p), ''] : [plain(p.slice(0, i)), plain(p.slice(i + 1))]; })
      : Object.entries(init).map(([k, v]) => [k, String(v)]);
    Object.defineProperty(this, 'list', { enumerable: false });
  }
  get(k) { return this.list.find(([n]) => n === k)?.[1] ?? null; }
  getAll(k) { return this.list.filter(([n]) => n === k).map(([, v]) => v); }
  has(k) { return this.list.some(([n]) => n === k); }
  set(k, v) { const at = this.list.findIndex(([n]) => n === k); if (at < 0) this.list.push([k, String(v)]); else this.list[at][1] = String(v); }
  append(k, v) { this.list.push([k, String(v)]); }
  delete(k) { for (let i = this.list.length - 1; i >= 0; i--) if (this.list[i][0] === k) this.list.splice(i, 1); }
  forEach(f) { for (const [k, v] of this.list) f(v, k, this); }
  keys() { return this.list.map(([k]) => k)[Symbol.iterator](); }
  values() { return this.list.map(([, v]) => v)[Symbol.iterator](); }
  entries() { return this.list.map((e) => [...e])[Symbol.iterator](); }
  [Symbol.iterator]() { return this.entries(); }
  toString() { return this.list.map((e) => e.map((s) => encodeURIComponent(s).replace(/%20/g, '+')).join('=')).join('&'); }
}
define('URLSearchParams', URLSearchParams);
const PORTS = { 'http:': '80', 'https:': '443', 'ftp:': '21', 'ws:': '80', 'wss:': '443' };
define('URL', class URL {
  constructor(text, base) {
    let m = /^([a-z][a-z\\d+.-]*:)(?:\\/\\/(?:([^:@/?#]*)(?::([^@/?#]*))?@)?([^:/?#]*)(?::(\\d+))?)?([^?#]*)(\\?[^#]*)?(#.*)?$/i.exec(String(text).trim());
    if (!m && base !== undefined) {
      const b = new URL(base);
      const s = String(text);
      m = /^([a-z]+:)\\/\\/(?:([^:@/?#]*)(?::([^@/?#]*))?@)?([^:/?#]*)(?::(\\d+))?([^?#]*)(\\?[^#]*)?(#.*)?$/i.exec(b.origin + (s.startsWith('/') ? s : /^[?#]/.test(s) ? b.pathname + s : b.pathname.replace(/[^/]*$/, '') + s));
    }
    if (!m) throw new TypeError('Invalid URL');
    this.protocol = m[1].toLowerCase(); this.username = m[2] ?? ''; this.password = m[3] ?? '';
    this.hostname = (m[4] ?? '').toLowerCase(); this.port = m[5] === PORTS[this.protocol] ? '' : m[5] ?? '';
    const parts = [];
    for (const part of m[6].split('/')) { if (part === '..') { if (parts.length > 1) parts.pop(); } else if (part !== '.') parts.push(part); }
    this.pathname = this.protocol in PORTS ? parts.join('/') || '/' : m[6];
    this.search = m[7] === '?' ? '' : m[7] ?? ''; this.hash = m[8] === '#' ? '' : m[8] ?? '';
    this.searchParams = new URLSearchParams(this.search);
  }
  get host() { return this.hostname + (this.port ? ':' + this.port : ''); }
  get origin() { return this.protocol in PORTS ? this.protocol + '//' + this.host : 'null'; }
  get href() { const q = this.searchParams.toString(); return (this.protocol in PORTS ? this.protocol + '//' + (this.username ? this.username + (this.password ? ':' + this.password : '') + '@' : '') + this.host : this.protocol) + this.pathname + (q ? '?' + q : '') + this.hash; }
  toString() { return this.href; }
  toJSON() { return this.href; }
});

// The order of the root locale, near enough: letters, then accents, then case.
String.prototype.localeCompare = function (other) {
  const key = (s) => { const d = s.normalize('NFD'); return [d.replace(/[\\u0300-\\u036f]/g, '').toLowerCase(), d.toLowerCase(), d.replace(/[a-z]/gi, (c) => c === c.toLowerCase() ? '0' : '1')]; };
  const [a, b] = [key(String(this)), key(String(other))];
  for (let i = 0; i < 3; i++) if (a[i] !== b[i]) return a[i] < b[i] ? -1 : 1;
  return 0;
};
Number.prototype.toLocaleString = function () {
  const [whole, part] = String(Math.round(Math.abs(this) * 1000) / 1000).split('.');
  return (this < 0 ? '-' : '') + whole.replace(/\\B(?=(\\d{3})+$)/g, ',') + (part ? '.' + part : '');
};
})()`;
