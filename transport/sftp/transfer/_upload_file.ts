import { type FileHandle, open } from "node:fs/promises";
import { SftpError } from "../errors.ts";
import type { SftpFile } from "../file.ts";
import type { Sftp } from "../sftp.ts";
import { PacketBuffers } from "../splitter.ts";
import { cleanedUp, finished, unfinishedName } from "../_unfinished.ts";
import { type Aim, aimAfter, MAX_AIMS } from "./_aim.ts";
import { isSameContent } from "./_compare.ts";
import { type Context, looksSame } from "./_copy_all.ts";
import { mayHaveChanged, transferError } from "./_errors.ts";
import { Finish, isDenied } from "./_finish.ts";
import { infoOf, readLocal } from "./_local.ts";
import { type Entry, folderOf, type Item, nameOf } from "./_plan.ts";
import { aboutTarget, type RemoteTarget } from "./_remote.ts";
import { checkCopied, tellInPlace, unfinishedOf } from "./_strategy.ts";

/** Copies one local file to the server. */
export async function uploadFile(
  target: RemoteTarget,
  item: Item,
  context: Context,
): Promise<void> {
  const { signal, options, tally } = context;
  signal.throwIfAborted();
  if (item.there === undefined && (options.changedOnly || options.resume)) {
    item.there = await target.look(item.to);
  }
  const verdict = looksSame(item.info, item.there, options);
  if (verdict === "yes") return tally.same(item.from, item.info.size);
  const local = await open(item.from, "r");
  try {
    const { size } = item.info;
    const isSame = verdict === "compare" &&
      await isThere(target.sftp, item.to, { local, size }, context);
    if (isSame) return tally.same(item.from, size);
    await new Upload(target, local, item, context).run();
  } catch (error) {
    const about = aboutTarget(error, item.to);
    const { failedOpens } = context;
    if (failedOpens.has(error as object)) failedOpens.add(about as object);
    throw about;
  } finally {
    await local.close();
  }
}

/** Whether a file of the server has the content of a local one. */
async function isThere(
  sftp: Sftp,
  path: string,
  { local, size }: { readonly local: FileHandle; readonly size: number },
  context: Context,
): Promise<boolean> {
  const { signal } = context;
  const remote = await sftp.open(path, { read: true, signal });
  try {
    return await isSameContent({ sftp, remote, path, local, size }, context);
  } finally {
    remote.close().catch(() => {});
  }
}

/** One file on its way to the server. */
class Upload {
  readonly #target: RemoteTarget;
  readonly #local: FileHandle;
  readonly #item: Item;
  readonly #context: Context;
  readonly #end: Finish;
  /** That of the pieces which are on their way. */
  readonly #memory = new PacketBuffers();
  #counted = 0;

  constructor(
    target: RemoteTarget,
    local: FileHandle,
    item: Item,
    context: Context,
  ) {
    this.#target = target;
    this.#local = local;
    this.#item = item;
    this.#context = context;
    this.#end = new Finish(target, item, context);
  }

  async run(): Promise<void> {
    const { to, there, from } = this.#item;
    const { options, tally } = this.#context;
    const inPlace = options.write === "in-place" ? { inPlace: "" } : {};
    let aim: Aim | undefined = { to, there, ...inPlace };
    for (let aims = 0; aim !== undefined; aims++) {
      if (aims > MAX_AIMS) {
        const why = "its target is a link that leads in a circle";
        throw transferError("SSH_SFTP_TRANSFER_REFUSED", from, why);
      }
      aim = aim.inPlace === undefined
        ? await this.#writeBeside(aim)
        : await this.#writeInPlace(aim);
    }
    tally.copied(from);
  }

  #aimAfter(aim: Aim, there: Entry | null): Promise<Aim | undefined> {
    return aimAfter(this.#target, this.#item, this.#context, aim, there);
  }

  /** Writes a new file beside the target, and renames it. */
  async #writeBeside(aim: Aim): Promise<Aim | undefined> {
    const { signal, tally, options } = this.#context;
    const { to, there } = aim;
    const known = there === undefined
      ? undefined
      : await this.#aimAfter(aim, there);
    if (known !== undefined) return known;
    const { resume = false } = options;
    const part = await this.#takeUnfinished(to);
    const name = part?.name ?? unfinishedName(nameOf(to), resume);
    const folder = folderOf(to);
    const path = folder + name;
    let file = part?.file;
    // That of another file may be refused while this one is written.
    this.#end.isMadeWithMode = file === undefined &&
      this.#target.refusesAttributes;
    let isKept = resume;
    try {
      const [opening, looking] = await Promise.allSettled([
        file ??
          this.#target.openNew(path, this.#item.info, there, this.#context),
        there === undefined ? this.#target.look(to) : there,
      ]);
      if (opening.status === "fulfilled") file = opening.value;
      if (looking.status === "rejected") {
        // Whatever came of looking: the file may be there.
        tally.hasChanged ||= opening.status === "fulfilled" ||
          mayHaveChanged(opening.reason);
        throw looking.reason;
      }
      const existing = looking.value;
      const other = there === undefined
        ? await this.#aimAfter(aim, existing)
        : undefined;
      if (other !== undefined) {
        isKept = false;
        await this.#target.discard(file, path);
        return other;
      }
      if (opening.status === "rejected") {
        const why = opening.reason;
        if (existing?.kind !== "file" || !isDenied(why)) throw why;
        await this.#target.discard(undefined, path);
        const inPlace = "a new file may not be made in its folder";
        return { to, there: existing, inPlace };
      }
      tally.hasChanged = true;
      const start = part?.bytes ?? 0;
      if (start > 0) this.#count(start);
      const next = await this.#fill(file!, start, { ...aim, there: existing })
        .catch((error) => {
          const { code } = error as { code?: unknown };
          if (code === "SSH_SFTP_SOURCE_CHANGED") isKept = false;
          throw error;
        });
      if (next === undefined) await this.#verify(path);
      const after = next ?? await this.#end.rename(path, to, existing);
      if (after !== undefined) {
        this.#count(-this.#counted); // it is written again
        await this.#target.discard(file, path);
        return after;
      }
      finished(name, folder, "gone");
      return undefined;
    } catch (error) {
      if (file === undefined && !signal.aborted && !isLost(error)) {
        finished(name, folder, "gone");
      } else if (isKept) {
        await cleanedUp(file?.close());
        finished(name, folder, "kept");
      } else await this.#target.discard(file, path);
      throw error;
    }
  }

  /** Opens an unfinished file that has the beginning of the source. */
  async #takeUnfinished(
    to: string,
  ): Promise<{ name: string; file: SftpFile; bytes: number } | undefined> {
    const context = this.#context;
    const { signal } = context;
    const [folder, local] = [folderOf(to), this.#local];
    const { sftp } = this.#target;
    for (const name of unfinishedOf(this.#item, to, context)) {
      const path = folder + name;
      let file: SftpFile | undefined;
      try {
        file = await sftp.open(path, { read: true, write: true, signal });
        const { size } = await file.stat({ signal });
        const pair = { sftp, remote: file, path, local, size };
        const isUsable = size > 0 && size <= this.#item.info.size &&
          await isSameContent(pair, context);
        if (isUsable) return { name, file, bytes: size };
        // Nothing was written to it: it may be what a stranger has put there.
        await this.#target.discard(file, path);
      } catch (error) {
        await cleanedUp(file?.close());
        finished(name, folder, "kept");
        if (isLost(error)) throw error;
      }
    }
    return undefined;
  }

  /** Writes the content and sets the attributes; the server has the file then. */
  async #fill(
    file: SftpFile,
    start: number,
    aim: Aim,
  ): Promise<Aim | undefined> {
    const { signal } = this.#context;
    const before = await infoOf(this.#local);
    const end = before.size === 0 ? Infinity : before.size;
    let ending: Promise<number> | undefined;
    await file.writeFrom(this.#source(start, end), start, {
      signal,
      onWritten: (piece) => this.#memory.giveBack(piece),
      onSent: () => {
        ending = this.#end.finish(file, before, aim);
        ending.catch(() => {}); // a failed write comes first
      },
    });
    let copied: number;
    try {
      copied = await ending ?? 0;
    } catch (error) {
      // Once more: what is made from now on has its permissions from the start.
      if (!this.#target.refusesAttributes || !isDenied(error)) throw error;
      return aim;
    }
    const after = await infoOf(this.#local);
    checkCopied(this.#item, { before, after, copied }, this.#context);
    return undefined;
  }

  async *#source(start: number, end: number): AsyncGenerator<Uint8Array> {
    const { from } = this.#item;
    const { signal } = this.#context;
    const unitBytes = this.#target.protocol?.maxWriteBytes;
    const memory = this.#memory;
    const range = { start, end, unitBytes, memory };
    memory.enter();
    try {
      for await (const piece of readLocal(this.#local, from, range)) {
        signal.throwIfAborted();
        yield piece;
        this.#count(piece.length);
      }
    } finally {
      memory.leave();
    }
  }

  #count(bytes: number): void {
    this.#counted += bytes;
    this.#context.tally.add(this.#item.from, bytes);
  }

  /** Reads the unfinished file back, if the options ask for it. */
  async #verify(path: string): Promise<void> {
    const context = this.#context;
    if (context.options.verify !== true) return;
    const local = this.#local;
    const { size } = await infoOf(local);
    const { sftp } = this.#target;
    if (await isThere(sftp, path, { local, size }, context)) return;
    throw transferError(
      "SSH_SFTP_TRANSFER_REFUSED",
      this.#item.from,
      "what the server has of it is not what was sent",
    );
  }

  /** Writes the target itself. */
  async #writeInPlace(aim: Aim): Promise<Aim | undefined> {
    const { to, inPlace } = aim;
    const { signal, tally, options } = this.#context;
    const { from, info } = this.#item;
    const there = aim.there === undefined
      ? await this.#target.look(to)
      : aim.there;
    const other = await this.#aimAfter(aim, there);
    if (other !== undefined) return other;
    const isDevice = there?.kind === "device";
    const mode = options.preserve === false ? undefined : info.mode;
    const file = await this.#target.sftp.open(to, {
      write: true,
      truncate: !isDevice,
      create: there === null,
      ...(mode === undefined ? {} : { mode }),
      signal,
    });
    tally.hasChanged = true;
    tellInPlace(this.#context, from, inPlace ?? "");
    try {
      if (!isDevice) {
        await this.#fill(file, 0, { ...aim, there });
        await this.#verify(to);
      } else {
        await file.writeFrom(this.#source(0, Infinity), 0, {
          signal,
          onWritten: (piece) => this.#memory.giveBack(piece),
        });
        await file.close();
      }
    } catch (error) {
      await cleanedUp(file.close());
      throw error;
    }
    return undefined;
  }
}

/** Whether it is not known what the server has done. */
function isLost(error: unknown): boolean {
  return !(error instanceof SftpError) || error.status === undefined;
}
