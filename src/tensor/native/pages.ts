/**
 * @file Executable memory: machine code is written to fresh pages, which then become executable and
 * can never be written again (W^X). A system may refuse that (SELinux's `execmem`, a hardened
 * container): then there is no native code.
 *
 * Linux: mmap and mprotect. Windows: VirtualAlloc and VirtualProtect; written from Microsoft's
 * documentation and not tried on Windows yet.
 */
import type { Koffi } from './koffi.js';

/** A function of emitted code: gets the address of its block of arguments. */
export type NativeFunction = (block: number) => void;

interface System {
  /** Address of writable pages, or 0 or less when there are none. */
  reserve(bytes: number): number;
  write(address: number, code: Uint8Array): void;
  /** Makes the pages executable and read-only; false when the system forbids it. */
  protect(address: number, bytes: number): boolean;
}

function linux(koffi: Koffi): System {
  // What the process already has: the C library.
  const libc = koffi.load(null);
  const mmap = libc.func('intptr_t mmap(uintptr_t, size_t, int, int, int, int64_t)');
  const mprotect = libc.func('int mprotect(uintptr_t, size_t, int)');
  const memcpy = libc.func('uintptr_t memcpy(uintptr_t, const uint8_t *, size_t)');
  const [readWrite, readExecute, privateAnonymous] = [3, 5, 0x22];
  return {
    reserve: (bytes) => Number(mmap(0, bytes, readWrite, privateAnonymous, -1, 0)),
    write: (address, code) => memcpy(address, code, code.length),
    protect: (address, bytes) => mprotect(address, bytes, readExecute) === 0,
  };
}

function windows(koffi: Koffi): System {
  const kernel32 = koffi.load('kernel32.dll');
  const alloc = kernel32.func('uintptr_t VirtualAlloc(uintptr_t, size_t, uint32_t, uint32_t)');
  const protect = kernel32.func(
    'int VirtualProtect(uintptr_t, size_t, uint32_t, _Out_ uint32_t *)',
  );
  const current = kernel32.func('intptr_t GetCurrentProcess()');
  const write = kernel32.func(
    'int WriteProcessMemory(intptr_t, uintptr_t, const uint8_t *, size_t, uintptr_t)',
  );
  const flush = kernel32.func('int FlushInstructionCache(intptr_t, uintptr_t, size_t)');
  const [commitAndReserve, readWrite, executeRead] = [0x3000, 0x04, 0x20];
  return {
    reserve: (bytes) => Number(alloc(0, bytes, commitAndReserve, readWrite)),
    write: (address, code) => write(current(), address, code, code.length, 0),
    protect: (address, bytes) =>
      protect(address, bytes, executeRead, [0]) !== 0 && flush(current(), address, bytes) !== 0,
  };
}

/** What is known of this system; macOS has Accelerate and is not here. */
const SYSTEMS: Partial<Record<NodeJS.Platform, (koffi: Koffi) => System>> = {
  linux,
  win32: windows,
};

const PAGE = 65536;

/** Functions of a piece of code by their offsets; null where the system forbids new code. */
export function install(
  koffi: Koffi,
  code: Uint8Array,
  offsets: readonly number[],
): NativeFunction[] | null {
  try {
    const system = SYSTEMS[process.platform]?.(koffi);
    if (!system) return null;
    const bytes = Math.ceil(code.length / PAGE) * PAGE;
    const address = system.reserve(bytes);
    if (address <= 0) return null;
    system.write(address, code);
    if (!system.protect(address, bytes)) return null;
    const type = koffi.proto('void (uintptr_t)');
    return offsets.map((offset) => koffi.decode(BigInt(address + offset), type) as NativeFunction);
  } catch {
    return null; // a C library without these functions
  }
}
