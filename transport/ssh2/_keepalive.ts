/**
 * Asks a silent server whether it is still there.
 *
 * @module
 */

// The functions of node:timers give objects with `unref()` in every runtime.
import { clearInterval, setInterval } from "node:timers";
import type { Duplex } from "node:stream";
import type { RawClient } from "./fence/internals.ts";

/** When to ask, and how often in vain. */
export interface KeepaliveOptions {
  /** The time between two questions, in milliseconds; 0 for none. */
  readonly intervalMs: number;
  /** So many questions without an answer end the connection. */
  readonly countMax: number;
}

/**
 * Starts the keepalive of a connection. It ends with the connection.
 *
 * ssh2 has one too, but its timer keeps the process alive, and nothing outside
 * ssh2 can reach it. This timer does not.
 *
 * @param raw ssh2's client.
 * @param socket The byte stream below it.
 * @param options When to ask.
 * @param onDead Told when the server did not answer in time.
 */
export function startKeepalive(
  raw: RawClient,
  socket: Duplex,
  { intervalMs, countMax }: KeepaliveOptions,
  onDead: (error: Error) => void,
): void {
  // With a count of 0 a connection would end without one question.
  if (intervalMs <= 0 || countMax <= 0) return;
  let unanswered = 0;
  const stop = () => clearInterval(timer);
  const timer = setInterval(() => {
    if (!socket.writable) return stop();
    if (++unanswered > countMax) {
      stop();
      onDead(new Error("Keepalive timeout"));
      return;
    }
    // ssh2 calls these in the order in which the server answers.
    raw._callbacks.push(() => unanswered = 0);
    try {
      raw._protocol.ping();
    } catch {
      stop(); // The connection has ended.
    }
  }, intervalMs);
  timer.unref();
  // Whatever the server sends shows that it is there.
  socket.on("data", () => unanswered = 0);
  socket.once("end", stop);
  socket.once("close", stop);
}
