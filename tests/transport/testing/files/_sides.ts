/** Random steps of SFTP, and sides that each take them with a server of their own. */

import { SftpError } from "../../../../transport/sftp/errors.ts";
import type { SftpFileInfo } from "../../../../transport/sftp/file.ts";
import { PacketType as Type } from "../../../../transport/sftp/packets.ts";
import { SftpCall } from "../../../../transport/sftp/_call.ts";
import { Protocol } from "../../../../transport/sftp/_protocol.ts";
import type { SftpTransport } from "../../../../transport/sftp/transport.ts";
import type { Random } from "../../../kit/random.ts";

/** One step, with all that was drawn for it. */
export interface Step {
  readonly kind: keyof typeof KINDS;
  readonly path: string;
  readonly other: string;
  readonly number: number;
  readonly mode: number;
  readonly flags: number;
  readonly target: string;
}

/** One client with a server, and what it has open. */
export class Side {
  readonly protocol: Protocol;
  readonly handles: Uint8Array[] = [];
  readonly #hidesOwners: boolean;

  /** @param hidesOwners Whether owners are left out of what is compared. */
  constructor(transport: SftpTransport, hidesOwners = false) {
    this.protocol = new Protocol(transport);
    this.#hidesOwners = hidesOwners;
  }

  /** What can be compared of a file: not its times, nor the size of a folder. */
  visible({ mode, size, isDirectory, uid, gid }: SftpFileInfo) {
    return [
      mode?.toString(8),
      isDirectory ? "" : size,
      ...this.#hidesOwners ? [] : [uid, gid],
    ];
  }

  /** The outcome of a step: its result, or its status. */
  async run(step: Step): Promise<unknown> {
    try {
      return await KINDS[step.kind](this, step) ?? "done";
    } catch (error) {
      if (!(error instanceof SftpError)) throw error;
      return `${error.code} ${error.status}`;
    }
  }

  /** One of those that are open; else one that never was. */
  handle(number: number): Uint8Array {
    const { length } = this.handles;
    return length === 0
      ? new Uint8Array(4).fill(77)
      : this.handles[number % length]!;
  }

  close(): void {
    this.protocol.requests.end();
  }

  call(path: string): SftpCall {
    return new SftpCall(this.protocol, "x", path);
  }
}

/** Draws a step: few names, which meet often. */
export function randomStep(random: Random, dir: string): Step {
  const name = () => random.pick(["a", "b", "c", "ü", "n\udcff"]);
  const path = () => {
    const names = Array.from({ length: 1 + random.below(3) }, name).join("/");
    return `${dir}/${names}`;
  };
  const first = path();
  const other = random.chance(0.2) ? `${first}/${name()}` : path();
  return {
    kind: random.pick(Object.keys(KINDS) as Step["kind"][]),
    path: first,
    other,
    number: random.below(100),
    mode: random.pick([0o777, 0o644, 0o755, 0o700, 0o500, 0o300, 0o1777]),
    flags: random.pick([1, 2, 3, 10, 11, 14, 15, 26, 27, 42, 58]),
    target: random.pick(["a", "../a", ".", "nowhere", "b/c", other]),
  };
}

const KINDS = {
  open: async (side: Side, { path, flags, mode }: Step) => {
    const handle = await side.call(path).open(flags, mode);
    side.handles.push(handle);
  },
  write: (side: Side, { number }: Step) =>
    side.call("x").write(
      side.handle(number),
      number * 40,
      new Uint8Array(1 + number * 7).fill(number),
    ),
  read: (side: Side, { number }: Step) =>
    side.call("x").read(side.handle(number), number * 10, 5000),
  close: async (side: Side, { number }: Step) => {
    const handle = side.handle(number);
    const index = side.handles.indexOf(handle);
    if (index >= 0) side.handles.splice(index, 1);
    await side.call("x").close(handle);
  },
  fstat: async (side: Side, { number }: Step) =>
    side.visible(
      await side.call("x").stat(Type.FSTAT, side.handle(number)),
    ),
  fsetstat: (side: Side, { number, mode }: Step) => {
    const changes = number % 2 === 0 ? { size: number * 1000 } : { mode };
    return side.call("x").setStat(changes, side.handle(number));
  },
  sync: (side: Side, { number }: Step) =>
    side.call("x").sync(side.handle(number)),
  copy: (side: Side, { number }: Step) =>
    side.call("x").copyData(side.handle(number), side.handle(number + 1)),
  stat: async (side: Side, { path }: Step) =>
    side.visible(await side.call(path).stat(Type.STAT)),
  lstat: async (side: Side, { path }: Step) =>
    side.visible(await side.call(path).stat(Type.LSTAT)),
  chmod: (side: Side, { path, mode }: Step) =>
    side.call(path).setStat({ mode }),
  truncate: (side: Side, { path, number }: Step) =>
    side.call(path).setStat({ size: number }),
  chown: (side: Side, { path, number }: Step) => {
    const owner = number < 50 ? { uid: 1, gid: 1 } : { uid: 0, gid: 0 };
    return side.call(path).setStat({ owner });
  },
  utime: async (side: Side, { path, number }: Step) => {
    const times = { atime: 5, mtime: number };
    await side.call(path).setStat({ times });
    const { mtime, atime } = await side.call(path).stat(Type.STAT);
    return [mtime?.getTime(), atime?.getTime()];
  },
  lsetstat: (side: Side, { path, number, mode }: Step) => {
    const changes = [{ mode }, { size: 1 }, { times: { atime: 1, mtime: 2 } }];
    return side.call(path).setLinkStat(changes[number % 3]!);
  },
  mkdir: (side: Side, { path, mode }: Step) =>
    side.call(path).entry(Type.MKDIR, mode),
  rmdir: (side: Side, { path }: Step) => side.call(path).entry(Type.RMDIR),
  remove: (side: Side, { path }: Step) => side.call(path).entry(Type.REMOVE),
  rename: (side: Side, { path, other }: Step) => side.call(path).rename(other),
  symlink: (side: Side, { path, target }: Step) =>
    side.call(path).symlink(target),
  link: (side: Side, { path, other }: Step) => side.call(path).link(other),
  readlink: (side: Side, { path }: Step) => side.call(path).name(Type.READLINK),
  realpath: (side: Side, { path }: Step) => side.call(path).name(Type.REALPATH),
  list: (side: Side, { path }: Step) => list(side, path),
};

async function list(side: Side, path: string): Promise<string[]> {
  const call = side.call(path);
  const handle = await call.openDir();
  const found: string[] = [];
  for (;;) {
    const entries = await call.readDir(handle);
    if (entries === null) break;
    for (const { name, info } of entries) {
      found.push(JSON.stringify([name, ...side.visible(info)]));
    }
  }
  await call.close(handle);
  return found.sort();
}
