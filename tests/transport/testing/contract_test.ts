import { assert, assertEquals } from "@std/assert";
import type {
  Connection,
  Connector,
  Tunnel,
} from "../../../transport/connector.ts";
import type { ExecResult } from "../../../transport/process.ts";
import {
  connectorContract,
  type ContractRig,
} from "../../../transport/testing/mod.ts";
import { memoryRig } from "../contract/_contract.ts";

/** A connector whose connections lie in one way. */
function lying(
  lie: (connection: Connection) => Partial<Connection>,
): Connector {
  const { connector } = memoryRig();
  return {
    async connect(host, options) {
      const connection = await connector.connect(host, options);
      const lies = lie(connection) as Record<PropertyKey, unknown>;
      return new Proxy(connection, {
        get(target, name) {
          const value = Object.hasOwn(lies, name)
            ? lies[name]
            : Reflect.get(target, name);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    },
  };
}

/** The tests of the contract that a rig does not pass. */
async function failures(
  rig: () => ContractRig,
  isOf: (name: string) => boolean,
): Promise<string[]> {
  const tests = new Map<string, () => Promise<void>>();
  connectorContract({ name: "x", start: rig }, {
    test: (name, body) =>
      void tests.set(name.replace("Connector [x] ", ""), body),
  });
  assert(tests.size > 45);
  const failed: string[] = [];
  for (const [name, body] of tests) {
    if (!isOf(name)) continue;
    await body().catch(() => failed.push(name));
  }
  return failed;
}

const lies: readonly [
  lie: string,
  test: string,
  connection: (connection: Connection) => Partial<Connection>,
][] = [
  [
    "says that every command succeeds",
    "runs a command and gives its code and both outputs",
    (connection) => ({
      exec: async (...args: Parameters<Connection["exec"]>) => ({
        ...await connection.exec(...args),
        success: true,
        code: 0,
      } as ExecResult<never>),
    }),
  ],
  [
    "is open after its end",
    "closes: at once, twice, and with what is in flight",
    () => ({ isClosed: false }),
  ],
  [
    "does not count its sessions",
    "rejects with reason 2 beyond the server's sessions",
    () => ({ openChannels: 0 }),
  ],
  [
    "gives tunnels that never end",
    "forwards bytes both ways until the tunnel is closed",
    (connection) => ({
      forwardOut: async (
        ...args: Parameters<NonNullable<Connection["forwardOut"]>>
      ) => {
        const tunnel = await connection.forwardOut!(...args);
        return {
          readable: tunnel.readable,
          writable: tunnel.writable,
          closed: Promise.reject(new Error("never")),
          close: () => tunnel.close(),
        } satisfies Tunnel;
      },
    }),
  ],
];

for (const [lie, test, connection] of lies) {
  Deno.test(`connectorContract() catches a connection that ${lie}`, async () => {
    const rig = () => ({ ...memoryRig(), connector: lying(connection) });
    assertEquals(await failures(rig, (name) => name === test), [test]);
  });
}

Deno.test("connectorContract() passes over what a connection does not have", async () => {
  const connector = lying(() =>
    ({ sftp: undefined, forwardIn: undefined }) as never
  );
  const rig = () => ({ ...memoryRig(), connector });
  assertEquals(await failures(rig, (name) => /SFTP|listen/.test(name)), []);
});

Deno.test("connectorContract() is passed by the fake", async () => {
  const quick = (name: string) => /exec|env|stdin|forwards/.test(name);
  assertEquals(await failures(memoryRig, quick), []);
});
