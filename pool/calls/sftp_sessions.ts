/**
 * The SFTP sessions of one host: one on a connection, shared by all callers and
 * kept until its slot is needed.
 *
 * @module
 */

import { abortable, Deadline } from "../../transport/abort.ts";
import type { Sftp } from "../../transport/sftp/sftp.ts";
import { sftpOf } from "../../transport/sftp/over_tunnel.ts";
import { startSudoSftp } from "../../transport/sftp/sudo_sftp.ts";
import { shareSftp } from "../../transport/sftp/shared_session.ts";
import type { Lane } from "../lane/lane.ts";
import type { PooledConnection } from "../connection/pooled_connection.ts";
import { POOL_SFTP_OPTIONS, type PoolSftpOptions } from "../options.ts";
import type { Operation } from "../telemetry/tracing.ts";
import {
  type CallContext,
  CallTarget,
  type CheckedAcquireOptions,
  onLane,
  rejecting,
  type SftpLender,
  traced,
} from "./call.ts";
import { run, type SlotJob, unsupported } from "./run.ts";
import { AcquireTimeoutError } from "../../transport/pool_errors.ts";
import { acquireTimedOut } from "../lane/wait_error.ts";
import type { WaitOptions } from "../lane/wait_queue.ts";

/** One session, its borrowers, and its slot. */
class FileSession {
  readonly sftp: Sftp;
  readonly pooled: PooledConnection;
  #borrowers = 0;
  /** Takes the slot into use again; undefined while it is in use. */
  #unpark: (() => boolean) | undefined;

  constructor(sftp: Sftp, pooled: PooledConnection) {
    this.sftp = sftp;
    this.pooled = pooled;
  }

  /** Lends the session, unless it has ended or its slot was reclaimed. */
  tryLend(): Sftp | undefined {
    if (this.sftp.isClosed || !this.pooled.isUsable) return undefined;
    if (this.#unpark?.() === false) return undefined;
    this.#unpark = undefined;
    return this.lend();
  }

  /**
   * Lends a session that is in use. Its first borrower is the caller that it
   * was started for: nobody else would close it.
   */
  lend(): Sftp {
    this.#borrowers++;
    return shareSftp(this.sftp, () => this.#giveBack());
  }

  #giveBack(): void {
    if (--this.#borrowers > 0 || this.sftp.isClosed) return;
    this.#unpark = this.pooled.parkSlot(() => this.sftp.close());
  }
}

/** Lends an SFTP session. */
export function lendSftp(
  target: CallTarget,
  options?: PoolSftpOptions,
): Promise<Sftp> {
  return rejecting(() => sftp(target, POOL_SFTP_OPTIONS.check(options)));
}

/** Options that were checked. */
export interface CheckedSftpOptions extends CheckedAcquireOptions {
  readonly sudo?: PoolSftpOptions["sudo"] | undefined;
}

/** The same with options that were checked, as a part of another call. */
export function sftp(
  target: CallTarget,
  { sudo, ...options }: CheckedSftpOptions,
  parent?: Operation,
): Promise<Sftp> {
  // Never shared: whose password was asked for is the caller of this one.
  if (sudo) return ownSftp(target, { sudo, ...options }, parent);
  const call = { ...options, name: "sftp", parent } as const;
  return onLane(target, call, async (lane, wait) => {
    const session = await target.pool.filesOf(lane).open(wait);
    wait.operation?.holdUntil(session.closed);
    return session;
  });
}

/** Starts a session for one caller alone. */
export async function ownSftp(
  target: CallTarget,
  { sudo, ...options }: CheckedSftpOptions,
  parent?: Operation,
): Promise<Sftp> {
  const call = { ...options, name: "sftp", parent } as const;
  const { signal } = options;
  const { sftp } = await traced(target, call, (operation) => {
    const job: SlotJob<OwnSession> = {
      ...call,
      kind: "stream",
      start: async (connection, onOpen) => {
        if (sudo) {
          return await startSudoSftp(connection, { sudo, signal, onOpen });
        }
        const sftp = await sftpOf(connection, signal);
        if (sftp === undefined) throw unsupported(connection, "SFTP");
        onOpen();
        return { sftp, ended: sftp.closed };
      },
      hold: ({ ended }) => ended,
    };
    return run(target, job, operation);
  });
  return sftp;
}

interface OwnSession {
  readonly sftp: Sftp;
  readonly ended: Promise<unknown>;
}

/** The lane of sessions: known, and in use. */
class LaneTarget extends CallTarget {
  readonly #lane: Lane;

  constructor(pool: CallContext, lane: Lane) {
    super(pool, lane.host);
    this.#lane = lane;
  }

  override find(): Lane {
    return this.#lane;
  }
}

/** Lends SFTP sessions on the connections of one lane. */
export class FileSessions implements SftpLender {
  readonly #context: CallContext;
  readonly #lane: Lane;
  readonly #target: CallTarget;
  readonly #sessions = new Set<FileSession>();
  /** A session that is started; fails as it does, unless its caller has left. */
  #starting: Promise<unknown> | undefined;

  constructor(context: CallContext, lane: Lane) {
    this.#context = context;
    this.#lane = lane;
    this.#target = new LaneTarget(context, lane);
  }

  /**
   * Lends a session: one that there is, or a new one. Callers that come while
   * one is started share it.
   *
   * @throws {SshError} If there is no connection, no slot, or no SFTP.
   * @throws The signal's reason on abort.
   */
  async open(options: WaitOptions): Promise<Sftp> {
    const startedAt = performance.now();
    for (;;) {
      for (const session of this.#sessions) {
        const sftp = session.tryLend();
        if (sftp !== undefined) return sftp;
      }
      const left = this.#left(options, startedAt);
      if (this.#starting === undefined) return await this.#start(left);
      await this.#join(this.#starting, left, startedAt);
    }
  }

  /** Returns the options with the time that is left of the time limit. */
  #left(options: WaitOptions, startedAt: number): WaitOptions {
    const waitedMs = performance.now() - startedAt;
    if (options.timeoutMs === 0) return options;
    const timeoutMs = options.timeoutMs - waitedMs;
    if (timeoutMs > 0) return { ...options, timeoutMs };
    throw acquireTimedOut(this.#lane, this.#context, waitedMs);
  }

  async #start(options: WaitOptions): Promise<Sftp> {
    const starting = this.#run(options);
    this.#starting = starting.catch((error) => {
      // Those who wait along have a signal and a time limit of their own: one
      // of them starts a session then.
      const hasLeft = options.signal?.aborted ||
        error instanceof AcquireTimeoutError;
      if (!hasLeft) throw error;
    });
    this.#starting.catch(() => {});
    try {
      const session = await starting;
      this.#sessions.add(session);
      session.sftp.closed.then(() => this.#sessions.delete(session));
      return session.lend();
    } finally {
      this.#starting = undefined;
    }
  }

  #run(wait: WaitOptions): Promise<FileSession> {
    const { signal, timeoutMs, operation } = wait;
    const job: SlotJob<FileSession> = {
      name: "sftp",
      signal,
      acquireTimeoutMs: timeoutMs,
      kind: "stream",
      start: async (connection, opened, pooled) => {
        const session = await sftpOf(connection, signal);
        if (session === undefined) throw unsupported(connection, "SFTP");
        opened();
        return new FileSession(session, pooled);
      },
      hold: ({ sftp }) => sftp.closed,
    };
    return run(this.#target, job, operation);
  }

  /** Waits for a session that another caller starts, and shares its failure. */
  async #join(
    starting: Promise<unknown>,
    { signal, timeoutMs }: WaitOptions,
    startedAt: number,
  ): Promise<void> {
    const late = () =>
      acquireTimedOut(
        this.#lane,
        this.#context,
        performance.now() - startedAt,
      );
    const limitMs = timeoutMs === 0 ? Infinity : timeoutMs;
    const deadline = new Deadline(limitMs, late, signal);
    try {
      await abortable(starting, deadline.signal);
    } finally {
      deadline.cancel();
    }
  }
}
