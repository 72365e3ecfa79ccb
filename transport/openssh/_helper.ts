/**
 * How `ssh` asks this process during a dial: a script that it runs talks to us
 * through a private socket.
 *
 * @module
 */

import { writeFile } from "node:fs/promises";
import type { Server } from "node:net";
import { join } from "node:path";
import process from "node:process";
import type { Duplex } from "node:stream";
import { streamOfTunnel } from "../forward/tunnel_stream.ts";
import type { Tunnel } from "../connector.ts";
import { ASKPASS_SCRIPT, OWNER_SOCKET, TUNNEL_SOCKET } from "./_folder.ts";
import { serveStreams } from "./_private_stream.ts";

/** Longer than any question and any key. */
const MAX_REQUEST_CHARS = 64 * 1024;

/** What `ssh` may ask. `undefined` refuses. */
export interface HelperAnswers {
  /** A question for a password, a passphrase or the like. */
  ask(question: string): Promise<string | undefined>;
  /** Something to tell the user, such as to touch a key. */
  tell(text: string): void;
  /** Whether a host key is trusted. */
  judge(type: string, base64: string): Promise<boolean>;
}

/** The private socket of one dial, and the scripts that talk to it. */
export class Helper {
  readonly #folder: string;
  /** The command that joins its streams with one of our sockets. */
  readonly #join: (socket: string) => string;
  #server: Server | undefined;
  #tunnelServer: Server | undefined;

  /**
   * @param folder The private folder.
   * @param ssh The path of ssh.
   */
  constructor(folder: string, ssh: string) {
    this.#folder = folder;
    this.#join = (socket) => `${ssh} -F none -S ${socket} -O proxy -T x y`;
  }

  /** Begins to listen. It tells others that this process is alive, too. */
  async start(answers: HelperAnswers): Promise<void> {
    this.#server = await serveStreams(
      this.#socket,
      (stream) => serveRequest(stream, answers),
    );
  }

  get #socket(): string {
    return join(this.#folder, OWNER_SOCKET);
  }

  /** A KnownHostsCommand that asks about the key which the server showed. */
  get keyCommand(): string {
    // Before keys are exchanged, ssh asks which keys are known: none.
    const script = 'case "$2" in NONE) exit 0;; esac; ' +
      'a=$(printf "key\\n%%s %%s" "$2" "$3" | ' +
      `${this.#join(this.#socket)} 2>/dev/null); ` +
      'case "$a" in +*) echo "$1 $2 $3";; esac';
    return `/bin/sh -c '${script}' sh %H %t %K`;
  }

  /** The environment in which ssh asks us for passwords and the like. */
  async askpass(): Promise<Record<string, string | undefined>> {
    const path = join(this.#folder, ASKPASS_SCRIPT);
    const send = (verb: string) =>
      `printf '${verb}\\n%s' "$1" | ${this.#join(this.#socket)} 2>/dev/null`;
    // The builtins of a shell: no answer is in the arguments of a process.
    const script = [
      "#!/bin/sh",
      `if [ "$SSH_ASKPASS_PROMPT" = none ]; then ${send("tell")}; exit 0; fi`,
      '[ -z "$SSH_ASKPASS_PROMPT" ] || exit 1',
      `a=$(${send("ask")})`,
      `case "$a" in +*) printf '%s\\n' "\${a#+}";; *) exit 1;; esac`,
      "",
    ].join("\n");
    await writeFile(path, script, { mode: 0o700 });
    return { ...process.env, SSH_ASKPASS: path, SSH_ASKPASS_REQUIRE: "force" };
  }

  /** The ProxyCommand that leads through a tunnel of ours. */
  async lead(tunnel: Tunnel): Promise<string> {
    const path = join(this.#folder, TUNNEL_SOCKET);
    this.#tunnelServer = await serveStreams(path, (near) => {
      const far = streamOfTunnel(tunnel);
      for (const it of [near, far]) {
        it.once("close", () => {
          near.destroy();
          far.destroy();
        });
      }
      near.pipe(far).pipe(near);
    });
    return this.#join(path);
  }

  /** The dial is over: it listens on, but does not keep the process alive. */
  rest(): void {
    this.#server?.unref();
    this.#tunnelServer?.close();
    this.#tunnelServer = undefined;
  }

  /** Stops listening: what is joined already stays so. */
  close(): void {
    this.#server?.close();
    this.#server = undefined;
    this.rest();
  }
}

/** A request is a word, a line break, and what it is about. */
async function serveRequest(
  stream: Duplex,
  answers: HelperAnswers,
): Promise<void> {
  let text = "";
  stream.setEncoding("utf8");
  for await (const piece of stream.iterator({ destroyOnReturn: false })) {
    text += piece;
    if (text.length > MAX_REQUEST_CHARS) return void stream.destroy();
  }
  const end = text.indexOf("\n");
  const about = text.slice(end + 1);
  stream.end(await answer(text.slice(0, end), about, answers));
}

async function answer(
  verb: string,
  about: string,
  answers: HelperAnswers,
): Promise<string> {
  if (verb === "tell") {
    answers.tell(about);
  } else if (verb === "ask") {
    const given = await answers.ask(about);
    if (given !== undefined) return `+${given}`;
  } else if (verb === "key") {
    const [type = "", base64 = ""] = about.split(" ");
    if (await answers.judge(type, base64)) return "+";
  }
  return "-";
}
