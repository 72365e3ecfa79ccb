import {
  type AttributeChanges,
  dirEntries,
  readAttributes,
  readFileSystem,
  readNames,
  writeAttributes,
} from "./_attributes.ts";
import { chunkBytes, DEFAULT_CHUNK_BYTES } from "./_chunk_size.ts";
import {
  type FailedOperation,
  operationError,
  type SftpErrorCode,
} from "./errors.ts";
import type {
  SftpDirEntry,
  SftpFileInfo,
  SftpFileSystemInfo,
} from "./file_info.ts";
import {
  type PacketReader,
  PacketType,
  PacketWriter,
  protocolError,
  Status,
} from "./packets.ts";
import { decodeFileName } from "./names.ts";
import { type Effects, type RequestOptions, Requests } from "./_requests.ts";
import type { SftpTransport } from "./transport.ts";

/** What every verb takes: for its errors, the signal, what its operation did. */
export interface Call {
  /** What the caller does, such as `"read"`. */
  readonly action: string;
  /** The path that the caller named. */
  readonly path: string;
  readonly signal?: AbortSignal | undefined;
  readonly effects?: Effects | undefined;
}

/** An open file or folder on the server. */
export type Handle = Uint8Array;

const CODES: Readonly<Record<number, SftpErrorCode>> = {
  [Status.NO_SUCH_FILE]: "SSH_SFTP_NOT_FOUND",
  [Status.PERMISSION_DENIED]: "SSH_SFTP_PERMISSION_DENIED",
  [Status.BAD_MESSAGE]: "SSH_SFTP_INVALID_ARGUMENT",
  [Status.OP_UNSUPPORTED]: "SSH_SFTP_UNSUPPORTED",
};

const MAX_HANDLE_BYTES = 256;

/** The verbs of SFTP version 3, one request each. */
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

  /** OPEN. A handle that comes after an abort is closed. */
  open(call: Call, flags: number, mode?: number): Promise<Handle> {
    const packet = new PacketWriter(PacketType.OPEN).text(call.path).u32(flags);
    return this.#handle(call, writeAttributes(packet, { mode }), flags !== 1);
  }

  /** OPENDIR. */
  openDir(call: Call): Promise<Handle> {
    const packet = new PacketWriter(PacketType.OPENDIR).text(call.path);
    return this.#handle(call, packet, false);
  }

  /** CLOSE. */
  close(call: Call, handle: Handle): Promise<void> {
    return this.#status(
      call,
      new PacketWriter(PacketType.CLOSE).bytes(handle),
    );
  }

  /** CLOSE of what nobody waits for. */
  closeUnobserved(handle: Handle): void {
    this.close({ action: "close", path: "" }, handle).catch(() => {});
  }

  /** READ: a view of the bytes, `null` at the end of the file. */
  async read(
    call: Call,
    handle: Handle,
    offset: number,
    length: number,
  ): Promise<Uint8Array | null> {
    const packet = new PacketWriter(PacketType.READ).bytes(handle)
      .u64(offset).u32(length);
    const answer = await this.#send(call, packet);
    if (answer.type === PacketType.STATUS) {
      const error = this.#statusError(call, answer);
      if (error === "EOF") return null;
      throw error ?? this.#broken("success and no data to a READ");
    }
    this.#expect(answer, PacketType.DATA);
    const data = this.#parse(() => answer.bytes());
    if (data.length > length) {
      throw this.#broken(`${data.length} bytes to a READ of ${length}`);
    }
    if (data.length === 0) throw this.#broken("an empty answer to a READ");
    return data;
  }

  /** WRITE. The data must not change before the answer. */
  write(
    call: Call,
    handle: Handle,
    offset: number,
    data: Uint8Array,
  ): Promise<void> {
    const packet = new PacketWriter(PacketType.WRITE).bytes(handle)
      .u64(offset).u32(data.length);
    return this.#status(call, packet, { payload: data, changes: true });
  }

  /** STAT, LSTAT or FSTAT. */
  async stat(
    call: Call,
    type:
      | typeof PacketType.STAT
      | typeof PacketType.LSTAT
      | typeof PacketType.FSTAT,
    handle?: Handle,
  ): Promise<SftpFileInfo> {
    const packet = new PacketWriter(type);
    if (handle === undefined) packet.text(call.path);
    else packet.bytes(handle);
    const answer = await this.#answer(call, packet, PacketType.ATTRS);
    return this.#parse(() => readAttributes(answer));
  }

  /** SETSTAT, or FSETSTAT if there is a handle. */
  setStat(
    call: Call,
    changes: AttributeChanges,
    handle?: Handle,
  ): Promise<void> {
    const packet = handle === undefined
      ? new PacketWriter(PacketType.SETSTAT).text(call.path)
      : new PacketWriter(PacketType.FSETSTAT).bytes(handle);
    return this.#change(call, writeAttributes(packet, changes));
  }

  /** The extension `lsetstat@openssh.com`: SETSTAT of a link itself. */
  setLinkStat(call: Call, changes: AttributeChanges): Promise<void> {
    const packet = extended("lsetstat@openssh.com").text(call.path);
    return this.#change(call, writeAttributes(packet, changes));
  }

  /** READDIR: the next entries, `null` after the last. */
  async readDir(call: Call, handle: Handle): Promise<SftpDirEntry[] | null> {
    const packet = new PacketWriter(PacketType.READDIR).bytes(handle);
    const answer = await this.#send(call, packet);
    if (answer.type === PacketType.STATUS) {
      const error = this.#statusError(call, answer);
      if (error === "EOF") return null;
      throw error ?? this.#broken("success and no names to a READDIR");
    }
    this.#expect(answer, PacketType.NAME);
    return this.#parse(() => dirEntries(answer));
  }

  /** REALPATH or READLINK. */
  async name(
    call: Call,
    type: typeof PacketType.REALPATH | typeof PacketType.READLINK,
  ): Promise<string> {
    const packet = new PacketWriter(type).text(call.path);
    const answer = await this.#answer(call, packet, PacketType.NAME);
    const [first] = this.#parse(() => readNames(answer));
    if (first === undefined) throw this.#broken("no name where one is due");
    return first.name;
  }

  /** REMOVE, RMDIR or MKDIR. */
  entry(
    call: Call,
    type:
      | typeof PacketType.REMOVE
      | typeof PacketType.RMDIR
      | typeof PacketType.MKDIR,
    mode?: number,
  ): Promise<void> {
    const packet = new PacketWriter(type).text(call.path);
    if (type === PacketType.MKDIR) writeAttributes(packet, { mode });
    return this.#change(call, packet);
  }

  /** RENAME, or `posix-rename@openssh.com` where the server has it. */
  rename(call: Call, to: string): Promise<void> {
    const packet = this.has("posix-rename@openssh.com", "1")
      ? extended("posix-rename@openssh.com")
      : new PacketWriter(PacketType.RENAME);
    return this.#change(call, packet.text(call.path).text(to));
  }

  /** SYMLINK. OpenSSH has the target first, and other servers follow it. */
  symlink(call: Call, target: string): Promise<void> {
    const packet = new PacketWriter(PacketType.SYMLINK).text(target);
    return this.#change(call, packet.text(call.path));
  }

  /** The extension `hardlink@openssh.com`. */
  link(call: Call, existing: string): Promise<void> {
    const packet = extended("hardlink@openssh.com").text(existing);
    return this.#change(call, packet.text(call.path));
  }

  /** The extension `fsync@openssh.com`. */
  sync(call: Call, handle: Handle): Promise<void> {
    return this.#change(call, extended("fsync@openssh.com").bytes(handle));
  }

  /** The extension `copy-data`: all of one open file to another. */
  copyData(call: Call, from: Handle, to: Handle): Promise<void> {
    const packet = extended("copy-data").bytes(from).u64(0).u64(0);
    return this.#change(call, packet.bytes(to).u64(0));
  }

  /** The extension `statvfs@openssh.com`, or that of handles. */
  async fileSystem(call: Call, handle?: Handle): Promise<SftpFileSystemInfo> {
    const packet = handle === undefined
      ? extended("statvfs@openssh.com").text(call.path)
      : extended("fstatvfs@openssh.com").bytes(handle);
    const answer = await this.#answer(call, packet, PacketType.EXTENDED_REPLY);
    return this.#parse(() => readFileSystem(answer));
  }

  async #failed(): Promise<never> {
    await this.requests.ended;
    throw this.requests.endError();
  }

  #greeted(packet: PacketReader): void {
    const version = packet.u32();
    if (version !== 3) throw protocolError(`version ${version}, needed is 3`);
    while (packet.left > 0) {
      const name = decodeFileName(packet.bytes());
      this.#extensions.set(name, decodeFileName(packet.bytes()));
    }
    if (this.has("limits@openssh.com", "1")) this.#askLimits();
  }

  /** Sent ahead of every other request, so answered before most of them. */
  #askLimits(): void {
    const call = { action: "ask for limits", path: "" };
    const packet = extended("limits@openssh.com");
    this.#answer(call, packet, PacketType.EXTENDED_REPLY).then((answer) => {
      this.#parse(() => answer.u64());
      this.maxReadBytes = chunkBytes(this.#parse(() => answer.u64()));
      this.maxWriteBytes = chunkBytes(this.#parse(() => answer.u64()));
    }).catch(() => {});
  }

  async #handle(
    call: Call,
    packet: PacketWriter,
    changes: boolean,
  ): Promise<Handle> {
    const answer = await this.#answer(call, packet, PacketType.HANDLE, {
      changes,
      onLateAnswer: (late) => {
        if (late.type === PacketType.HANDLE) this.closeUnobserved(late.bytes());
      },
    });
    if (changes && call.effects) call.effects.isDone = true;
    const handle = this.#parse(() => answer.bytes());
    if (handle.length > MAX_HANDLE_BYTES) {
      throw this.#broken(`a handle of ${handle.length} bytes`);
    }
    return handle.slice();
  }

  async #answer(
    call: Call,
    packet: PacketWriter,
    type: number,
    options?: RequestOptions,
  ): Promise<PacketReader> {
    const answer = await this.#send(call, packet, options);
    if (answer.type === PacketType.STATUS) {
      const error = this.#statusError(call, answer);
      if (error === undefined) throw this.#broken("success without a result");
      throw error === "EOF" ? this.#broken("end of file to no READ") : error;
    }
    return this.#expect(answer, type);
  }

  #change(call: Call, packet: PacketWriter): Promise<void> {
    return this.#status(call, packet, { changes: true });
  }

  async #status(
    call: Call,
    packet: PacketWriter,
    options?: RequestOptions,
  ): Promise<void> {
    const answer = await this.#send(call, packet, options);
    this.#expect(answer, PacketType.STATUS);
    const error = this.#statusError(call, answer);
    if (error === "EOF") throw this.#broken("end of file to no READ");
    if (error !== undefined) throw error;
    if (options?.changes && call.effects) call.effects.isDone = true;
  }

  #send(
    { signal, effects }: Call,
    packet: PacketWriter,
    options?: RequestOptions,
  ): Promise<PacketReader> {
    return this.requests.send(packet, { ...options, signal, effects });
  }

  #statusError(call: Call, answer: PacketReader): Error | "EOF" | undefined {
    const status = this.#parse(() => answer.u32());
    if (status === Status.OK) return undefined;
    if (status === Status.EOF) return "EOF";
    // Some servers leave the text out.
    const said = answer.left < 4
      ? ""
      : decodeFileName(this.#parse(() => answer.bytes()));
    const operation: FailedOperation = { ...call, host: this.host };
    const code = CODES[status] ?? "SSH_SFTP_FAILURE";
    return operationError(code, operation, { status, said });
  }

  #expect(answer: PacketReader, type: number): PacketReader {
    if (answer.type === type) return answer;
    throw this.#broken(`type ${answer.type} where ${type} is due`);
  }

  /** Reads an answer; a broken one ends the session. */
  #parse<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      this.requests.end(error as Error);
      throw error;
    }
  }

  #broken(detail: string): Error {
    const error = protocolError(detail);
    this.requests.end(error);
    return error;
  }
}

function extended(name: string): PacketWriter {
  return new PacketWriter(PacketType.EXTENDED).text(name);
}
