import { cleanedUp, settledWithin } from "./_clean_up.ts";
import { PacketType } from "./packets.ts";
import { feed } from "./_feed.ts";
import type { Call, Handle, Protocol } from "./_protocol.ts";
import { readAhead } from "./_read_ahead.ts";
import type { Effects } from "./_requests.ts";
import { WriteBehind } from "./_write_behind.ts";
import type {
  SftpAttributes,
  SftpCallOptions,
  SftpFile,
  SftpRangeOptions,
  SftpWriteFromOptions,
} from "./file.ts";
import { seconds } from "./_seconds.ts";
import type { SftpFileInfo } from "./file_info.ts";

/** How long a source may take to end after a failure, in milliseconds. */
const SOURCE_END_MS = 200;

/** An open file over the requests of a session. */
export class OpenFile implements SftpFile {
  readonly path: string;
  readonly #protocol: Protocol;
  /** What was done through the file, from its opening on. */
  readonly #effects: Effects | undefined;
  /** The server's name of the open file. */
  readonly handle: Handle;
  /** Where `writable` begins. */
  readonly start: number;
  #readable: ReadableStream<Uint8Array> | undefined;
  #writable: WritableStream<Uint8Array> | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Takes an open handle.
   *
   * @param protocol The session.
   * @param opened The call that has opened it.
   * @param handle The server's name of the open file.
   * @param start Where `writable` begins.
   */
  constructor(protocol: Protocol, opened: Call, handle: Handle, start = 0) {
    this.#protocol = protocol;
    this.path = opened.path;
    this.#effects = opened.effects;
    this.handle = handle;
    this.start = start;
  }

  get readable(): ReadableStream<Uint8Array> {
    return this.#readable ??= this.#makeReadable();
  }

  get writable(): WritableStream<Uint8Array> {
    return this.#writable ??= this.#makeWritable();
  }

  async readAt(
    into: Uint8Array,
    offset: number,
    options: SftpCallOptions = {},
  ): Promise<number | null> {
    if (into.length === 0) return 0;
    let filled = 0;
    const range = { offset, end: offset + into.length };
    const call = this.#call("read", options);
    for await (
      const piece of readAhead(this.#protocol, call, this.handle, range)
    ) {
      into.set(piece, filled);
      filled += piece.length;
    }
    return filled === 0 ? null : filled;
  }

  async writeAt(
    data: Uint8Array,
    offset: number,
    options: SftpCallOptions = {},
  ): Promise<void> {
    const call = this.#call("write", options);
    const writer = new WriteBehind(this.#protocol, call, this.handle, offset);
    await writer.write(data);
    await writer.finish();
  }

  readRange(
    options: SftpRangeOptions = {},
  ): AsyncIterableIterator<Uint8Array> {
    const call = this.#call("read", options);
    return readAhead(this.#protocol, call, this.handle, options);
  }

  async writeFrom(
    source: AsyncIterable<Uint8Array>,
    offset: number,
    options: SftpWriteFromOptions = {},
  ): Promise<void> {
    const call = this.#call("write", options);
    const writer = new WriteBehind(this.#protocol, call, this.handle, offset);
    const pieces = source[Symbol.asyncIterator]();
    try {
      await feed(this.#protocol, call, writer, () => pieces.next());
    } catch (error) {
      // A local file is done with soon. A source that is idle ends only when it
      // has something to give.
      const ended = Promise.resolve(pieces.return?.());
      await settledWithin(SOURCE_END_MS, ended);
      throw error;
    }
    await writer.finish(options.onSent);
  }

  stat(options: SftpCallOptions = {}): Promise<SftpFileInfo> {
    const call = this.#call("stat", options);
    return this.#protocol.stat(call, PacketType.FSTAT, this.handle);
  }

  async truncate(length = 0, options: SftpCallOptions = {}): Promise<void> {
    const call = this.#call("truncate", options);
    await this.#protocol.setStat(call, { size: length }, this.handle);
  }

  async chmod(mode: number, options: SftpCallOptions = {}): Promise<void> {
    const call = this.#call("chmod", options);
    await this.#protocol.setStat(call, { mode }, this.handle);
  }

  async setAttributes(
    { mode, times }: SftpAttributes,
    options: SftpCallOptions = {},
  ): Promise<void> {
    const call = this.#call("set attributes of", options);
    const changes = {
      mode,
      times: times && {
        atime: seconds("atime", times.atime),
        mtime: seconds("mtime", times.mtime),
      },
    };
    await this.#protocol.setStat(call, changes, this.handle);
  }

  async sync(options: SftpCallOptions = {}): Promise<boolean> {
    if (!this.#protocol.has("fsync@openssh.com", "1")) return false;
    await this.#protocol.sync(this.#call("sync", options), this.handle);
    return true;
  }

  close(): Promise<void> {
    const call = this.#call("close", {});
    this.#closing ??= this.#protocol.close(call, this.handle);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await cleanedUp(this.close());
  }

  #call(action: string, { signal }: SftpCallOptions): Call {
    return { action, path: this.path, signal, effects: this.#effects };
  }

  #makeReadable(): ReadableStream<Uint8Array> {
    const stop = new AbortController();
    const call = this.#call("read", { signal: stop.signal });
    const pieces = readAhead(this.#protocol, call, this.handle);
    const finish = async (reason?: unknown) => {
      stop.abort(reason);
      await pieces.return();
      await this[Symbol.asyncDispose]();
    };
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        try {
          const { done, value } = await pieces.next();
          if (!done) return controller.enqueue(value);
          await finish();
          controller.close();
        } catch (error) {
          await finish();
          throw error;
        }
      },
      cancel: finish,
    }, { highWaterMark: 0 });
  }

  #makeWritable(): WritableStream<Uint8Array> {
    const stop = new AbortController();
    const call = this.#call("write", { signal: stop.signal });
    const writer = new WriteBehind(
      this.#protocol,
      call,
      this.handle,
      this.start,
    );
    return new WritableStream<Uint8Array>({
      start: (controller) =>
        controller.signal.addEventListener(
          "abort",
          () => stop.abort(controller.signal.reason),
          { once: true },
        ),
      write: async (chunk) => {
        try {
          await writer.write(chunk);
        } catch (error) {
          await this[Symbol.asyncDispose]();
          throw error;
        }
      },
      close: async () => {
        try {
          await writer.finish(() => this.close().catch(() => {}));
        } catch (error) {
          await this[Symbol.asyncDispose]();
          throw error;
        }
        await this.close();
      },
      abort: () => this[Symbol.asyncDispose](),
    });
  }
}
