/**
 * {@linkcode connectorContract}: the treaty of `Connector`, as tests.
 *
 * @module
 */

import { callback } from "../../options/rules.ts";
import { OptionTable } from "../../options/table.ts";
import type { Commands } from "../scripts/command_script.ts";
import { connectionTests } from "./_connection.ts";
import { type ContractRig, disposing } from "./_contract.ts";
import { fileTests } from "./_files.ts";
import { forwardTests } from "./_forward.ts";
import { optionTests } from "./_options.ts";
import { pipeTests } from "./_pipes.ts";
import { processTests } from "./_process.ts";
import { subsystemTests } from "./_subsystem.ts";

export type { ContractRig } from "./_contract.ts";

/** What {@linkcode connectorContract} tests. */
export interface ContractAdapter {
  /** The name of the adapter, which is part of the name of each test. */
  readonly name: string;
  /** Makes a connector and a server for one test, which disposes of them. */
  start(): ContractRig | Promise<ContractRig>;
}

/** Options for {@linkcode connectorContract}. */
export interface ContractOptions {
  /** Registers a test: `Deno.test`, or `test` of `node:test` or Vitest. */
  readonly test: (name: string, body: () => Promise<void>) => unknown;
}

const OPTIONS = new OptionTable<ContractOptions>("register the contract", {
  test: callback,
});

/**
 * What a shell does with some commands of the contract, for a server that has
 * none: give it to `MemoryConnector` or `EmbeddedServer`, which know the others
 * by themselves.
 */
export const contractCommands: Commands = {
  "echo out; echo err >&2; exit 3": {
    stdout: "out\n",
    stderr: "err\n",
    code: 3,
  },
  "kill -KILL $$": { signal: "KILL" },
  "cat; exit 5": async ({ stdin, write }) => {
    for await (const chunk of stdin) await write(chunk);
    return { code: 5 };
  },
  "echo so far; sleep 60": async ({ write, signal }) => {
    await write("so far\n");
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  },
  "head -c 8000000 /dev/zero": async ({ write }) => {
    for (let i = 0; i < 80; i++) await write(new Uint8Array(100_000));
  },
};

/**
 * Registers the treaty between a pool and a `Connector` as tests, so that an
 * adapter of your own can be proved by the same ones as those of this package.
 * Each test starts a rig and a connection, and disposes of both. A test waits
 * seconds at most; what a connection cannot do (an optional member that it
 * lacks) is not tested.
 *
 * @param adapter The adapter, with a server for each test.
 * @param options The function that registers a test.
 *
 * @example In Deno
 * ```ts ignore
 * import { connectorContract, contractCommands, MemoryConnector } from "@sshpool/sshpool/testing";
 *
 * connectorContract({
 *   name: "memory",
 *   start() {
 *     const connector = new MemoryConnector({
 *       maxSessions: 2,
 *       commands: contractCommands,
 *       targets: (target) =>
 *         target === "127.0.0.1:1"
 *           ? undefined
 *           : ({ readable, writable }) => readable.pipeTo(writable),
 *     });
 *     return {
 *       connector,
 *       host: { hostname: "db1", port: 22, user: "ops" },
 *       folder: "/tmp",
 *       sockets: "/run",
 *       lose: () => connector.dropAll(),
 *       [Symbol.asyncDispose]: () => Promise.resolve(),
 *     };
 *   },
 * }, { test: Deno.test });
 * ```
 *
 * @example In Node
 * ```ts ignore
 * import { test } from "node:test";
 * import { connectorContract } from "@sshpool/sshpool/testing";
 * import { adapter } from "./my_adapter.js";
 *
 * connectorContract(adapter, { test });
 * ```
 */
export function connectorContract(
  { name: adapter, start }: ContractAdapter,
  options: ContractOptions,
): void {
  const { test } = OPTIONS.check(options);
  const groups = [
    connectionTests,
    processTests,
    pipeTests,
    optionTests,
    fileTests,
    subsystemTests,
    forwardTests,
  ];
  for (const register of groups) {
    register((name, body, needs) => {
      test(`Connector [${adapter}] ${name}`, async () => {
        const rig = await start();
        await disposing(rig, async () => {
          const connection = await rig.connector.connect(rig.host);
          await disposing(connection, async () => {
            if (needs !== undefined && connection[needs] === undefined) return;
            await body(connection, rig);
          });
        });
      });
    });
  }
}
