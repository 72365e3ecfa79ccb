/**
 * A small server in this process that behaves as an appliance does: it hangs up
 * after each command.
 *
 * @module
 */

// @ts-types="@types/ssh2"
import ssh2 from "ssh2";
import {
  endCiphers,
  prepareCiphers,
} from "../../transport/ssh2/cipher/ciphers.ts";
import type { SshHost } from "../../transport/host/host.ts";
import { listenOn } from "./ssh2_server.ts";
import { keyPair } from "../../transport/testing/server/_keys.ts";

/** What a device does. */
export interface DeviceOptions {
  /** How it calls itself, as `Cisco-1.25`. */
  readonly software: string;
  /**
   * Whether it hangs up, a moment after a command has ended.
   *
   * @param connection Which connection it was, from 1 on.
   */
  hangsUp(connection: number): boolean;
}

/** A running device; dispose of it to stop it. */
export interface Device extends AsyncDisposable {
  /** The host as a pool takes it. */
  readonly host: SshHost;
  /** Connections so far. */
  readonly connections: number;
  /** Commands that were begun. */
  readonly commands: string[];
}

/** How long after a command it hangs up, and how long a command takes. */
const MOMENT_MS = 20;

/** Starts one on a free port of 127.0.0.1. */
export async function startDevice(options: DeviceOptions): Promise<Device> {
  await prepareCiphers();
  const key = keyPair("device");
  const timers = new Set<ReturnType<typeof setTimeout>>();
  let isOver = false;
  const later = (what: () => void) => {
    if (isOver) return;
    const timer = setTimeout(() => {
      timers.delete(timer);
      what();
    }, MOMENT_MS);
    timers.add(timer);
  };
  const commands: string[] = [];
  let connections = 0;
  const { software: ident } = options;
  const ssh = new ssh2.Server({ hostKeys: [key.privateKey], ident });
  ssh.on("connection", (client) => {
    const number = ++connections;
    endCiphers((client as unknown as { _protocol: never })._protocol);
    client.on("error", () => {});
    client.on("authentication", (context) => context.accept());
    client.on(
      "session",
      (accept) =>
        accept().on("exec", (accept, _reject, { command }) => {
          commands.push(command);
          const stream = accept();
          stream.on("error", () => {});
          stream.resume();
          stream.on("close", () => {
            if (options.hangsUp(number)) later(() => client.end());
          });
          later(() => {
            stream.write(command);
            stream.exit(0);
            stream.end();
          });
        }),
    );
  });
  const listening = await listenOn(ssh, key.fingerprint);
  return {
    host: listening.host,
    get connections() {
      return connections;
    },
    commands,
    async [Symbol.asyncDispose]() {
      isOver = true;
      for (const timer of timers) clearTimeout(timer);
      await listening[Symbol.asyncDispose]();
    },
  };
}
