/** @file The thread of the sandbox. */
import '../../../tasks/sandbox/worker.js';
