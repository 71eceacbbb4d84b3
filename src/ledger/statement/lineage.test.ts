import { describe, expect, it } from 'vitest';
import { logBuilder } from '../testing.js';
import { keptEvents } from './lineage.js';

/** Steps (as names) of the usage events that are kept. */
function keptNames(build: (log: ReturnType<typeof logBuilder>) => void): string[] {
  const log = logBuilder();
  build(log);
  const kept = keptEvents(log.events);
  return log.events.flatMap((event, i) =>
    event.type === 'usage' && kept[i] ? [event.usage.stage] : [],
  );
}

describe('keptEvents', () => {
  it('keeps all of a run that was never stopped', () => {
    const log = logBuilder();
    log.started();
    log.usage(1, {});
    expect(keptEvents(log.events)).toEqual([true, true]);
    expect(keptEvents([])).toEqual([]);
  });

  it('drops what came after the checkpoint that a resume went back to', () => {
    const names = keptNames((log) => {
      log.started();
      log.usage(10, { stage: 'a' });
      log.checkpoint(10);
      // Under way at step 11 when the heartbeat came: the step says 10, the work is lost all the
      // same.
      log.usage(10, { stage: 'lost at 10' });
      log.usage(14, { stage: 'lost at 14' });
      log.resumed(10);
      log.usage(20, { stage: 'b' });
    });
    expect(names).toEqual(['a', 'b']);
  });

  it('follows several resumes, also one further back than the one before', () => {
    const names = keptNames((log) => {
      log.started();
      log.usage(10, { stage: 'a' });
      log.checkpoint(10);
      log.usage(20, { stage: 'x1' });
      log.checkpoint(20);
      log.usage(25, { stage: 'x2' });
      log.resumed(20);
      log.usage(30, { stage: 'x3' });
      log.checkpoint(30);
      // The checkpoints at 20 and 30 turn out damaged.
      log.resumed(10);
      log.usage(20, { stage: 'b' });
      log.checkpoint(20);
      log.usage(22, { stage: 'x4' });
      log.resumed(20);
      log.usage(30, { stage: 'c' });
    });
    expect(names).toEqual(['a', 'b', 'c']);
  });

  it('a resume that reached a checkpoint of the attempt before the last', () => {
    const names = keptNames((log) => {
      log.started();
      log.usage(10, { stage: 'a' });
      log.checkpoint(10);
      log.usage(12, { stage: 'x1' });
      log.resumed(10);
      log.usage(11, { stage: 'x2' });
      log.resumed(10);
      log.usage(13, { stage: 'b' });
    });
    expect(names).toEqual(['a', 'b']);
  });

  it('a resume from the beginning loses everything before it', () => {
    const names = keptNames((log) => {
      log.started();
      log.usage(0, { stage: 'x' });
      log.usage(3, { stage: 'x' });
      log.resumed(0);
      log.usage(3, { stage: 'b' });
    });
    expect(names).toEqual(['b']);
  });

  it('goes by the step when the kill came between a checkpoint and its event', () => {
    const names = keptNames((log) => {
      log.started();
      log.usage(10, { stage: 'a' });
      log.resumed(10);
      log.usage(11, { stage: 'b' });
    });
    expect(names).toEqual(['a', 'b']);
  });

  it('a run that diverged keeps its last checkpoint; one that was interrupted keeps all', () => {
    const end = (reason: 'diverged' | 'interrupted') =>
      keptNames((log) => {
        log.started();
        log.usage(10, { stage: 'a' });
        log.checkpoint(10);
        log.usage(12, { stage: 'after' });
        log.add({ type: 'ended', step: 12, reason });
      });
    expect(end('diverged')).toEqual(['a']);
    expect(end('interrupted')).toEqual(['a', 'after']);
  });
});
