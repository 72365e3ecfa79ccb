/**
 * What the cells of the matrix share: an sshd, content to move, and a server
 * for tunnels to lead to.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import {
  type AddressInfo,
  createServer,
  type Server,
  type Socket,
} from "node:net";
import { join } from "node:path";
import { type Sshd, startSshd } from "../../kit/sshd.ts";

/** The content, which no part of it is equal to. */
export const PAYLOAD = new Uint8Array(randomBytes(150_000));

/** The hash of bytes, in hex. */
export function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The hash of {@linkcode PAYLOAD}. */
export const PAYLOAD_HASH = hashOf(PAYLOAD);

/** Whether bytes are {@linkcode PAYLOAD}. */
export function isPayload(bytes: Uint8Array): boolean {
  return hashOf(bytes) === PAYLOAD_HASH;
}

/** The names of files in the tree, the last in a folder of its own. */
export const TREE = ["a", "b", "c", "d", "e", "sub/f", "sub/g"];

/** How many entries the large folder has. */
export const ENTRIES = 250;

/** What a pool connects with. */
export type Transport = "ssh2" | "openssh";

/** What a dial takes at most where nothing else runs, in milliseconds. */
const EASY_DIAL_MS = { ssh2: 300, openssh: 900 };

/** Where the cells take place. */
export class Site implements AsyncDisposable {
  readonly sshd: Sshd;
  readonly target: Target;
  /** The folder of the cells on the host. */
  readonly remote: string;
  /** The folder of the cells on this side. */
  readonly local: string;
  /** What the pool connects with. */
  readonly transport: Transport;

  private constructor(
    sshd: Sshd,
    target: Target,
    local: string,
    transport: Transport,
  ) {
    this.sshd = sshd;
    this.transport = transport;
    this.target = target;
    this.remote = join(sshd.dir, "cells");
    this.local = local;
  }

  /**
   * By how much all deadlines are stretched: 1, unless the machine is busy with
   * something else. An uncut dial shows it.
   */
  slowness = 1;

  /** Notes how long an uncut dial took, in milliseconds. */
  noteDial(ms: number): void {
    this.slowness = Math.max(this.slowness, ms / EASY_DIAL_MS[this.transport]);
  }

  /** Starts the servers, and makes what is only read. */
  static async start(transport: Transport): Promise<Site> {
    const sshd = await startSshd({ maxStartups: "1000" });
    const local = await Deno.makeTempDir({ prefix: "sshpool-cuts-" });
    const site = new Site(sshd, await Target.start(), local, transport);
    await Deno.mkdir(site.remote);
    await Deno.chmod(site.remote, 0o777);
    await Deno.writeFile(site.payload, PAYLOAD, { mode: 0o644 });
    await makeTree(site.tree);
    await Deno.mkdir(site.entries);
    for (let i = 0; i < ENTRIES; i++) {
      await Deno.writeTextFile(join(site.entries, entryName(i)), "");
    }
    return site;
  }

  /** A file with {@linkcode PAYLOAD}, for both sides: they share the disk. */
  get payload(): string {
    return join(this.sshd.dir, "payload");
  }

  /** A tree of files with {@linkcode PAYLOAD}, for both sides. */
  get tree(): string {
    return join(this.sshd.dir, "tree");
  }

  /** A folder with {@linkcode ENTRIES} entries. */
  get entries(): string {
    return join(this.sshd.dir, "entries");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sshd[Symbol.asyncDispose]();
    await this.target[Symbol.asyncDispose]();
    await Deno.remove(this.local, { recursive: true });
  }
}

/** The name of an entry of the large folder. */
export function entryName(i: number): string {
  return `entry-with-a-long-name-${i}`;
}

/** Part of the content, so that a tree is not much larger than a file. */
export function partFor(name: string): Uint8Array {
  const at = TREE.indexOf(name) * 1000;
  return PAYLOAD.subarray(at, at + 30_000);
}

/** What a tree has in all: its files, two folders and a link. */
export const TREE_ENTRIES = TREE.length + 3;

/** Makes a tree that anybody may read and change. */
export async function makeTree(path: string): Promise<void> {
  for (const folder of [path, join(path, "sub")]) {
    await Deno.mkdir(folder);
    await Deno.chmod(folder, 0o777);
  }
  for (const name of TREE) {
    await Deno.writeFile(join(path, name), partFor(name), { mode: 0o644 });
  }
  await Deno.symlink("a", join(path, "link"));
}

/** What a connection to the target has sent, up to its end. */
export interface Received {
  /** Whether it ended with an end of file, and not with a reset. */
  readonly inOrder: boolean;
  readonly bytes: Uint8Array;
}

/**
 * A server that tunnels lead to. `GET` gives the content, and an end of file.
 * `PUT id` takes what comes up to an end of file, and answers with its hash.
 */
export class Target implements AsyncDisposable {
  /** What came with `PUT`, by id. */
  readonly received = new Map<string, Received>();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.#server = createServer({ allowHalfOpen: true }, (it) => {
      this.#sockets.add(it);
      it.once("close", () => this.#sockets.delete(it));
      this.#serve(it);
    });
  }

  /** Starts it. */
  static async start(): Promise<Target> {
    const target = new Target();
    await new Promise<void>((resolve) =>
      target.#server.listen(0, "127.0.0.1", resolve)
    );
    return target;
  }

  /** Its port of 127.0.0.1. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    const chunks: Uint8Array[] = [];
    let inOrder = false;
    const take = () => {
      const all = Buffer.concat(chunks);
      const end = all.indexOf("\n");
      if (end < 0) return;
      const [verb, id] = all.toString("utf8", 0, end).split(" ");
      const bytes = new Uint8Array(all.subarray(end + 1));
      if (verb === "GET" && !socket.writableEnded) socket.end(PAYLOAD);
      if (verb !== "PUT" || id === undefined) return;
      this.received.set(id, { inOrder, bytes });
      if (inOrder) socket.end(hashOf(bytes));
    };
    socket.on("data", (chunk: Uint8Array) => {
      chunks.push(chunk);
      take();
    });
    socket.on("end", () => {
      inOrder = true;
      take();
    });
    socket.on("error", () => socket.destroy());
  }
}
