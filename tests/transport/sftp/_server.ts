// The sftp-server program of OpenSSH, spoken to through its standard input and
// output: all of SFTP, and nothing of SSH.

import { existsSync } from "node:fs";
import type { Sftp } from "../../../transport/sftp/sftp.ts";
import { startSftp } from "../../../transport/sftp/open_session.ts";
import type { SftpTransport } from "../../../transport/sftp/transport.ts";

const PATHS = [
  "/usr/lib/openssh/sftp-server",
  "/usr/libexec/openssh/sftp-server",
  "/usr/libexec/sftp-server",
  "/usr/lib/ssh/sftp-server",
];

/** The path of sftp-server; `undefined` if there is none. */
export const serverPath = PATHS.find((path) => existsSync(path));
/** Whether tests against a real sftp-server have to be ignored. */
export const noServer = serverPath === undefined;
/** Whether the tests run as root, who may do everything. */
export const isRoot = Deno.uid() === 0;

export interface ServerOptions {
  /** Runs it as `nobody`; needs root. */
  readonly asNobody?: boolean;
  /** More arguments, such as `["-P", "limits"]` to take a request away. */
  readonly args?: readonly string[];
  /** How many files it may have open. */
  readonly maxFiles?: number;
  /** Changes the transport, to break it. */
  readonly through?: (transport: SftpTransport) => SftpTransport;
}

/** An sftp-server, a session on it, and a folder of its own. */
export interface TestServer extends AsyncDisposable {
  readonly sftp: Sftp;
  readonly dir: string;
  /** Ends the program as a lost connection would. */
  kill(): void;
}

/** Starts a server and a session. */
export async function startServer(
  { asNobody = false, args = [], maxFiles, through = (same) => same }:
    ServerOptions = {},
): Promise<TestServer> {
  const dir = await Deno.makeTempDir({ prefix: "sshpool-sftp-" });
  const limited = maxFiles === undefined
    ? []
    : ["sh", "-c", `ulimit -n ${maxFiles}; exec "$@"`, "sh"];
  const server = [...limited, serverPath ?? "", ...args];
  const [command = "", ...rest] = asNobody
    ? ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", ...server]
    : server;
  if (asNobody) await Deno.chown(dir, 65534, 65534);
  const child = new Deno.Command(command, {
    args: rest,
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const pipe = pipeTransport(child);
  const sftp = await startSftp(through(pipe.transport), { host: "me@test:22" });
  return {
    sftp,
    dir,
    kill: () => child.kill("SIGKILL"),
    async [Symbol.asyncDispose]() {
      sftp.close();
      await pipe.done;
      await child.status;
      await Deno.remove(dir, { recursive: true });
    },
  };
}

function pipeTransport(child: Deno.ChildProcess) {
  const writer = child.stdin.getWriter();
  const reader = child.stdout.getReader();
  let receive: (bytes: Uint8Array) => void = () => {};
  let ended: (error?: Error) => void = () => {};
  const read = async () => {
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        receive(value);
      }
      ended(new Error("the server program ended"));
    } catch (error) {
      ended(error as Error);
    }
  };
  const transport: SftpTransport = {
    write(bytes) {
      const written = writer.write(bytes);
      written.catch(() => {});
      return (writer.desiredSize ?? 0) > 0 ? undefined : writer.ready;
    },
    onData: (callback) => void (receive = callback),
    onEnd: (callback) => void (ended = callback),
    close: () => {
      writer.close().catch(() => {});
      try {
        child.kill("SIGTERM");
      } catch {
        // It has ended already.
      }
    },
  };
  return { transport, done: read() };
}
