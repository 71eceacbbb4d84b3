/** @file The OpenAI-compatible server. */

export { type ApiKey, addKey, readKeys, removeKey } from './keys.js';
export { demandLoopbackOrKeys, type Listening, type ListenOptions, listen } from './server.js';
export { createService, type Service, type ServiceOptions } from './service.js';
