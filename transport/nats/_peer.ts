/**
 * This process on the bus: its streams, and whether those that it has streams
 * with are alive.
 *
 * @module
 */

import {
  AUDIT_BYTES,
  AUDITED,
  auditOf,
  countOf,
  heed,
  verdictOn,
} from "./_audit.ts";
import { type Bus, type BusMessage, watchBus } from "./bus.ts";
import {
  busFrame,
  CHUNK_BYTES,
  Frame,
  HEADER_BYTES,
  newId,
  Violation,
  wordAt,
} from "./_frames.ts";
import { Mailbox } from "./_mailbox.ts";
import { PeerQuestions } from "./_questions.ts";
import { Remote } from "./_remote.ts";
import type { Stream, StreamPeer } from "./_stream.ts";

/** What windows may grow to beyond their first size, all together, in bytes. */
const BUDGET_BYTES = 32 * 1024 * 1024;
/**
 * Streams that the pings of one peer may name from tick to tick, all strangers
 * together as one: who names more has no answer.
 */
const MAX_AUDITED = 5 * AUDITED;
/** So often may strangers be told, in a second, that a stream is not known. */
const RESETS_PER_SECOND = 500;

/** What a peer is made of. */
export interface PeerParts {
  readonly bus: Bus;
  /** The subject below which it listens. */
  readonly base: string;
  /** What the subject of those looks like that it talks to. */
  readonly remote: RegExp;
  /** Time between two pings of a peer that is in use, in milliseconds. */
  readonly pingMs: number;
  /** Pings without an answer after which a peer counts as gone. */
  readonly maxMisses: number;
  /** A peer that is not in use is pinged every so many times. */
  readonly idleEvery: number;
  /** Somebody opens a stream. */
  onOpen?(id: string, payload: Uint8Array, remote: string): void;
  /** Called with each tick. */
  onTick?(): void;
  /** The server refuses what it sends, or where it listens. */
  onFault?(error: Error): void;
}

/** This process on the bus. */
export class Peer implements StreamPeer {
  /** Why it cannot listen: the server refuses it. */
  fault: Error | undefined;
  readonly #parts: PeerParts;
  readonly #streams = new Map<string, Stream>();
  readonly #remotes = new Map<string, Remote>();
  readonly #questions = new PeerQuestions();
  readonly #unwatch: () => void;
  readonly #mailbox: Mailbox;
  #subscription: { unsubscribe(): void } | undefined;
  #subject = "";
  #timer: ReturnType<typeof setInterval> | undefined;
  #reserved = 0;
  #resets = 0;
  /** As `audited`, of those that there are no streams with. */
  #auditedOfStrangers = 0;
  #isDown = false;
  #isClosed = false;
  readonly #onRefused = new Set<(subject: string) => void>();

  constructor(parts: PeerParts) {
    this.#parts = parts;
    this.#mailbox = new Mailbox(parts.bus);
    this.#isDown = parts.bus.isClosed();
    if (!this.#isDown) this.#begin();
    this.#unwatch = watchBus(parts.bus, {
      onDown: () => this.#onDown(),
      onUp: () => this.#onUp(),
      onRefused: (subject, error) => {
        for (const told of [...this.#onRefused]) told(subject);
        parts.onFault?.(error);
      },
    });
  }

  /**
   * Where it listens. New after each break of the bus: what was on its way then
   * is nobody's any more.
   */
  get subject(): string {
    return this.#subject;
  }

  get chunkBytes(): number {
    return Math.min(CHUNK_BYTES, this.#mailbox.maxBytes - HEADER_BYTES);
  }

  /** Whether the bus is not there. */
  get isDown(): boolean {
    return this.#isDown || this.#isClosed;
  }

  /** Listens to what the server refuses; returns what ends that. */
  whenRefused(told: (subject: string) => void): () => void {
    this.#onRefused.add(told);
    return () => void this.#onRefused.delete(told);
  }

  /** Keeps ticking although there are no streams. */
  keepTicking(): void {
    this.#timer ??= setInterval(() => this.#tick(), this.#parts.pingMs);
  }

  publish(subject: string, payload: Uint8Array, reply: string): void {
    // Where the bus is gone the stream is being lost, and nobody reads this.
    if (this.isDown) return;
    this.#mailbox.send(subject, payload, reply);
  }

  /**
   * Asks a question, to which there is one answer.
   *
   * @returns The answer; `undefined` if there is none in time, or if the bus
   * breaks.
   * @throws {NobodyThere} If nobody listens.
   * @throws The reason of the signal.
   */
  ask(
    subject: string,
    payload: Uint8Array,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    if (this.isDown) return Promise.resolve(undefined);
    const send = (id: string) =>
      this.publish(subject, payload, `${this.#subject}.${id}`);
    return this.#questions.ask(send, timeoutMs, signal);
  }

  /** Whether there is a stream of that name. */
  has(id: string): boolean {
    return this.#streams.has(id);
  }

  add(stream: Stream): void {
    if (this.#streams.has(stream.id)) throw new Violation("a name is in use");
    this.#streams.set(stream.id, stream);
    const remote = this.#remotes.get(stream.remote) ?? new Remote();
    this.#remotes.set(stream.remote, remote);
    remote.streams.add(stream);
    if (!stream.isIdle) remote.busy++;
    this.keepTicking();
  }

  remove(stream: Stream): void {
    if (!this.#streams.delete(stream.id)) return;
    const remote = this.#remotes.get(stream.remote);
    if (remote === undefined) return;
    remote.streams.delete(stream);
    if (!stream.isIdle) remote.busy--;
    if (remote.streams.size === 0) this.#remotes.delete(stream.remote);
    this.#rest();
  }

  /**
   * Pings a peer at each tick, as one that runs something.
   *
   * @returns Ends that.
   */
  attend(subject: string): () => void {
    const remote = this.#remotes.get(subject);
    if (remote === undefined) return () => {};
    remote.busy++;
    return () => void remote.busy--;
  }

  /** Takes room for a larger window, if there is some. */
  reserve(bytes: number): boolean {
    if (this.#reserved + bytes > BUDGET_BYTES) return false;
    this.#reserved += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#reserved -= bytes;
  }

  /** Tells the other side that a stream is over here. */
  reset(stream: { readonly remote: string; readonly id: string }): void {
    this.#sendReset(`${stream.remote}.${stream.id}`);
  }

  /** Ends it: streams are lost, and nothing is listened to. */
  close(): void {
    if (this.#isClosed) return;
    this.#loseAll("it was closed on this side");
    this.#mailbox.flush();
    this.#isClosed = true;
    this.#unwatch();
    this.#unsubscribe();
    clearInterval(this.#timer);
  }

  #begin(): void {
    this.#unsubscribe();
    this.#subject = `${this.#parts.base}.${newId()}`;
    this.#subscription = this.#parts.bus.subscribe(`${this.#subject}.*`, {
      callback: (error, message) => {
        if (error === null) return this.#receive(message);
        this.fault = error;
        this.#parts.onFault?.(error);
      },
    });
  }

  #unsubscribe(): void {
    try {
      this.#subscription?.unsubscribe();
    } catch {
      // The bus was closed.
    }
    this.#subscription = undefined;
  }

  #onDown(): void {
    if (this.#isDown || this.#isClosed) return;
    this.#isDown = true;
    this.#mailbox.clear();
    this.#loseAll("the connection to the bus broke");
  }

  #onUp(): void {
    if (this.#isClosed || !this.#isDown) return;
    this.#isDown = false;
    this.fault = undefined;
    this.#begin();
  }

  #loseAll(message: string): void {
    for (const stream of [...this.#streams.values()]) {
      stream.lose({ message, isUndelivered: false });
    }
    this.#questions.end();
  }

  #receive(message: BusMessage): void {
    const { subject, data, reply = "" } = message;
    const id = subject.slice(this.#subject.length + 1);
    if (id === "ping") return this.#onPing(message);
    if (this.#questions.take(id, message)) return;
    const stream = this.#streams.get(id);
    if (message.headers?.code === 503) {
      stream?.undelivered();
      const remote = stream?.remote ?? "";
      // Its whole subject has no subscriber: each stream has an answer for that.
      if (this.#remotes.get(remote)?.noteLeft()) this.#left(remote, false);
      return;
    }
    if (stream !== undefined) {
      // Whoever else has learnt the name of a stream does not disturb it.
      if (reply === "" || reply === stream.sender) stream.receive(data);
      return;
    }
    const at = reply.lastIndexOf(".");
    const remote = reply.slice(0, at);
    const isKnown = reply.slice(at + 1) === id &&
      (this.#remotes.has(remote) || this.#parts.remote.test(remote));
    if (!isKnown || data.length < HEADER_BYTES) return;
    const isFirst = data[0] === Frame.open && wordAt(data, 1) === 0;
    if (isFirst && this.#parts.onOpen !== undefined) {
      this.#parts.onOpen(id, data.subarray(HEADER_BYTES), remote);
    } else if (!QUIET.has(data[0]!)) this.#sendReset(reply);
  }

  #onPing(message: BusMessage): void {
    const { data, reply = "" } = message;
    const subject = reply.slice(0, reply.lastIndexOf("."));
    const remote = this.#remotes.get(subject);
    // What answers has more rights on the bus than who asks.
    if (remote === undefined && !this.#parts.remote.test(subject)) return;
    const count = 1 + countOf(data);
    if (remote !== undefined) remote.audited += count;
    else {
      this.#auditedOfStrangers += count;
      this.keepTicking();
    }
    const audited = remote?.audited ?? this.#auditedOfStrangers;
    if (audited > MAX_AUDITED) return;
    // In its order: what ends a stream, and is on its way, has to come first.
    this.#mailbox.send(reply, verdictOn(data, this.#streams, subject));
  }

  #sendReset(to: string): void {
    if (this.#resets >= RESETS_PER_SECOND || this.isDown) return;
    this.#resets++;
    this.keepTicking();
    this.#mailbox.send(to, busFrame(Frame.reset, 0));
  }

  #tick(): void {
    this.#resets = 0;
    this.#auditedOfStrangers = 0;
    for (const remote of this.#remotes.values()) remote.beginTick();
    this.#parts.onTick?.();
    if (this.isDown) return;
    for (const [subject, remote] of [...this.#remotes]) {
      const { idleEvery } = this.#parts;
      const isDue = remote.busy > 0 || remote.misses > 0 ||
        ++remote.ticks % idleEvery === 0;
      if (isDue && !remote.isAsked) void this.#ping(subject, remote);
    }
    this.#rest();
  }

  /** Ticks no more if there is nobody to ping. */
  #rest(): void {
    if (this.#remotes.size === 0 && this.#parts.onTick === undefined) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }

  /**
   * Asks whether a peer is there, and whether it has received what was sent: a
   * stream whose last frame was lost would be silent for ever.
   */
  async #ping(subject: string, remote: Remote): Promise<void> {
    remote.isAsked = true;
    const { pingMs, maxMisses } = this.#parts;
    try {
      const audit = auditOf(this.#due(remote));
      const data = await this.ask(`${subject}.ping`, audit, pingMs * 0.95);
      if (data !== undefined) {
        remote.misses = 0;
        heed(data, this.#streams, subject);
      } else if (!this.isDown && ++remote.misses >= maxMisses) {
        this.#gone(subject, `no answer to ${remote.misses} pings`);
      }
    } catch {
      this.#left(subject, true);
    } finally {
      remote.isAsked = false;
    }
  }

  /** The streams whose turn it is to be audited. */
  #due(remote: Remote): Stream[] {
    const all = [...remote.streams];
    const start = remote.auditAt < all.length ? remote.auditAt : 0;
    const fitting = Math.floor(this.#mailbox.maxBytes / AUDIT_BYTES);
    remote.auditAt = start + Math.min(AUDITED, fitting);
    return all.slice(start, remote.auditAt);
  }

  /**
   * Nobody listens at a peer. What was just opened has an answer of its own on
   * its way, if it came too late: that says that nothing ran.
   *
   * @param isAsked Whether it is the answer to a ping: one that was opened
   * before the last ping has had its answer.
   */
  #left(subject: string, isAsked: boolean): void {
    const isSpared = (stream: Stream) => {
      if (!stream.isJustOpened || stream.wasSpared) return false;
      stream.wasSpared = isAsked;
      return true;
    };
    this.#gone(subject, "the other side has left the bus", isSpared);
  }

  #gone(
    subject: string,
    message: string,
    isSpared: (stream: Stream) => boolean = () => false,
  ): void {
    const remote = this.#remotes.get(subject);
    for (const stream of [...remote?.streams ?? []]) {
      if (isSpared(stream)) continue;
      // If it is alive after all, it must not wait for what has ended here.
      this.reset(stream);
      stream.lose({ message, isUndelivered: false });
    }
  }
}

/** Frames that cross the end of a stream, and need no answer. */
const QUIET: ReadonlySet<number> = new Set([
  Frame.reset,
  Frame.stop,
  Frame.credit,
  Frame.closed,
]);
