import '../styles.css';
const worker = new Worker(new URL('./trainer.ts', import.meta.url), { type: 'module' });
worker.postMessage({kind:'open'});
worker.onmessage = (e) => { (globalThis as any).log ??= []; (globalThis as any).log.push(e.data); };
Object.assign(globalThis, { worker });
