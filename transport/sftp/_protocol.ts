import { abortable } from "../abort.ts";
import {
  extended,
  type PacketReader,
  PacketType,
  protocolError,
} from "./packets.ts";
import { decodeText } from "./names.ts";
import { Requests } from "./_requests.ts";
import type { SftpTransport } from "./transport.ts";

/** What is sent in one request where the server names no limit. */
const DEFAULT_CHUNK_BYTES = 32 * 1024;

/** What is sent in one request at most, whatever the server names. */
const MAX_CHUNK_BYTES = 255 * 1024;

/** What one request carries at most; a limit of 0 stands for none. */
function chunkBytes(limit: bigint): number {
  if (limit === 0n) return DEFAULT_CHUNK_BYTES;
  return Math.min(Number(limit), MAX_CHUNK_BYTES);
}

/** Which of its two paths SYMLINK has first. */
export type LinkOrder = "target first" | "link first";

/** What a transfer needs of a session beside its files; see {@linkcode protocolOf}. */
export const PROTOCOL: unique symbol = Symbol("SFTP protocol");

/**
 * Returns what a session runs on.
 *
 * @param sftp The session.
 * @returns `undefined` if the session is none of this library.
 */
export function protocolOf(sftp: object): Protocol | undefined {
  return (sftp as { [PROTOCOL]?: Protocol })[PROTOCOL];
}

/**
 * The handles that a server has open for a session: which, so that none is
 * taken for two files, and how many files transfers may have open at once.
 */
export class OpenHandles {
  readonly #open = new Map<string, { readonly path: string; count: number }>();
  readonly #waiting: (() => void)[] = [];
  /** Whether the server has given out one for two files. */
  isFaulty = false;
  #limit = Infinity;
  #borrowed = 0;

  /**
   * Notes a handle that the server has given out.
   *
   * @returns `false` if it is that of another file: what is read or written
   * through it may then belong to either.
   */
  opened(handle: Uint8Array, path: string): boolean {
    const key = String.fromCharCode(...handle);
    const there = this.#open.get(key);
    if (there === undefined) this.#open.set(key, { path, count: 1 });
    else if (there.path === path) there.count++;
    else this.isFaulty = true;
    return !this.isFaulty;
  }

  /** Notes that a handle is being closed. */
  closing(handle: Uint8Array): void {
    const key = String.fromCharCode(...handle);
    const there = this.#open.get(key);
    if (there !== undefined && --there.count === 0) this.#open.delete(key);
  }

  /** Sets how many files transfers may have open; 1 at least. */
  allow(limit: number): void {
    this.#limit = Math.max(1, limit);
    this.#wake();
  }

  /**
   * Waits until one more file may be open.
   *
   * @throws The signal's reason on abort.
   */
  async borrow(signal: AbortSignal): Promise<void> {
    while (this.#borrowed >= this.#limit) {
      const room = new Promise<void>((resolve) => this.#waiting.push(resolve));
      await abortable(room, signal);
    }
    this.#borrowed++;
  }

  /** Returns what `borrow()` gave. */
  giveBack(): void {
    this.#borrowed--;
    this.#wake();
  }

  /**
   * Allows fewer files, since one could not be opened.
   *
   * @returns Whether there were others open, so that it may have been that.
   */
  allowFewer(): boolean {
    if (this.#borrowed <= 1) return false;
    this.#limit = Math.min(this.#limit, this.#borrowed - 1);
    return true;
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** One session: its requests, and what its server can do. */
export class Protocol {
  /** The host, as `user@host:port`, for errors. */
  readonly host: string | undefined;
  /** The requests in flight. */
  readonly requests: Requests;
  /** Resolves when the server has answered the greeting. */
  readonly ready: Promise<void>;
  /** What one READ asks for at most, in bytes. */
  maxReadBytes: number = DEFAULT_CHUNK_BYTES;
  /** What one WRITE sends at most, in bytes. */
  maxWriteBytes: number = DEFAULT_CHUNK_BYTES;
  /** What the server has open. */
  readonly handles: OpenHandles = new OpenHandles();
  /** The home folder, once it was asked for. */
  home: Promise<string> | undefined;
  #linkOrder: LinkOrder | undefined;
  readonly #extensions = new Map<string, string>();

  /**
   * Starts a session.
   *
   * @param transport The channel, which this owns from here on.
   * @param host The name of the host for errors.
   */
  constructor(transport: SftpTransport, host?: string) {
    this.host = host;
    let greeted = () => {};
    const version = new Promise<void>((resolve) => greeted = resolve);
    this.requests = new Requests(transport, host, (packet) => {
      this.#greeted(packet);
      greeted();
    });
    this.ready = Promise.race([version, this.#failed()]);
    this.ready.catch(() => {});
  }

  /**
   * Tells whether the server has an extension.
   *
   * @param name Its name.
   * @param version Its version.
   */
  has(name: string, version: string): boolean {
    return this.#extensions.get(name) === version;
  }

  /**
   * Whether the server is known to carry out requests about one file in the
   * order in which they were sent, as the draft asks (section 4.1). Those that
   * write in parallel, such as Go's `pkg/sftp`, do not have this extension.
   */
  get keepsOrder(): boolean {
    return this.has("fsync@openssh.com", "1");
  }

  /** The order of the paths of SYMLINK; `undefined` while it is not known. */
  get linkOrder(): LinkOrder | undefined {
    const isOpenSsh = this.has("lsetstat@openssh.com", "1");
    return this.#linkOrder ?? (isOpenSsh ? "target first" : undefined);
  }

  set linkOrder(order: LinkOrder) {
    this.#linkOrder = order;
  }

  async #failed(): Promise<never> {
    await this.requests.ended;
    throw this.requests.endError();
  }

  #greeted(packet: PacketReader): void {
    const version = packet.u32();
    if (version !== 3) throw protocolError(`version ${version}, needed is 3`);
    while (packet.left > 0) {
      const name = decodeText(packet.bytes());
      this.#extensions.set(name, decodeText(packet.bytes()));
    }
    if (this.has("limits@openssh.com", "1")) this.#askLimits();
  }

  /** Sent ahead of every other request, so answered before most of them. */
  #askLimits(): void {
    this.requests.send(extended("limits@openssh.com")).then((answer) => {
      if (answer.type !== PacketType.EXTENDED_REPLY) return;
      this.parse(() => {
        answer.u64(); // the largest packet
        this.maxReadBytes = chunkBytes(answer.u64());
        this.maxWriteBytes = chunkBytes(answer.u64());
        const handles = Number(answer.u64());
        // One is left for the folder that is listed meanwhile.
        if (handles > 0) this.handles.allow(handles - 1);
      });
    }).catch(() => {});
  }

  /** Reads an answer; a broken one ends the session. */
  parse<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      this.requests.end(error as Error);
      throw error;
    }
  }

  /** Makes the error of a broken answer, which ends the session. */
  broken(detail: string): Error {
    const error = protocolError(detail);
    this.requests.end(error);
    return error;
  }
}
