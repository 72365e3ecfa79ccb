/** What all connections to one server of a memory connector share. */

import type { ForwardTarget } from "../../host/target.ts";
import { MemoryFiles } from "../files/memory_files.ts";
import type { MemoryTunnel } from "./_tunnel.ts";

/** Takes a connection that was made on the host. */
export type TakeConnection = (tunnel: MemoryTunnel) => void;

/** The first port that the host gives to those that name none. */
const FIRST_PORT = 49_152;

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|::1|0\.0\.0\.0|::|\*|)$/;

/** One server: its files, and what listens on it for remote forwards. */
export class MemoryHost {
  readonly #hostname: string;
  readonly #files = new Map<string, MemoryFiles>();
  /** By port, or by path. */
  readonly #listeners = new Map<number | string, TakeConnection>();

  constructor(hostname: string) {
    this.#hostname = hostname;
  }

  /** Returns the files that a user of it sees, if the script has none. */
  files(user: string): MemoryFiles {
    let files = this.#files.get(user);
    if (files === undefined) {
      const home = user === "root"
        ? "/root"
        : `/home/${user.replaceAll("/", "_")}`;
      files = new MemoryFiles({ "/tmp/": { mode: 0o1777 } }, { home });
      this.#files.set(user, files);
    }
    return files;
  }

  /**
   * Listens.
   *
   * @returns The address, with a port; `undefined` if it is in use.
   */
  listen(
    address: ForwardTarget,
    take: TakeConnection,
  ): ForwardTarget | undefined {
    let given = address;
    if ("port" in address && address.port === 0) {
      let port = FIRST_PORT;
      while (this.#listeners.has(port)) port++;
      given = { hostname: address.hostname, port };
    }
    if (this.#listeners.has(keyOf(given))) return undefined;
    this.#listeners.set(keyOf(given), take);
    return given;
  }

  /** Listens no more. */
  unlisten(address: ForwardTarget): void {
    this.#listeners.delete(keyOf(address));
  }

  /** Returns what listens at an address that is seen from the host. */
  at(target: ForwardTarget): TakeConnection | undefined {
    const isHere = "path" in target || LOOPBACK.test(target.hostname) ||
      target.hostname === this.#hostname;
    return isHere ? this.#listeners.get(keyOf(target)) : undefined;
  }
}

function keyOf(address: ForwardTarget): number | string {
  return "path" in address ? address.path : address.port;
}
