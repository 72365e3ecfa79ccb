import { settledWithin } from "../abort.ts";
import { cleanedUp } from "./_unfinished.ts";
import { diagnosed, lookForExisting, lookForFolder } from "./_diagnose.ts";
import { seconds } from "./_attributes.ts";
import type { Handle, SftpCall } from "./_call.ts";
import {
  ATTRIBUTES,
  CALL_OPTIONS,
  POSITION,
  RANGE_OPTIONS,
  WRITE_FROM_OPTIONS,
} from "./_option_tables.ts";
import { readAhead } from "./_read_ahead.ts";
import { WriteBehind, writeSource } from "./_write_behind.ts";
import { quotedPath, SftpError } from "./errors.ts";
import type {
  SftpAttributes,
  SftpCallOptions,
  SftpFile,
  SftpFileInfo,
  SftpRangeOptions,
  SftpWriteFromOptions,
} from "./file.ts";
import type { SftpOpenOptions } from "./options.ts";
import { OpenFlag, PacketType } from "./packets.ts";

/** How long a source may take to end after a failure, in milliseconds. */
const SOURCE_END_MS = 200;

/** An open file over the requests of a session. */
export class OpenFile implements SftpFile {
  readonly path: string;
  readonly #opened: SftpCall;
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
   * @param opened The call that has opened it.
   * @param handle The server's name of the open file.
   * @param start Where `writable` begins.
   */
  constructor(opened: SftpCall, handle: Handle, start = 0) {
    this.path = opened.path;
    this.#opened = opened;
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
    const call = this.#call("read", options);
    POSITION.check({ offset });
    if (into.length === 0) return 0;
    let filled = 0;
    const range = { offset, end: offset + into.length };
    for await (
      const piece of readAhead(call, this.handle, range)
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
    POSITION.check({ offset });
    const writer = new WriteBehind(call, this.handle, offset);
    await writer.write(data);
    await writer.finish();
  }

  readRange(
    options: SftpRangeOptions = {},
  ): AsyncIterableIterator<Uint8Array> {
    const range = RANGE_OPTIONS.check(options);
    return readAhead(this.#begin("read", range), this.handle, range);
  }

  async writeFrom(
    source: AsyncIterable<Uint8Array>,
    offset: number,
    options: SftpWriteFromOptions = {},
  ): Promise<void> {
    const { onSent, onWritten, ...given } = WRITE_FROM_OPTIONS.check(options);
    POSITION.check({ offset });
    const call = this.#begin("write", given);
    const writer = new WriteBehind(call, this.handle, offset);
    writer.onWritten = onWritten;
    const pieces = source[Symbol.asyncIterator]();
    try {
      await writeSource(call, writer, () => pieces.next());
    } catch (error) {
      // A local file is done with soon. A source that is idle ends only when it
      // has something to give.
      const ended = Promise.resolve(pieces.return?.());
      await settledWithin(SOURCE_END_MS, ended);
      throw error;
    }
    await writer.finish(onSent);
  }

  async stat(options: SftpCallOptions = {}): Promise<SftpFileInfo> {
    const call = this.#call("stat", options);
    return await call.stat(PacketType.FSTAT, this.handle);
  }

  async truncate(length = 0, options: SftpCallOptions = {}): Promise<void> {
    const call = this.#call("truncate", options);
    await call.setStat({ size: length }, this.handle);
  }

  async chmod(mode: number, options: SftpCallOptions = {}): Promise<void> {
    const call = this.#call("chmod", options);
    await call.setStat({ mode }, this.handle);
  }

  async setAttributes(
    attributes: SftpAttributes,
    options: SftpCallOptions = {},
  ): Promise<void> {
    const { mode, owner, times } = ATTRIBUTES.check(attributes);
    const call = this.#call("set attributes of", options);
    const changes = {
      mode,
      owner,
      times: times && {
        atime: seconds("atime", times.atime),
        mtime: seconds("mtime", times.mtime),
      },
    };
    await call.setStat(changes, this.handle);
  }

  async sync(options: SftpCallOptions = {}): Promise<boolean> {
    const call = this.#call("sync", options);
    if (!this.#opened.protocol.has("fsync@openssh.com", "1")) return false;
    await call.sync(this.handle);
    return true;
  }

  close(): Promise<void> {
    const call = this.#begin("close", {});
    this.#closing ??= call.close(this.handle);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await cleanedUp(this.close());
  }

  #call(action: string, options: SftpCallOptions): SftpCall {
    return this.#begin(action, CALL_OPTIONS.check(options));
  }

  #begin(action: string, { signal }: SftpCallOptions): SftpCall {
    return this.#opened.at(this.path, action).withSignal(signal);
  }

  #makeReadable(): ReadableStream<Uint8Array> {
    const stop = new AbortController();
    const call = this.#begin("read", { signal: stop.signal });
    const pieces = readAhead(call, this.handle);
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
    const call = this.#begin("write", { signal: stop.signal });
    const writer = new WriteBehind(
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

/** Opens a file. */
export async function openFile(
  call: SftpCall,
  options: SftpOpenOptions,
): Promise<OpenFile> {
  const flags = openFlags(options);
  const handle = await diagnosed(
    call,
    () => call.open(flags, options.mode),
    flags & OpenFlag.EXCLUSIVE ? lookForExisting : lookForFolder,
  );
  if (!options.append) return new OpenFile(call, handle);
  // Servers other than OpenSSH may heed the offset of an append.
  try {
    const { size } = await call.stat(PacketType.FSTAT, handle);
    if (!Number.isSafeInteger(size)) throw tooLarge(call, size);
    return new OpenFile(call, handle, size);
  } catch (error) {
    call.closeUnobserved(handle);
    throw error;
  }
}

/** At another offset than its end it would be written over. */
function tooLarge({ path, host, effects }: SftpCall, size: number): SftpError {
  return new SftpError(
    "SSH_SFTP_FAILURE",
    `Cannot append to ${quotedPath(path)}: the server says that it has ` +
      `${size} bytes, must be at most ${Number.MAX_SAFE_INTEGER}`,
    { path, host, mayHaveRun: effects?.isDone ?? false },
  );
}

function openFlags(options: SftpOpenOptions): number {
  const { write = false, append = false, truncate = false } = options;
  const { create = false, createNew = false } = options;
  const { read = !write && !append } = options;
  if (!read && !write && !append) {
    throw new TypeError(
      "Cannot open a file: one of read, write and append must be true",
    );
  }
  if ((create || createNew || truncate) && !write && !append) {
    throw new TypeError(
      "Cannot open a file: create, createNew and truncate need write or append",
    );
  }
  if (append && truncate) {
    throw new TypeError("Cannot open a file: append excludes truncate");
  }
  return (read ? OpenFlag.READ : 0) |
    (write || append ? OpenFlag.WRITE : 0) |
    (append ? OpenFlag.APPEND : 0) |
    (truncate ? OpenFlag.TRUNCATE : 0) |
    (create || createNew ? OpenFlag.CREATE : 0) |
    (createNew ? OpenFlag.EXCLUSIVE : 0);
}
