/**
 * What a command, a process and a shell need of the session channel below
 * them: an adapter gives a session, and tells its listener what happens.
 *
 * @module
 */

import type { PartialOutput } from "../errors.ts";
import type { CommandStatus } from "../process.ts";

/** Hears of what happens in a session. Must not throw. */
export interface SessionListener {
  /** Whether it keeps no chunk of output, but a copy. */
  readonly copies?: boolean;
  /** The command runs. */
  onStarted(): void;
  /** The command was sent, and may run: input may follow. */
  onSent(): void;
  /** Output; `false` asks for a pause until {@linkcode RemoteSession.resume}. */
  onStdout(chunk: Uint8Array): boolean;
  /** Error output; the same. */
  onStderr(chunk: Uint8Array): boolean;
  /** No more output will come. */
  onEof(): void;
  /** It ended in order. Nothing more is reported. */
  onFinished(status: CommandStatus): void;
  /** It failed, was stopped or was lost. Nothing more is reported. */
  onFailed(reason: unknown): void;
  /** Returns what has arrived so far, for errors. */
  output(): PartialOutput | undefined;
}

/** One session channel, with what was asked for on it. */
export interface RemoteSession {
  /** Whether it is over. */
  readonly isOver: boolean;
  /** Whether the command was sent, and so may have run. */
  readonly mayHaveRun: boolean;
  /** Resolves when its channel has ended, and so its slot is free. */
  readonly ended: Promise<void>;
  /** Asks for the channel, or takes one that was opened ahead of need. */
  open(): void;
  /**
   * Sends input. One write at a time.
   *
   * @returns `undefined` if all of it was sent, else a promise that resolves
   * when it was, or when the channel has ended.
   */
  write(chunk: Uint8Array): Promise<void> | undefined;
  /** Says that no more input will come. */
  endInput(): void;
  /** Lets output flow again. */
  resume(): void;
  /** Sends a signal to the remote process. */
  signal(name: string): void;
  /** Tells the terminal its new size. */
  resize(columns: number, rows: number): void;
  /** Stops the remote process, and does not wait for it. */
  stop(reason: unknown): void;
  /**
   * Stops the remote process: `TERM`, and `KILL` after a time. Its end is
   * awaited up to then.
   *
   * @param reason Makes the error, when it has ended.
   * @param graceMs How long it has; 0 does not wait.
   */
  terminate(reason: () => unknown, graceMs: number): void;
}

/** Makes the session of a listener. */
export type MakeSession = (listener: SessionListener) => RemoteSession;
