import { describe, expect, it } from 'vitest';
import encodings from './testing/fixtures/x86.json' with { type: 'json' };
import { assembleOne, randomInstructions, summarize } from './testing/random-instructions.js';
import { Assembler, at, RAX, RBP, RDI, RSP, XMM, YMM } from './x86.js';

describe('the assembler', () => {
  it('gives the bytes of the GNU assembler for 10,000 random instructions', () => {
    const instructions = [...randomInstructions(encodings.count)];
    expect(instructions.length).toBe(10_000);
    const ours = summarize(instructions, assembleOne);
    expect(ours).toEqual(encodings.groups);
  });

  it('binds jumps forwards and backwards, and puts constants behind the code', () => {
    const a = new Assembler();
    const [start, end] = [a.label(), a.label()];
    a.bind(start);
    a.jump(end, 'z');
    a.vector('vmovups', [YMM[0], a.constant([1, 2])]);
    a.jump(start);
    a.bind(end);
    a.return();
    const code = a.finish();
    const view = new DataView(code.buffer);
    expect(view.getInt32(2, true)).toBe(19 - 6);
    expect(6 + 8 + view.getInt32(6 + 4, true)).toBe(64);
    expect(view.getInt32(14 + 1, true)).toBe(-19);
    expect([view.getInt32(64, true), view.getInt32(68, true)]).toEqual([1, 2]);
    expect(code.length).toBe(72);
  });

  it('refuses what it cannot encode', () => {
    const a = new Assembler();
    expect(() => a.mov(RAX, at(RDI, 0, RSP))).toThrow(/rsp is no index/);
    expect(() => a.mov(RAX, { displacement: 4 })).toThrow(/neither a base nor a label/);
    expect(() => a.vector('vhaddps', [XMM[16], XMM[1], XMM[2]])).toThrow(/no EVEX form/);
    a.jump(a.label());
    expect(() => a.finish()).toThrow(/never bound/);
    expect(RBP.n).toBe(5);
  });
});
