/**
 * One SFTP session for several callers.
 *
 * @module
 */

import { protocolOf } from "./_protocol.ts";
import { SftpError } from "./errors.ts";
import type { Sftp } from "./sftp.ts";

/**
 * Makes a handle to a session. Closing the handle does not end the session:
 * what was begun through it runs to its end, and new calls on it reject.
 *
 * @param sftp The session.
 * @param onClose Called once, when the handle is closed. Must not throw.
 * @returns The handle.
 */
export function shareSftp(sftp: Sftp, onClose: () => void): Sftp {
  let isClosed = false;
  const { promise, resolve } = withResolvers();
  const forget = whenEnded(sftp, resolve);
  const close = () => {
    if (isClosed) return;
    isClosed = true;
    forget();
    resolve();
    onClose();
  };
  const own: Record<PropertyKey, unknown> = {
    close,
    closed: promise,
    [Symbol.asyncDispose]: () => Promise.resolve(close()),
  };
  return new Proxy(sftp, {
    get(target, name) {
      if (name === "isClosed") return isClosed || target.isClosed;
      if (Object.hasOwn(own, name)) return own[name];
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      if (!isClosed) return member.bind(target);
      return ITERATORS.includes(name) ? refuseAll : refuse;
    },
  });
}

/**
 * Whether the server of a session has given out one handle for two files, so
 * that the session was ended: one file at a time may be all that it can do.
 */
export function mixesUpFiles(sftp: Sftp): boolean {
  return protocolOf(sftp)?.handles.isFaulty ?? false;
}

/** What fails at its first step. */
const ITERATORS: readonly PropertyKey[] = ["readDir", "walk", "glob"];

/** The open handles of each session. */
const handles = new WeakMap<Sftp, Set<() => void>>();

/**
 * Calls back when a session ends. Not with `then()` on its promise for each
 * handle: a session may outlive any number of them, and would keep them all.
 *
 * @returns Takes the callback back.
 */
function whenEnded(sftp: Sftp, callback: () => void): () => void {
  if (sftp.isClosed) {
    callback();
    return () => {};
  }
  const callbacks = handles.get(sftp) ?? watch(sftp);
  callbacks.add(callback);
  return () => callbacks.delete(callback);
}

function watch(sftp: Sftp): Set<() => void> {
  const callbacks = new Set<() => void>();
  handles.set(sftp, callbacks);
  sftp.closed.then(() => {
    for (const callback of callbacks) callback();
  });
  return callbacks;
}

function refuse(): Promise<never> {
  return Promise.reject(
    new SftpError(
      "SSH_SFTP_CLOSED",
      "Cannot use the SFTP session: it is closed",
    ),
  );
}

async function* refuseAll(): AsyncGenerator<never> {
  yield await refuse();
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((it) => resolve = it);
  return { promise, resolve };
}
