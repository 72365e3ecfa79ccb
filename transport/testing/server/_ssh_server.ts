/** The side of the embedded server that needs ssh2, which is loaded with it. */

import type { Socket } from "node:net";
// @ts-types="@types/ssh2"
import ssh2, { type Connection, type ServerConfig, type Session } from "ssh2";
import { sleep } from "../../abort.ts";
import { endCiphers, prepareCiphers } from "../../ssh2/cipher/ciphers.ts";
import { serverInternalsOf } from "../../ssh2/fence/server_side.ts";
import type { MemoryTree } from "../files/memory_tree.ts";
import { authenticator } from "./_auth.ts";
import {
  type EmbeddedServerOptions,
  SERVER_USER,
} from "./embedded_server_options.ts";
import { fingerprint } from "../../host_key/check.ts";
import { ServerForwards } from "./_forwards.ts";
import { keyPair, wireForm } from "./_keys.ts";
import { serveSession } from "./_session.ts";

/** What the embedded server counts. */
export interface ServerCounters {
  accepted: number;
  authAttempts: number;
  sessions: number;
  refusedSessions: number;
  openSessions: number;
  peakSessions: number;
  forwards: number;
}

/** What a connection needs of its server. */
export interface ServerParts {
  readonly options: EmbeddedServerOptions;
  readonly counters: ServerCounters;
  /** The address, as `hostname:port`. */
  readonly address: () => string;
  /** What SFTP sessions see; `undefined` refuses them. */
  readonly files: () => MemoryTree | undefined;
}

/** Speaks SSH on sockets that are given to it. */
export class SshServer {
  /** `SHA256:...` of its (first) host key. */
  readonly hostKeyFingerprint: `SHA256:${string}`;
  /** The private key that is let in. */
  readonly clientKey: string = keyPair("client").privateKey;
  readonly #ssh: ssh2.Server;
  readonly #live: Set<Promise<void>> = new Set();

  constructor(parts: ServerParts) {
    const { options } = parts;
    const hostKeys = [...options.hostKeys ?? [keyPair("host").privateKey]];
    this.hostKeyFingerprint = fingerprint(wireForm(hostKeys[0]!));
    this.#ssh = new ssh2.Server({
      // With a number as in OpenSSH 10: the client of ssh2 asks no other server for
      // forwards of unix sockets.
      ident: "sshpool_10",
      hostKeys,
      ...algorithmsOf(options),
    }, (client) => {
      const ended = new Promise<void>((resolve) => {
        new ServerConnection(client, parts, resolve);
      });
      this.#live.add(ended);
      ended.then(() => this.#live.delete(ended));
    });
  }

  /** Makes ready what a server needs, before the first one is made. */
  static async prepare(): Promise<void> {
    await prepareCiphers();
  }

  /** Serves a client on a socket. */
  serve(socket: Socket): void {
    this.#ssh.injectSocket(socket);
  }

  /** Resolves when all that belonged to its connections has ended with them. */
  async ended(): Promise<void> {
    await Promise.all(this.#live);
  }
}

/** Answers what one client asks for, until it is gone. */
class ServerConnection {
  readonly #client: Connection;
  readonly #parts: ServerParts;
  readonly #gone = new AbortController();
  readonly #forwards: ServerForwards;
  #sessions = 0;

  /**
   * @param client ssh2's side of the connection, before the key exchange.
   * @param parts What it needs of its server.
   * @param onEnd Called once all that belonged to the connection has ended.
   */
  constructor(client: Connection, parts: ServerParts, onEnd: () => void) {
    const { options, counters } = parts;
    this.#client = client;
    this.#parts = parts;
    endCiphers(serverInternalsOf(client)._protocol);
    const onForward = () => void counters.forwards++;
    this.#forwards = new ServerForwards(client, options, onForward);
    client.on("error", () => {});
    client.on("close", () => {
      counters.openSessions -= this.#sessions;
      this.#gone.abort();
      this.#forwards.end().then(onEnd);
    });
    const onAttempt = () => void counters.authAttempts++;
    client.on("authentication", authenticator(options, onAttempt));
    client.on("ready", () => counters.accepted++);
    client.on("session", (accept, reject) => this.#admit(accept, reject));
  }

  #admit(accept: () => Session, reject: () => void): void {
    const { options, counters } = this.#parts;
    const { maxSessions = Infinity, refuseSessions } = options;
    if (refuseSessions || this.#sessions >= maxSessions) {
      counters.refusedSessions++;
      return void reject();
    }
    this.#sessions++;
    counters.sessions++;
    counters.openSessions++;
    counters.peakSessions = Math.max(counters.peakSessions, this.#sessions);
    this.#answer(() => {
      const session = accept();
      const { options, address, files } = this.#parts;
      const host = `${options.user ?? SERVER_USER}@${address()}`;
      serveSession(session, this.#client, {
        options,
        host,
        gone: this.#gone.signal,
        files,
        onClose: () => {
          if (this.#gone.signal.aborted) return;
          this.#sessions--;
          counters.openSessions--;
        },
      });
    });
  }

  #answer(open: () => void): void {
    const { neverOpen, delayOpenMs = 0 } = this.#parts.options;
    if (neverOpen) return;
    if (delayOpenMs <= 0) return open();
    sleep(delayOpenMs, this.#gone.signal).then(open, () => {});
  }
}

/** Names of algorithms are plain strings here, and an enumeration in ssh2's types. */
function algorithmsOf(
  { algorithms }: EmbeddedServerOptions,
): Pick<ServerConfig, "algorithms"> {
  if (algorithms === undefined) return {};
  const { kex, cipher, mac: hmac } = algorithms;
  const given = Object.entries({ kex, cipher, hmac })
    .filter(([, names]) => names !== undefined);
  return { algorithms: Object.fromEntries(given) };
}
