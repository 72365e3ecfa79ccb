import {
  dirEntries,
  readAttributes,
  readFileSystem,
  readNames,
  writeAttributes,
} from "./_attributes.ts";
import { operationError, type SftpErrorCode } from "./errors.ts";
import type {
  SftpCallOptions,
  SftpDirEntry,
  SftpFileInfo,
  SftpFileSystemInfo,
} from "./file.ts";
import {
  type AttributeChanges,
  extended,
  type PacketReader,
  PacketType,
  PacketWriter,
  Status,
} from "./packets.ts";
import { decodeText } from "./names.ts";
import type { LinkOrder, Protocol } from "./_protocol.ts";
import type { Effects, RequestOptions } from "./_requests.ts";

/** An open file or folder on the server. */
export type Handle = Uint8Array;

const CODES: Readonly<Record<number, SftpErrorCode>> = {
  [Status.NO_SUCH_FILE]: "SSH_SFTP_NOT_FOUND",
  [Status.PERMISSION_DENIED]: "SSH_SFTP_PERMISSION_DENIED",
  [Status.BAD_MESSAGE]: "SSH_SFTP_INVALID_ARGUMENT",
  [Status.OP_UNSUPPORTED]: "SSH_SFTP_UNSUPPORTED",
};

const MAX_HANDLE_BYTES = 256;

/** What a call is for, and what its operation has done so far. */
export interface CallOptions extends SftpCallOptions {
  readonly effects?: Effects | undefined;
}

/**
 * One operation of a caller: the path and the action that its errors name, its
 * signal, what it has changed so far, and the verbs of SFTP version 3, one
 * request each.
 */
export class SftpCall {
  readonly protocol: Protocol;
  /** What the caller does, such as `"read"`. */
  readonly action: string;
  /** The path that the caller named. */
  readonly path: string;
  readonly signal: AbortSignal | undefined;
  readonly effects: Effects | undefined;

  /**
   * Makes a call.
   *
   * @param protocol The session.
   * @param action What the caller does, such as `"read"`.
   * @param path The path that the caller named.
   * @param options The signal, and the effects of the operation.
   */
  constructor(
    protocol: Protocol,
    action: string,
    path: string,
    { signal, effects }: CallOptions = {},
  ) {
    this.protocol = protocol;
    this.action = action;
    this.path = path;
    this.signal = signal;
    this.effects = effects;
  }

  /** The host, as `user@host:port`, for errors. */
  get host(): string | undefined {
    return this.protocol.host;
  }

  /** Returns a call of the same operation on another path. */
  at(path: string, action: string = this.action): SftpCall {
    return new SftpCall(this.protocol, action, path, this);
  }

  /** Returns the same call with another signal. */
  withSignal(signal: AbortSignal | undefined): SftpCall {
    const { protocol, action, path, effects } = this;
    return new SftpCall(protocol, action, path, { signal, effects });
  }

  /** OPEN. A handle that comes after an abort is closed. */
  open(flags: number, mode?: number): Promise<Handle> {
    const packet = new PacketWriter(PacketType.OPEN).text(this.path).u32(flags);
    return this.#handle(writeAttributes(packet, { mode }), flags !== 1);
  }

  /** OPENDIR. */
  openDir(): Promise<Handle> {
    const packet = new PacketWriter(PacketType.OPENDIR).text(this.path);
    return this.#handle(packet, false);
  }

  /** CLOSE. */
  close(handle: Handle): Promise<void> {
    this.protocol.handles.closing(handle);
    return this.#status(new PacketWriter(PacketType.CLOSE).bytes(handle));
  }

  /** CLOSE of what nobody waits for. */
  closeUnobserved(handle: Handle): void {
    // Without the signal: the operation may be over.
    new SftpCall(this.protocol, "close", this.path).close(handle)
      .catch(() => {});
  }

  /** READ: a view of the bytes, `null` at the end of the file. */
  async read(
    handle: Handle,
    offset: number,
    length: number,
  ): Promise<Uint8Array | null> {
    const packet = new PacketWriter(PacketType.READ).bytes(handle)
      .u64(offset).u32(length);
    const answer = await this.#send(packet);
    if (answer.type === PacketType.STATUS) {
      const error = this.#statusError(answer);
      if (error === "EOF") return null;
      throw error ?? this.protocol.broken("success and no data to a READ");
    }
    this.#expect(answer, PacketType.DATA);
    const data = this.protocol.parse(() => answer.bytes());
    if (data.length > length) {
      throw this.protocol.broken(`${data.length} bytes to a READ of ${length}`);
    }
    if (data.length === 0) {
      throw this.protocol.broken("an empty answer to a READ");
    }
    // A view would keep all that is behind it.
    return answer.left > data.length ? data.slice() : data;
  }

  /** WRITE. The data must not change before the answer. */
  write(handle: Handle, offset: number, data: Uint8Array): Promise<void> {
    const packet = new PacketWriter(PacketType.WRITE).bytes(handle)
      .u64(offset).u32(data.length);
    return this.#status(packet, { payload: data, changes: true });
  }

  /** STAT, LSTAT or FSTAT. */
  async stat(
    type:
      | typeof PacketType.STAT
      | typeof PacketType.LSTAT
      | typeof PacketType.FSTAT,
    handle?: Handle,
  ): Promise<SftpFileInfo> {
    const packet = new PacketWriter(type);
    if (handle === undefined) packet.text(this.path);
    else packet.bytes(handle);
    const answer = await this.#answer(packet, PacketType.ATTRS);
    return this.protocol.parse(() => readAttributes(answer));
  }

  /** SETSTAT, or FSETSTAT if there is a handle. */
  setStat(changes: AttributeChanges, handle?: Handle): Promise<void> {
    const packet = handle === undefined
      ? new PacketWriter(PacketType.SETSTAT).text(this.path)
      : new PacketWriter(PacketType.FSETSTAT).bytes(handle);
    return this.#change(writeAttributes(packet, changes));
  }

  /** The extension `lsetstat@openssh.com`: SETSTAT of a link itself. */
  setLinkStat(changes: AttributeChanges): Promise<void> {
    const packet = extended("lsetstat@openssh.com").text(this.path);
    return this.#change(writeAttributes(packet, changes));
  }

  /** READDIR: the next entries, `null` after the last. */
  async readDir(handle: Handle): Promise<SftpDirEntry[] | null> {
    const packet = new PacketWriter(PacketType.READDIR).bytes(handle);
    const answer = await this.#send(packet);
    if (answer.type === PacketType.STATUS) {
      const error = this.#statusError(answer);
      if (error === "EOF") return null;
      throw error ?? this.protocol.broken("success and no names to a READDIR");
    }
    this.#expect(answer, PacketType.NAME);
    return this.protocol.parse(() => dirEntries(answer));
  }

  /** REALPATH or READLINK. */
  async name(
    type: typeof PacketType.REALPATH | typeof PacketType.READLINK,
  ): Promise<string> {
    const packet = new PacketWriter(type).text(this.path);
    return this.#name(await this.#answer(packet, PacketType.NAME));
  }

  /** The extension `expand-path@openssh.com`: what `~` stands for. */
  async expand(): Promise<string> {
    const packet = extended("expand-path@openssh.com").text(this.path);
    return this.#name(await this.#answer(packet, PacketType.NAME));
  }

  /** REMOVE, RMDIR or MKDIR. */
  entry(
    type:
      | typeof PacketType.REMOVE
      | typeof PacketType.RMDIR
      | typeof PacketType.MKDIR,
    mode?: number,
  ): Promise<void> {
    const packet = new PacketWriter(type).text(this.path);
    if (type === PacketType.MKDIR) writeAttributes(packet, { mode });
    return this.#change(packet);
  }

  /** RENAME, or `posix-rename@openssh.com` where the server has it. */
  rename(to: string): Promise<void> {
    const packet = this.protocol.has("posix-rename@openssh.com", "1")
      ? extended("posix-rename@openssh.com")
      : new PacketWriter(PacketType.RENAME);
    return this.#change(packet.text(this.path).text(to));
  }

  /** SYMLINK. */
  symlink(target: string, order: LinkOrder = "target first"): Promise<void> {
    const paths = [target, this.path];
    if (order === "link first") paths.reverse();
    const packet = new PacketWriter(PacketType.SYMLINK);
    return this.#change(packet.text(paths[0]!).text(paths[1]!));
  }

  /** The extension `hardlink@openssh.com`. */
  link(existing: string): Promise<void> {
    const packet = extended("hardlink@openssh.com").text(existing);
    return this.#change(packet.text(this.path));
  }

  /** The extension `fsync@openssh.com`. */
  sync(handle: Handle): Promise<void> {
    return this.#change(extended("fsync@openssh.com").bytes(handle));
  }

  /** The extension `copy-data`: all of one open file to another. */
  copyData(from: Handle, to: Handle): Promise<void> {
    const packet = extended("copy-data").bytes(from).u64(0).u64(0);
    return this.#change(packet.bytes(to).u64(0));
  }

  /** The extension `statvfs@openssh.com`, or that of handles. */
  async fileSystem(handle?: Handle): Promise<SftpFileSystemInfo> {
    const packet = handle === undefined
      ? extended("statvfs@openssh.com").text(this.path)
      : extended("fstatvfs@openssh.com").bytes(handle);
    const answer = await this.#answer(packet, PacketType.EXTENDED_REPLY);
    return this.protocol.parse(() => readFileSystem(answer));
  }

  #name(answer: PacketReader): string {
    const [first] = this.protocol.parse(() => readNames(answer));
    if (first !== undefined) return first.name;
    throw this.protocol.broken("no name where one is due");
  }

  async #handle(packet: PacketWriter, changes: boolean): Promise<Handle> {
    const answer = await this.#answer(packet, PacketType.HANDLE, {
      changes,
      onLateAnswer: (late) => {
        if (late.type !== PacketType.HANDLE) return;
        this.closeUnobserved(this.#take(late));
      },
    });
    if (changes && this.effects) this.effects.isDone = true;
    return this.#take(answer);
  }

  /** Takes a handle out of an answer. */
  #take(answer: PacketReader): Handle {
    const handle = this.protocol.parse(() => answer.bytes()).slice();
    if (handle.length > MAX_HANDLE_BYTES) {
      throw this.protocol.broken(`a handle of ${handle.length} bytes`);
    }
    if (this.protocol.handles.opened(handle, this.path)) return handle;
    throw this.protocol.broken(
      "it gave out a handle that is open for another file, so that their contents would be mixed up",
    );
  }

  async #answer(
    packet: PacketWriter,
    type: number,
    options?: RequestOptions,
  ): Promise<PacketReader> {
    const answer = await this.#send(packet, options);
    if (answer.type === PacketType.STATUS) {
      const error = this.#statusError(answer);
      if (error === undefined) {
        throw this.protocol.broken("success without a result");
      }
      throw error === "EOF"
        ? this.protocol.broken("end of file to no READ")
        : error;
    }
    return this.#expect(answer, type);
  }

  #change(packet: PacketWriter): Promise<void> {
    return this.#status(packet, { changes: true });
  }

  async #status(packet: PacketWriter, options?: RequestOptions): Promise<void> {
    const answer = await this.#send(packet, options);
    this.#expect(answer, PacketType.STATUS);
    const error = this.#statusError(answer);
    if (error === "EOF") throw this.protocol.broken("end of file to no READ");
    if (error !== undefined) throw error;
    if (options?.changes && this.effects) this.effects.isDone = true;
  }

  #send(
    packet: PacketWriter,
    options?: RequestOptions,
  ): Promise<PacketReader> {
    const { signal, effects } = this;
    return this.protocol.requests.send(packet, { ...options, signal, effects });
  }

  #statusError(answer: PacketReader): Error | "EOF" | undefined {
    const status = this.protocol.parse(() => answer.u32());
    if (status === Status.OK) return undefined;
    if (status === Status.EOF) return "EOF";
    // Some servers leave the text out.
    const said = answer.left < 4
      ? ""
      : decodeText(this.protocol.parse(() => answer.bytes()));
    const code = CODES[status] ?? "SSH_SFTP_FAILURE";
    return operationError(code, this, { status, said });
  }

  #expect(answer: PacketReader, type: number): PacketReader {
    if (answer.type === type) return answer;
    throw this.protocol.broken(`type ${answer.type} where ${type} is due`);
  }
}
