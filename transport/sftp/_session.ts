import { seconds } from "./_attributes.ts";
import { SftpCall } from "./_call.ts";
import {
  diagnosed,
  lookAtTarget,
  lookForExisting,
  lookForFolder,
} from "./_diagnose.ts";
import { makeFolders, readDir, remove, removeTree } from "./_folders.ts";
import { openFile } from "./_open_file.ts";
import type { Protocol } from "./_protocol.ts";
import { readFile } from "./_read_ahead.ts";
import { checkContent, writeFile, writeFileAtomically } from "./_write_file.ts";
import type { SftpCallOptions, SftpFile } from "./file.ts";
import type {
  SftpDirEntry,
  SftpFileInfo,
  SftpFileSystemInfo,
} from "./file_info.ts";
import type {
  SftpMkdirOptions,
  SftpOpenOptions,
  SftpRemoveOptions,
  SftpWriteFileOptions,
} from "./options.ts";
import { PacketType } from "./packets.ts";
import type { Sftp } from "./sftp.ts";

/** A session over the requests of one channel. */
export class SftpSession implements Sftp {
  readonly #protocol: Protocol;

  /**
   * Takes a session that the server has answered.
   *
   * @param protocol The session.
   */
  constructor(protocol: Protocol) {
    this.#protocol = protocol;
  }

  get isClosed(): boolean {
    return this.#protocol.requests.isEnded;
  }

  get closed(): Promise<void> {
    return this.#protocol.requests.ended;
  }

  get requestsInFlight(): number {
    return this.#protocol.requests.inFlight;
  }

  open(path: string, options: SftpOpenOptions = {}): Promise<SftpFile> {
    return this.#run(() =>
      openFile(this.#call("open", path, options), options)
    );
  }

  readFile(
    path: string,
    options: SftpCallOptions = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    return this.#run(() => readFile(this.#call("read", path, options)));
  }

  async readTextFile(
    path: string,
    options: SftpCallOptions = {},
  ): Promise<string> {
    // A byte order mark is kept, as Deno does: it would be lost when written back.
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    return decoder.decode(await this.readFile(path, options));
  }

  writeFile(
    path: string,
    data: Uint8Array | ReadableStream<Uint8Array>,
    options: SftpWriteFileOptions = {},
  ): Promise<void> {
    return this.#run(() => {
      checkContent(data);
      const { atomic = false, append = false } = options;
      if (atomic && append) {
        throw new TypeError("Cannot write a file: atomic excludes append");
      }
      const write = atomic ? writeFileAtomically : writeFile;
      const call = this.#call("write", path, options);
      return write(call, data, options);
    });
  }

  writeTextFile(
    path: string,
    text: string,
    options: SftpWriteFileOptions = {},
  ): Promise<void> {
    return this.writeFile(path, new TextEncoder().encode(text), options);
  }

  stat(path: string, options: SftpCallOptions = {}): Promise<SftpFileInfo> {
    return this.#run(() =>
      this.#call("stat", path, options).stat(PacketType.STAT)
    );
  }

  lstat(path: string, options: SftpCallOptions = {}): Promise<SftpFileInfo> {
    return this.#run(() =>
      this.#call("lstat", path, options).stat(PacketType.LSTAT)
    );
  }

  readDir(
    path: string,
    options: SftpCallOptions = {},
  ): AsyncIterableIterator<SftpDirEntry> {
    return readDir(this.#call("read folder", path, options));
  }

  mkdir(path: string, options: SftpMkdirOptions = {}): Promise<void> {
    return this.#run(() => {
      const call = this.#call("make folder", path, options);
      if (options.recursive) {
        return makeFolders(call, options.mode);
      }
      return diagnosed(
        call,
        () => call.entry(PacketType.MKDIR, options.mode),
        lookForExisting,
      );
    });
  }

  remove(path: string, options: SftpRemoveOptions = {}): Promise<void> {
    return this.#run(() =>
      (options.recursive ? removeTree : remove)(
        this.#call("remove", path, options),
      )
    );
  }

  rename(
    from: string,
    to: string,
    options: SftpCallOptions = {},
  ): Promise<void> {
    return this.#run(() => {
      checkPath(to);
      const call = this.#call("rename", from, options);
      const run = () => call.rename(to);
      return diagnosed(call, run, lookAtTarget(to));
    });
  }

  symlink(
    target: string,
    path: string,
    options: SftpCallOptions = {},
  ): Promise<void> {
    return this.#run(() => {
      checkPath(target);
      const call = this.#call("make link", path, options);
      const run = () => call.symlink(target);
      return diagnosed(call, run, lookForExisting);
    });
  }

  readLink(path: string, options: SftpCallOptions = {}): Promise<string> {
    return this.#run(() =>
      this.#call("read link", path, options).name(PacketType.READLINK)
    );
  }

  realPath(path: string, options: SftpCallOptions = {}): Promise<string> {
    return this.#run(() =>
      this.#call("resolve", path, options).name(PacketType.REALPATH)
    );
  }

  chmod(
    path: string,
    mode: number,
    options: SftpCallOptions = {},
  ): Promise<void> {
    return this.#run(() =>
      this.#call("chmod", path, options).setStat({ mode })
    );
  }

  chown(
    path: string,
    uid: number | null,
    gid: number | null,
    options: SftpCallOptions = {},
  ): Promise<void> {
    return this.#run(async () => {
      const call = this.#call("chown", path, options);
      const old = uid === null || gid === null
        ? await call.stat(PacketType.STAT)
        : undefined;
      const owner = {
        uid: uid ?? old?.uid ?? 0,
        gid: gid ?? old?.gid ?? 0,
      };
      await call.setStat({ owner });
    });
  }

  utime(
    path: string,
    atime: number | Date,
    mtime: number | Date,
    options: SftpCallOptions = {},
  ): Promise<void> {
    return this.#run(() => {
      const times = {
        atime: seconds("atime", atime),
        mtime: seconds("mtime", mtime),
      };
      return this.#call("utime", path, options).setStat({
        times,
      });
    });
  }

  truncate(
    path: string,
    length = 0,
    options: SftpCallOptions = {},
  ): Promise<void> {
    return this.#run(() => {
      const call = this.#call("truncate", path, options);
      const run = () => call.setStat({ size: length });
      return diagnosed(call, run, lookForFolder);
    });
  }

  statFileSystem(
    path: string,
    options: SftpCallOptions = {},
  ): Promise<SftpFileSystemInfo> {
    return this.#run(() =>
      this.#call("stat file system", path, options).fileSystem()
    );
  }

  close(): void {
    this.#protocol.requests.end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  #call(action: string, path: string, { signal }: SftpCallOptions): SftpCall {
    checkPath(path);
    const effects = { isDone: false };
    return new SftpCall(this.#protocol, action, path, { signal, effects });
  }

  /** Makes a wrong argument a rejection as well. */
  async #run<T>(operation: () => Promise<T>): Promise<T> {
    return await operation();
  }
}

function checkPath(path: string): void {
  if (typeof path !== "string" || path === "" || path.includes("\0")) {
    throw new TypeError(
      `Cannot use the path ${
        JSON.stringify(path)
      }: it must be a string that is not empty and has no NUL`,
    );
  }
}
