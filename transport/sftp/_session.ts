import { abortable } from "../abort.ts";
import { seconds } from "./_attributes.ts";
import { SftpCall } from "./_call.ts";
import {
  diagnosed,
  lookAtTarget,
  lookForExisting,
  lookForFolder,
} from "./_diagnose.ts";
import {
  makeFolders,
  makeLink,
  readDir,
  remove,
  removeTree,
} from "./_entries.ts";
import { openFile } from "./_open_file.ts";
import {
  CALL_OPTIONS,
  GLOB_OPTIONS,
  MKDIR_OPTIONS,
  OPEN_OPTIONS,
  READ_FILE_OPTIONS,
  REMOVE_OPTIONS,
  WALK_OPTIONS,
  WRITE_FILE_OPTIONS,
} from "./_option_tables.ts";
import { PROTOCOL, type Protocol } from "./_protocol.ts";
import { readFile } from "./_read_ahead.ts";
import { findMatches, walkTree } from "./_walk.ts";
import { checkContent, writeFile, writeFileAtomically } from "./_write_file.ts";
import type {
  SftpCallOptions,
  SftpDirEntry,
  SftpFile,
  SftpFileInfo,
  SftpFileSystemInfo,
  SftpWalkEntry,
} from "./file.ts";
import type {
  SftpGlobOptions,
  SftpMkdirOptions,
  SftpOpenOptions,
  SftpReadFileOptions,
  SftpRemoveOptions,
  SftpWalkOptions,
  SftpWriteFileOptions,
} from "./options.ts";
import { PacketType } from "./packets.ts";
import type { Sftp } from "./sftp.ts";
import type { OptionTable } from "../options/table.ts";

const { STAT, LSTAT, MKDIR, READLINK, REALPATH } = PacketType;

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

  get [PROTOCOL](): Protocol {
    return this.#protocol;
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
    return this.#run("open", path, options, openFile, OPEN_OPTIONS);
  }

  readFile(
    path: string,
    options: SftpReadFileOptions = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    return this.#run("read", path, options, readFile, READ_FILE_OPTIONS);
  }

  async readTextFile(
    path: string,
    options: SftpReadFileOptions = {},
  ): Promise<string> {
    // A byte order mark is kept, as Deno does: it would be lost when written back.
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    return decoder.decode(await this.readFile(path, options));
  }

  async writeFile(
    path: string,
    data: Uint8Array | ReadableStream<Uint8Array>,
    options: SftpWriteFileOptions = {},
  ): Promise<void> {
    await this.#run("write", path, options, (call, given) => {
      checkContent(data);
      const { atomic = false, append = false } = given;
      if (atomic && append) {
        throw new TypeError("Cannot write a file: atomic excludes append");
      }
      const write = atomic ? writeFileAtomically : writeFile;
      return write(call, data, given);
    }, WRITE_FILE_OPTIONS);
  }

  writeTextFile(
    path: string,
    text: string,
    options: SftpWriteFileOptions = {},
  ): Promise<void> {
    return this.writeFile(path, new TextEncoder().encode(text), options);
  }

  stat(path: string, options: SftpCallOptions = {}): Promise<SftpFileInfo> {
    return this.#run("stat", path, options, (call) => call.stat(STAT));
  }

  lstat(path: string, options: SftpCallOptions = {}): Promise<SftpFileInfo> {
    return this.#run("lstat", path, options, (call) => call.stat(LSTAT));
  }

  async *readDir(
    path: string,
    options: SftpCallOptions = {},
  ): AsyncGenerator<SftpDirEntry, void, undefined> {
    const given = CALL_OPTIONS.check(options);
    const call = this.#call("read folder", path, given);
    yield* readDir(await this.#expanded(call));
  }

  async *walk(
    path: string,
    options: SftpWalkOptions = {},
  ): AsyncGenerator<SftpWalkEntry, void, undefined> {
    const given = WALK_OPTIONS.check(options);
    checkPath(path);
    yield* walkTree(this, path, given);
  }

  async *glob(
    pattern: string,
    options: SftpGlobOptions = {},
  ): AsyncGenerator<SftpWalkEntry, void, undefined> {
    const given = GLOB_OPTIONS.check(options);
    checkPath(pattern);
    yield* findMatches(this, pattern, given);
  }

  mkdir(path: string, options: SftpMkdirOptions = {}): Promise<void> {
    return this.#run("make folder", path, options, (call, given) => {
      const { recursive = false, mode } = given;
      return recursive ? makeFolders(call, mode) : diagnosed(
        call,
        () => call.entry(MKDIR, mode),
        lookForExisting,
      );
    }, MKDIR_OPTIONS);
  }

  remove(path: string, options: SftpRemoveOptions = {}): Promise<void> {
    return this.#run("remove", path, options, (call, { recursive }) => {
      return recursive ? removeTree(call) : remove(call);
    }, REMOVE_OPTIONS);
  }

  rename(
    from: string,
    to: string,
    options: SftpCallOptions = {},
  ): Promise<void> {
    return this.#run("rename", from, options, async (call) => {
      checkPath(to);
      const { path } = await this.#expanded(call.at(to));
      const run = () => call.rename(path);
      await diagnosed(call, run, lookAtTarget(path));
    });
  }

  symlink(
    target: string,
    path: string,
    options: SftpCallOptions = {},
  ): Promise<void> {
    return this.#run("make link", path, options, (call) => {
      checkPath(target);
      return diagnosed(call, () => makeLink(call, target), lookForExisting);
    });
  }

  readLink(path: string, options: SftpCallOptions = {}): Promise<string> {
    return this.#run("read link", path, options, (call) => call.name(READLINK));
  }

  realPath(path: string, options: SftpCallOptions = {}): Promise<string> {
    return this.#run("resolve", path, options, (call) => call.name(REALPATH));
  }

  chmod(
    path: string,
    mode: number,
    options: SftpCallOptions = {},
  ): Promise<void> {
    return this.#run("chmod", path, options, (call) => call.setStat({ mode }));
  }

  chown(
    path: string,
    uid: number | null,
    gid: number | null,
    options: SftpCallOptions = {},
  ): Promise<void> {
    return this.#run("chown", path, options, async (call) => {
      const old = uid === null || gid === null
        ? await call.stat(STAT)
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
    return this.#run("utime", path, options, (call) => {
      const times = {
        atime: seconds("atime", atime),
        mtime: seconds("mtime", mtime),
      };
      return call.setStat({ times });
    });
  }

  truncate(
    path: string,
    length = 0,
    options: SftpCallOptions = {},
  ): Promise<void> {
    return this.#run("truncate", path, options, (call) => {
      const run = () => call.setStat({ size: length });
      return diagnosed(call, run, lookForFolder);
    });
  }

  statFileSystem(
    path: string,
    options: SftpCallOptions = {},
  ): Promise<SftpFileSystemInfo> {
    return this.#run(
      "stat file system",
      path,
      options,
      (call) => call.fileSystem(),
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

  /** Runs an operation; a wrong argument is a rejection as well. */
  async #run<T, Options extends SftpCallOptions>(
    action: string,
    path: string,
    options: Options,
    operation: (call: SftpCall, given: Options) => Promise<T>,
    table: OptionTable<Options> = CALL_OPTIONS as unknown as OptionTable<
      Options
    >,
  ): Promise<T> {
    const given = table.check(options);
    const call = this.#call(action, path, given);
    // Not one turn later: what is asked for in one turn goes out in one piece.
    if (!path.startsWith("~")) return await operation(call, given);
    return await operation(await this.#expanded(call), given);
  }

  /** Leads `~` home, as a shell does. */
  async #expanded(call: SftpCall): Promise<SftpCall> {
    const [, name, rest = ""] = /^~([^/]*)(\/[^]*)?$/.exec(call.path) ?? [];
    if (name === undefined) return call;
    if (name !== "") {
      const canExpand = this.#protocol.has("expand-path@openssh.com", "1");
      return canExpand ? call.at(await call.expand()) : call;
    }
    this.#protocol.home ??= new SftpCall(this.#protocol, call.action, ".")
      .name(REALPATH).catch((error) => {
        this.#protocol.home = undefined;
        throw error;
      });
    const home = await abortable(this.#protocol.home, call.signal);
    return call.at(rest === "" ? home : home.replace(/\/$/, "") + rest);
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
