/**
 * The rival of every bench over SSH: the npm package ssh2 by itself, as its
 * README shows it, and as somebody who knows it well would tune it.
 *
 * @module
 */

import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { Buffer } from "node:buffer";
// @ts-types="@types/ssh2"
import ssh2 from "ssh2";
import type { SshHost } from "../../mod.ts";

/** A connection of bare ssh2. */
export type BareClient = ssh2.Client;

/** Where to connect and as whom. Any host key is accepted, ssh2's default. */
export interface BareHost {
  readonly hostname: string;
  readonly port: number;
  readonly user: string;
  readonly privateKey: string;
  /** Default: ssh2's own choice, aes128-gcm with OpenSSH. */
  readonly cipher?: ssh2.CipherAlgorithm;
}

/** Returns what bare ssh2 needs of a host with a key in text. */
export function bareHost(host: SshHost): BareHost {
  const { hostname, port = 22, user, privateKey } = host;
  if (user === undefined || typeof privateKey !== "string") {
    throw new Error("Bug: the host of a bench has no user or no key");
  }
  return { hostname, port, user, privateKey };
}

/** Connects as the README does: `new Client().connect({...})`. */
export function dialBare(host: BareHost): Promise<BareClient> {
  return ready(host, {});
}

/** Connects as an expert does: over a socket of one's own, with `noDelay`. */
export async function dialTuned(host: BareHost): Promise<BareClient> {
  const sock: Socket = connect({
    host: host.hostname,
    port: host.port,
    noDelay: true,
  });
  await once(sock, "connect");
  return ready(host, { sock });
}

/** Connects through another connection, as with ProxyJump. */
export async function dialThrough(
  hop: BareClient,
  host: BareHost,
): Promise<BareClient> {
  const { promise, resolve, reject } = Promise.withResolvers<
    ssh2.ClientChannel
  >();
  hop.forwardOut(
    "127.0.0.1",
    0,
    host.hostname,
    host.port,
    (error, sock) => error ? reject(error) : resolve(sock),
  );
  return await ready(host, { sock: await promise });
}

function ready(
  host: BareHost,
  config: ssh2.ConnectConfig,
): Promise<BareClient> {
  const { promise, resolve, reject } = Promise.withResolvers<BareClient>();
  const client = new ssh2.Client();
  client.on("ready", () => resolve(client)).on("error", reject);
  client.on("close", () => reject(new Error("Closed before it was ready")));
  client.connect({
    host: host.hostname,
    port: host.port,
    username: host.user,
    privateKey: host.privateKey,
    ...host.cipher === undefined
      ? {}
      : { algorithms: { cipher: [host.cipher] } },
    ...config,
  });
  return promise;
}

/** Runs a command as the README does, and gives what it wrote. */
export function execBare(client: BareClient, command: string): Promise<string> {
  return execOver(client, command, (chunks) => String(Buffer.concat(chunks)));
}

/**
 * Runs a command, again if sshd refuses the channel: it counts a session until
 * it has reaped it, so that even a fixed 8 of 10 now and then is too many.
 */
export async function execPatiently(
  client: BareClient,
  command: string,
  onRefused: () => void = () => {},
): Promise<string> {
  for (;;) {
    try {
      return await execBare(client, command);
    } catch (error) {
      if (!(error instanceof Error && /open failed/.test(error.message))) {
        throw error;
      }
      onRefused();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

/** Runs a command, and gives how many bytes it wrote. */
export function drainBare(
  client: BareClient,
  command: string,
): Promise<number> {
  // Collected too, because the pool's exec collects.
  return execOver(client, command, (chunks) => Buffer.concat(chunks).length);
}

function execOver<T>(
  client: BareClient,
  command: string,
  result: (chunks: Buffer[]) => T,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  client.exec(command, (error, stream) => {
    if (error) return reject(error);
    const chunks: Buffer[] = [];
    stream.on("close", (code: number | null) => {
      if (code === 0) resolve(result(chunks));
      else reject(new Error(`Exit code ${code}`));
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.stderr.on("data", () => {});
  });
  return promise;
}

/** Files over a connection of bare ssh2. */
export type BareSftp = ssh2.SFTPWrapper;

/** Starts an SFTP session. */
export function sftpBare(client: BareClient): Promise<BareSftp> {
  return new Promise((resolve, reject) =>
    client.sftp((error, sftp) => error ? reject(error) : resolve(sftp))
  );
}

/** Ends a connection, and waits until it has ended. */
export async function endBare(client: BareClient): Promise<void> {
  const closed = once(client, "close");
  client.end();
  await closed;
}
