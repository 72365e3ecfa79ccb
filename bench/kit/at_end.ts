/**
 * What a bench file leaves behind, and takes away when it ends: by itself, by
 * an error, or by SIGINT or SIGTERM.
 *
 * @module
 */

const cleaners = new Set<() => void>();
let isListening = false;

function clean(): void {
  for (const cleaner of cleaners) {
    cleaners.delete(cleaner);
    try {
      cleaner();
    } catch (error) {
      // The others have their turn all the same.
      // deno-lint-ignore no-console -- nobody else would hear of it
      console.error("Cannot clean up:", error);
    }
  }
}

function listen(): void {
  // An uncaught error ends the file without "unload".
  for (const end of ["unload", "error", "unhandledrejection"]) {
    globalThis.addEventListener(end, clean);
  }
  for (const [signal, number] of [["SIGINT", 2], ["SIGTERM", 15]] as const) {
    Deno.addSignalListener(signal, () => {
      clean();
      Deno.exit(128 + number);
    });
  }
}

/**
 * Calls back once when this file has run, however it ends.
 *
 * @param cleaner Does its work before it returns: nothing is waited for.
 * @returns Forgets it, where it is done by other means.
 */
export function atEnd(cleaner: () => void): () => void {
  if (!isListening) listen();
  isListening = true;
  cleaners.add(cleaner);
  return () => void cleaners.delete(cleaner);
}
