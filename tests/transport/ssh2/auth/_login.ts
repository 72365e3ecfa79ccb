/**
 * Logging in with nothing but ssh2 and an `Authenticator`, and what there is
 * to log in to: a real ssh-agent, keys of ssh-keygen, a server in the process.
 *
 * @module
 */

import {
  endCiphers,
  prepareCiphers,
} from "../../../../transport/ssh2/cipher/ciphers.ts";
import { connect } from "node:net";
import { join } from "node:path";
// @ts-types="@types/ssh2"
import ssh2, { type AuthContext, type ConnectConfig } from "ssh2";
import type { ResolvedHost, SshHost } from "../../../../transport/host/host.ts";
import type { Notice } from "../../../../transport/connector.ts";
import type { AuthenticationError } from "../../../../transport/errors.ts";
import { keyPair } from "../../../../transport/testing/server/_keys.ts";
import { Authenticator } from "../../../../transport/ssh2/auth/authenticator.ts";

/** How a login went. */
export interface Login {
  ok: boolean;
  tried: readonly string[];
  notices: Notice[];
  error: AuthenticationError;
}

/** A host with what only the resolver would fill in. */
export function resolved(host: SshHost): ResolvedHost {
  const { jump: _, ...rest } = host;
  return { port: 22, user: "ops", ...rest };
}

/** Logs in and out again. `prepare()` may reject. */
export async function login(
  host: SshHost,
  options: {
    signal?: AbortSignal;
    config?: Partial<ConnectConfig>;
  } = {},
): Promise<Login> {
  const notices: Notice[] = [];
  const auth = new Authenticator(resolved(host), {
    signal: options.signal,
    onNotice: (notice) => notices.push(notice),
  });
  try {
    await auth.prepare();
    const client = new ssh2.Client();
    const closed = Promise.withResolvers<void>();
    let ok = false;
    let cause: Error | undefined;
    client.on("ready", () => {
      ok = true;
      client.end();
    });
    client.on("error", (error) => cause = error);
    client.on("close", () => closed.resolve());
    client.connect({
      // ssh2 would leave Nagle's algorithm on: 40 ms for each round trip.
      sock: connect({
        host: host.hostname,
        port: host.port ?? 22,
        noDelay: true,
      }),
      // On a busy machine a key of many rounds takes its time.
      readyTimeout: 60_000,
      ...auth.connectConfig,
      ...options.config,
      authHandler: auth.handler,
    });
    auth.attach(client);
    const onAbort = () => client.destroy();
    options.signal?.addEventListener("abort", onAbort);
    await closed.promise;
    options.signal?.removeEventListener("abort", onAbort);
    return { ok, tried: auth.tried, notices, error: auth.error(cause) };
  } finally {
    auth.dispose();
  }
}

/** Whether the tools of OpenSSH's client are there. */
export const noKeygen: boolean = !has("ssh-keygen") || !has("ssh-agent");

/** What to tell whoever sees such a test ignored. */
export const keygenHint = "install openssh-client to run this test";

/** Runs a tool and gives its output; throws what it says when it fails. */
export async function run(
  command: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    env,
    stdin: "null",
  }).output();
  if (success) return new TextDecoder().decode(stdout);
  throw new Error(`${command}: ${new TextDecoder().decode(stderr)}`);
}

/** Makes a key pair and gives the path of the private key. */
export async function keygen(
  path: string,
  options: {
    type?: string;
    bits?: number;
    passphrase?: string;
    format?: string;
  } = {},
): Promise<string> {
  const { type = "ed25519", bits, passphrase = "", format } = options;
  await run("ssh-keygen", [
    ...["-q", "-t", type, "-N", passphrase, "-C", "test", "-f", path],
    ...bits === undefined ? [] : ["-b", String(bits)],
    ...format === undefined ? [] : ["-m", format],
    // Two rounds of bcrypt are fast; Ed25519 keeps the default.
    ...type === "ed25519" ? [] : ["-a", "2"],
  ]);
  return path;
}

/** `SHA256:...` of a public key file, as OpenSSH computes it. */
export async function fingerprintOf(path: string): Promise<string> {
  return (await run("ssh-keygen", ["-lf", path])).split(" ")[1] ?? "";
}

/** A folder that is removed at the end. */
export async function tempDir(): Promise<AsyncDisposable & { path: string }> {
  const path = await Deno.makeTempDir({ prefix: "sshpool-auth-" });
  return {
    path,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

/** A running ssh-agent. */
export async function startAgent(
  dir: string,
): Promise<
  AsyncDisposable & { path: string; add(key: string): Promise<string> }
> {
  const path = join(dir, "agent");
  const process = new Deno.Command("ssh-agent", {
    args: ["-D", "-a", path],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const env = { SSH_AUTH_SOCK: path };
  for (let left = 500; left > 0; left--) {
    try {
      // The socket is there a moment before the agent listens on it.
      (await Deno.connect({ transport: "unix", path })).close();
      break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
  return {
    path,
    add: (key) => run("ssh-add", ["-q", key], env),
    async [Symbol.asyncDispose]() {
      process.kill("SIGTERM");
      await process.status;
    },
  };
}

const hostKey = keyPair("login").privateKey;

/** A server in this process, which asks `decide` about each attempt. */
export async function startServer(
  decide: (context: AuthContext) => void,
): Promise<AsyncDisposable & { host: SshHost; methods: string[] }> {
  await prepareCiphers();
  const methods: string[] = [];
  const clients = new Set<{ end(): void }>();
  const server = new ssh2.Server({ hostKeys: [hostKey] }, (client) => {
    endCiphers((client as unknown as { _protocol: object })._protocol);
    clients.add(client);
    client.on("authentication", (context) => {
      methods.push(context.method);
      decide(context);
    });
    client.on("error", () => {});
    client.on("close", () => clients.delete(client));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    host: { hostname: "127.0.0.1", port, user: "ops" },
    methods,
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.end();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function has(command: string): boolean {
  return (Deno.env.get("PATH") ?? "").split(":").some((folder) => {
    try {
      return Deno.statSync(join(folder, command)).isFile;
    } catch {
      return false;
    }
  });
}
