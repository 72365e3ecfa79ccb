import { abortable } from "../../abort.ts";
import { SftpError } from "../errors.ts";
import type { SftpFile, SftpFileInfo } from "../file.ts";
import { cleanedUp, nameAside } from "../_unfinished.ts";
import type { Aim } from "./_aim.ts";
import type { Context } from "./_copy_all.ts";
import {
  type Entry,
  folderOf,
  type Item,
  nameOf,
  type SourceInfo,
} from "./_plan.ts";
import { clamped, ifThere, type RemoteTarget } from "./_remote.ts";
import { OTHER_NAMES, wantedMode } from "./_strategy.ts";

/** Whether the server says that this may not be done, or cannot. */
export function isDenied(error: unknown): boolean {
  return error instanceof SftpError && error.status !== undefined &&
    (error.code === "SSH_SFTP_PERMISSION_DENIED" ||
      error.code === "SSH_SFTP_UNSUPPORTED");
}

/** The end of a file that was written to the server: what it has beside content, and its name. */
export class Finish {
  /** Whether the file was made with its permissions, since nobody may set them. */
  isMadeWithMode = false;
  readonly #target: RemoteTarget;
  readonly #item: Item;
  readonly #context: Context;

  constructor(target: RemoteTarget, item: Item, context: Context) {
    this.#target = target;
    this.#item = item;
    this.#context = context;
  }

  /** Sets the attributes, asks for the size, and closes: one round trip. */
  async finish(
    file: SftpFile,
    source: SourceInfo,
    { to, there, inPlace }: Aim,
  ): Promise<number> {
    const { signal } = this.#context;
    const { mode: own } = source;
    const asked = wantedMode(
      own,
      there,
      this.#context,
      () => this.#target.umask(folderOf(to), signal),
    );
    const mode = asked instanceof Promise ? await asked : asked;
    const [written] = await Promise.all([
      this.#look(file),
      this.#setOwner(file, there, inPlace),
      this.#setAttributes(file, source, { mode, inPlace }),
      abortable(file.close(), signal),
    ]);
    // All writes were acknowledged, and `sftp` looks no further.
    if (written === undefined) return source.size;
    const { size, uid, gid } = written;
    if (uid !== null && gid !== null && there === null) {
      this.#target.owner ??= { uid, gid };
    }
    return size;
  }

  /** Gives the file its name; or says how it is to be written instead. */
  async rename(
    path: string,
    to: string,
    there: Entry | null,
  ): Promise<Aim | undefined> {
    const { signal, tally } = this.#context;
    const { sftp, protocol } = this.#target;
    try {
      return void await sftp.rename(path, to, { signal });
    } catch (error) {
      if (!(error instanceof SftpError) || error.status === undefined) {
        throw error;
      }
      if (error.code === "SSH_SFTP_PERMISSION_DENIED") {
        return { to, there, inPlace: "it may not be renamed to" };
      }
      const canReplace = protocol?.has("posix-rename@openssh.com", "1") ?? true;
      if (canReplace || there === null) throw error;
      await this.#replace(path, to);
      tally.notice(
        this.#item.from,
        "The server cannot replace a file in one step: the name of the old one was removed first",
      );
    }
  }

  /** Moves what is there aside first: it gets its name back if that is all that works. */
  async #replace(path: string, to: string): Promise<void> {
    const { signal } = this.#context;
    const { sftp } = this.#target;
    const aside = folderOf(to) + nameAside(nameOf(to));
    try {
      await sftp.rename(to, aside, { signal });
      await sftp.rename(path, to, { signal });
    } catch (error) {
      // Whatever came of the first: it is asked for after that.
      await cleanedUp(this.#putBack(aside, path, to));
      throw error;
    }
    await this.#target.discard(undefined, aside);
  }

  async #putBack(aside: string, path: string, to: string): Promise<void> {
    const { sftp } = this.#target;
    try {
      await sftp.rename(aside, to);
    } catch {
      const look = (it: string) => ifThere(sftp.lstat(it));
      const [unfinished, named] = await Promise.all([look(path), look(to)]);
      // The new one got the name after all.
      if (unfinished === undefined && named !== undefined) {
        await sftp.remove(aside);
      }
    }
  }

  /** Some servers let a file be written, and not be looked at. */
  #look(file: SftpFile): Promise<SftpFileInfo | undefined> {
    const { signal } = this.#context;
    return file.stat({ signal }).catch((error) => {
      if (isDenied(error)) return undefined;
      throw error;
    });
  }

  /** Keeps the owner of the file that is replaced, where we may. */
  async #setOwner(
    file: SftpFile,
    there: Entry | null | undefined,
    inPlace: string | undefined,
  ): Promise<void> {
    if (there?.kind !== "file" || inPlace !== undefined) return;
    const { signal, tally } = this.#context;
    const { owner, names = 1 } = there;
    if (names > 1) tally.notice(this.#item.from, OTHER_NAMES);
    const ours = this.#target.owner;
    if (owner === undefined) return;
    if (owner.uid === ours?.uid && owner.gid === ours.gid) return;
    try {
      await file.setAttributes({ owner }, { signal });
    } catch (error) {
      if (!(error instanceof SftpError) || error.status === undefined) {
        throw error;
      }
      const now = await file.stat({ signal }).catch(() => undefined);
      if (now?.uid === owner.uid && now.gid === owner.gid) return;
      tally.notice(
        this.#item.from,
        "A replaced file does not keep its owner and group, which the server refuses to set",
      );
    }
  }

  async #setAttributes(
    file: SftpFile,
    { atime, mtime }: SourceInfo,
    { mode, inPlace }: {
      mode: number | undefined;
      inPlace: string | undefined;
    },
  ): Promise<void> {
    const { options: { preserve }, signal, tally } = this.#context;
    const times = preserve === false || atime === undefined ||
        mtime === undefined
      ? undefined
      : clamped({ atime, mtime });
    if (times !== undefined && times.mtime !== mtime) {
      tally.notice(
        this.#item.from,
        "A time after 2106 was set to that of 2106",
      );
    }
    if (this.isMadeWithMode) return;
    // What was there before keeps its permissions.
    const changes = {
      mode: inPlace === undefined || preserve === true ? mode : undefined,
      times,
    };
    if (changes.mode === undefined && times === undefined) return;
    try {
      await file.setAttributes(changes, { signal });
    } catch (error) {
      if (!isDenied(error)) throw error;
      tally.notice(
        this.#item.from,
        "The server refuses to set permissions and times",
      );
      if (inPlace !== undefined) return;
      this.#target.refusesAttributes = true;
      throw error;
    }
  }
}
