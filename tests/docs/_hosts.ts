/** The hosts of the README's examples: servers in this process, which play scripts. */

import { createServer, type Server } from "node:net";
// @ts-types="@types/ssh2"
import ssh2 from "ssh2";
import {
  type CommandContext,
  type Commands,
  EmbeddedServer,
  MemoryFiles,
} from "../../transport/testing/mod.ts";

/** The passphrase of the key of {@linkcode deployKey}. */
export const PASSPHRASE = "correct horse";

/** The password that lets the examples in. */
export const PASSWORD = "battery staple";

/** A key that only the passphrase opens. */
export const deployKey: { private: string; public: string } = makeKey();

function makeKey(): { private: string; public: string } {
  const { generateKeyPairSync, parseKey } = ssh2.utils;
  for (;;) {
    const pair = generateKeyPairSync("ed25519", {
      passphrase: PASSPHRASE,
      cipher: "aes256-cbc",
      rounds: 16,
    });
    // ssh2 drops a leading zero: one pair in 256 is malformed.
    if (!(parseKey(pair.private, PASSPHRASE) instanceof Error)) return pair;
  }
}

/** What the examples run on their hosts. */
const COMMANDS: Commands = {
  uptime: { stdout: "up 3 days\n" },
  "systemctl is-active app": { code: 3, stdout: "inactive\n" },
  systemctl: {},
  touch: {},
  mv: ({ command }) => ({ stdout: `${command}\n` }),
  whoami: ({ host }) => ({ stdout: `${host.split("@")[0]}\n` }),
  deploy: { code: 4, stderr: "no space left\n" },
  tail: follow,
  "tar -cz /srv/site": { stdout: "an archive" },
  "tar -xzC /": async ({ stdin }) => {
    const archive = await new Response(stdin).text();
    return { code: archive === "an archive" ? 0 : 2 };
  },
  psql: readInput,
  backup: neverEnd,
};

async function follow({ write, signal }: CommandContext): Promise<void> {
  await write("starting\nready\n");
  await untilStopped(signal);
}

async function readInput({ stdin }: CommandContext) {
  const text = await new Response(stdin).text();
  return { stdout: `read ${text.trim()}\n` };
}

async function neverEnd({ write, signal }: CommandContext): Promise<void> {
  await write("50 %\n");
  await untilStopped(signal);
}

function untilStopped(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), {
      once: true,
    });
  });
}

/** Starts the server on which most examples run. */
export function startScripted(): Promise<EmbeddedServer> {
  return EmbeddedServer.start({
    commands: COMMANDS,
    password: PASSWORD,
    publicKeys: [deployKey.public],
    files: new MemoryFiles({ "/srv/app.conf": "level=debug\n" }),
  });
}

/** Something behind a host that answers as redis does; closed with its connections. */
export class Cache implements AsyncDisposable {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Starts one on a free loopback port. */
  static async start(): Promise<Cache> {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (data) => {
        socket.write(data.toString() === "PING\r\n" ? "+PONG\r\n" : "-ERR\r\n");
      });
    });
    await new Promise<void>((resolve) =>
      server.listen(0, "127.0.0.1", resolve)
    );
    return new Cache(server);
  }

  /** Its address. */
  get address(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("Bug");
    return `127.0.0.1:${address.port}`;
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<unknown>((resolve) => this.#server.close(resolve));
  }
}
