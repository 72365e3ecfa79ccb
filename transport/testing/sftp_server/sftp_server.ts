/**
 * An SFTP server, version 3, over any byte channel. The library itself only
 * ever asks; this is for servers in tests.
 *
 * @module
 */

import {
  PacketReader,
  PacketType,
  type PacketWriter,
} from "../../sftp/packets.ts";
import { PacketSplitter } from "../../sftp/splitter.ts";
import { failed, versionAnswer } from "./_answers.ts";
import { FileError } from "../files/file_error.ts";
import type { MemoryTree } from "../files/memory_tree.ts";
import { Gate } from "../scripts/outcome.ts";
import { Handles } from "./_handles.ts";
import { EXTENSIONS, MAX_REQUEST_BYTES, readRequest } from "./_operations.ts";
import type { DecodedRequest, ServerState } from "./_request.ts";
import type { SftpRequest } from "./request.ts";

/** What an SFTP server is made of. */
export interface SftpServerParts {
  readonly files: MemoryTree;
  /**
   * Sends bytes; a promise if the server is to wait before it does more.
   * What is sent does not change afterwards.
   */
  send(bytes: Uint8Array): Promise<void> | undefined;
  /** Called once, when the server ends the session: the channel is to end. */
  end(): void;
  /**
   * Asked before each request is carried out, in their order: what it throws
   * is the answer, and a promise holds up this request and all behind it.
   */
  gate?(request: SftpRequest): undefined | Promise<void>;
  /** Extensions that it has, by name. Default: all of them. */
  readonly extensions?: readonly string[] | undefined;
}

/** With so many bytes of requests that wait, the client is to wait as well. */
const BACKLOG_BYTES = 2 * 1024 * 1024;

/**
 * The server's side of one session. Like OpenSSH's it carries out one request
 * at a time and answers in the order in which it was asked.
 */
export class SftpServer {
  readonly #parts: SftpServerParts;
  readonly #extensions: readonly string[];
  readonly #splitter = new PacketSplitter((packet) => this.#admit(packet));
  readonly #state: ServerState;
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  readonly #room = new Gate();
  #isBusy = false;
  #isGreeted = false;
  #hasEnded = false;
  #requests = 0;

  /**
   * Makes a server that waits for the client's INIT.
   *
   * @param parts The files, and the channel.
   */
  constructor(parts: SftpServerParts) {
    this.#parts = parts;
    this.#extensions = parts.extensions ?? Object.keys(EXTENSIONS);
    this.#state = { files: parts.files, handles: new Handles() };
  }

  /**
   * Takes bytes of the client, which must not change afterwards.
   *
   * @returns A promise if the client is to wait before it sends more.
   */
  receive(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#hasEnded) return undefined;
    try {
      this.#splitter.push(bytes);
    } catch {
      // Like OpenSSH's, it ends at what it cannot read.
      this.end();
      return undefined;
    }
    this.#pump();
    if (this.#queuedBytes < BACKLOG_BYTES) return undefined;
    return this.#room.wait();
  }

  /** Ends the session from this side. Idempotent. */
  end(): void {
    if (this.#hasEnded) return;
    this.close();
    this.#parts.end();
  }

  /** The channel is gone: what is open is closed. Idempotent. */
  close(): void {
    this.#hasEnded = true;
    this.#queue.length = 0;
    this.#state.handles.closeAll();
    this.#room.open();
  }

  #admit(packet: Uint8Array): void {
    if (packet.length > MAX_REQUEST_BYTES) throw new RangeError("too long");
    this.#queue.push(packet);
    this.#queuedBytes += packet.length;
  }

  #pump(): void {
    while (!this.#isBusy && !this.#hasEnded) {
      const packet = this.#queue.shift();
      if (packet === undefined) return;
      this.#queuedBytes -= packet.length;
      if (this.#queuedBytes < BACKLOG_BYTES) this.#room.open();
      const pending = this.#serve(packet);
      if (pending === undefined) continue;
      this.#isBusy = true;
      pending.finally(() => {
        this.#isBusy = false;
        this.#pump();
      });
    }
  }

  /** Serves one packet; the promise, if there is one, never rejects. */
  #serve(bytes: Uint8Array): Promise<void> | undefined {
    const packet = new PacketReader(bytes);
    let id = 0;
    let operation: DecodedRequest;
    try {
      if (!this.#isGreeted) return this.#greet(packet);
      id = packet.u32();
      operation = readRequest(packet, this.#state, this.#extensions);
    } catch (error) {
      if (error instanceof FileError) return this.#send(id, failed(error));
      this.end();
      return undefined;
    }
    const { run, ...request } = operation;
    const number = ++this.#requests;
    try {
      const gate = this.#parts.gate?.({ ...request, number });
      if (gate === undefined) return this.#send(id, run());
      return gate.then(run).then(
        (answer) => this.#send(id, answer),
        (error) => this.#send(id, failed(error)),
      );
    } catch (error) {
      return this.#send(id, failed(error));
    }
  }

  #greet(packet: PacketReader): Promise<void> | undefined {
    if (packet.type !== PacketType.INIT) throw new TypeError("no INIT");
    packet.u32();
    this.#isGreeted = true;
    const names = this.#extensions.map((it) => [it, EXTENSIONS[it]!] as const);
    return this.#send(0, versionAnswer(names));
  }

  #send(id: number, answer: PacketWriter): Promise<void> | undefined {
    if (this.#hasEnded) return undefined;
    // A channel that takes no more bytes has ended, and says so itself.
    return this.#parts.send(answer.finish(id))?.catch(() => this.close());
  }
}
