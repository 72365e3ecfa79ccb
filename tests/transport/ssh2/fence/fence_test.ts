// The fence around ssh2: what is declared of it is checked, and what other
// users of ssh2 in the process see of it stays as it was.

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertThrows,
} from "@std/assert";
import { Duplex } from "node:stream";
// @ts-types="@types/ssh2"
import ssh2 from "ssh2";
import agent from "ssh2/lib/agent.js";
import channel from "ssh2/lib/Channel.js";
import constants from "ssh2/lib/protocol/constants.js";
import crypto from "ssh2/lib/protocol/crypto.js";
import handlers from "ssh2/lib/protocol/handlers.js";
import kex from "ssh2/lib/protocol/kex.js";
import keyParser from "ssh2/lib/protocol/keyParser.js";
import Protocol from "ssh2/lib/protocol/Protocol.js";
import sftp from "ssh2/lib/protocol/SFTP.js";
import protocolUtils from "ssh2/lib/protocol/utils.js";
import zlib from "ssh2/lib/protocol/zlib.js";
import utils from "ssh2/lib/utils.js";
import { ConnectionPool } from "../../../../mod.ts";
import { DialError } from "../../../../transport/errors.ts";
import type { SshHost } from "../../../../transport/host/host.ts";
import {
  checkInternals,
  Ssh2VersionError,
} from "../../../../transport/ssh2/fence/version_check.ts";
import { EmbeddedServer } from "../../../../transport/testing/mod.ts";
import { noSshd, sshdHint, startSshd } from "../../../kit/sshd.ts";
import { connect, rejection } from "../_kit.ts";

/** A client that talks to nobody, in the turn in which it was connected. */
function startClient(): ssh2.Client & Disposable {
  const sock = new Duplex({
    read() {},
    write(_chunk, _encoding, done) {
      done();
    },
  });
  const client = new ssh2.Client();
  client.on("error", () => {});
  client.connect({ sock, username: "ops", readyTimeout: 0 });
  return Object.assign(client, {
    [Symbol.dispose]() {
      // It may lack what it needs to end.
      sock.removeAllListeners();
      sock.destroy();
    },
  });
}

type Tree = Record<string, unknown>;

/** Takes the member out, wherever it comes from. */
function without(client: object, path: string): void {
  const names = path.split(".");
  const last = names.pop()!;
  let owner = client as Tree;
  for (const name of names) owner = owner[name] as Tree;
  Object.defineProperty(owner, last, { value: undefined, configurable: true });
  // Of its own, and with no value at times: it must not even have the name.
  if (last === "_kexinit") delete owner[last];
}

// First of all in this process: the first dial is the one that checks.
Deno.test("Ssh2Connector.connect() fails at the first dial when ssh2 is another version", async () => {
  await using server = await EmbeddedServer.start();
  const { prototype } = Protocol as { prototype: Tree };
  const { rekey } = prototype;
  delete prototype["rekey"];
  try {
    for (let dial = 0; dial < 2; dial++) {
      const error = await rejection(connect(server.host()));
      assertInstanceOf(error, DialError);
      assertEquals(error.phase, "config");
      assertEquals(
        error.message,
        "Cannot use ssh2: version 1.17.0 is not the one this was built for " +
          "(1.17.0): _protocol.rekey is missing",
      );
    }
  } finally {
    prototype["rekey"] = rekey;
  }
  await using connection = await connect(server.host());
  await connection.exec("true");
});

Deno.test("checkInternals() is content with the pinned version of ssh2", () => {
  using client = startClient();
  checkInternals(client);
});

for (
  const path of [
    "emit",
    "_protocol",
    "_protocol._cipher.allocPacket",
    "_protocol._destruct",
    "_protocol._handlers",
    "_protocol._handlers.USERAUTH_FAILURE",
    "_protocol._kexinit",
    "_protocol._onPayload",
    "_protocol._packetRW.write.finalize",
    "_protocol._parse",
    "_protocol.authPK",
    "_protocol.parse",
    "_protocol.rekey",
  ]
) {
  Deno.test(`checkInternals() names ${path} when it is missing`, () => {
    using client = startClient();
    without(client, path);
    const error = assertThrows(() => checkInternals(client), Ssh2VersionError);
    const version = path === "_protocol" ? "unknown" : "1.17.0";
    assertEquals(
      error.message,
      `Cannot use ssh2: version ${version} is not the one this was built for ` +
        `(1.17.0): ${path} is missing`,
    );
  });
}

Deno.test("checkInternals() refuses another version, and a member of another type", () => {
  using client = startClient();
  const { _protocol } = client as unknown as { _protocol: Tree };
  _protocol["_identRaw"] = "SSH-2.0-ssh2js1.18.0";
  const other = assertThrows(() => checkInternals(client), Ssh2VersionError);
  assertEquals(
    other.message,
    "Cannot use ssh2: version 1.18.0 is not the one this was built for (1.17.0)",
  );
  _protocol["rekey"] = true;
  const wrong = assertThrows(() => checkInternals(client), Ssh2VersionError);
  assertEquals(
    wrong.message,
    "Cannot use ssh2: version 1.18.0 is not the one this was built for " +
      "(1.17.0): _protocol.rekey is of type boolean, must be function",
  );
});

/** Modules and classes of ssh2 that everybody in the process shares. */
const SHARED: Record<string, unknown> = {
  ssh2,
  agent,
  channel,
  constants,
  crypto,
  handlers,
  kex,
  keyParser,
  Protocol,
  sftp,
  protocolUtils,
  zlib,
  utils,
};

/** Every property of all that is shared, with its value, down to prototypes. */
function snapshot(): Map<string, unknown> {
  const found = new Map<string, unknown>();
  const seen = new Set<unknown>();
  const visit = (path: string, value: unknown) => {
    const isTree = typeof value === "function" ||
      (typeof value === "object" && value !== null);
    if (!isTree || ArrayBuffer.isView(value) || seen.has(value)) return;
    seen.add(value);
    for (const name of Reflect.ownKeys(value)) {
      if (name === "caller" || name === "arguments" || name === "callee") {
        continue;
      }
      const at = `${path}.${String(name)}`;
      const property = Reflect.getOwnPropertyDescriptor(value, name)!;
      found.set(at, property.value ?? property.get);
      visit(at, property.value);
    }
    // What a class extends may be changed in its place.
    const parent = Reflect.getPrototypeOf(value);
    const isOurs = parent !== null && parent !== Object.prototype &&
      parent !== Function.prototype && parent !== Array.prototype;
    if (isOurs) visit(`${path}.__proto__`, parent);
  };
  for (const [name, value] of Object.entries(SHARED)) visit(name, value);
  return found;
}

/** Runs a command with ssh2 alone. */
function bareExec(host: SshHost, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const client = new ssh2.Client();
    let output = "";
    client.on("error", reject);
    client.on("close", () => resolve(output));
    client.on("ready", () => {
      client.exec(command, (error, stream) => {
        if (error) return reject(error);
        stream.on("data", (data: Uint8Array) => {
          output += new TextDecoder().decode(data);
        });
        stream.stderr.resume();
        stream.on("close", () => client.end());
      });
    });
    client.connect({
      host: host.hostname,
      port: host.port ?? 22,
      username: host.user ?? "ops",
      privateKey: host.privateKey as string,
      algorithms: { cipher: ["aes128-gcm@openssh.com"] },
    });
  });
}

Deno.test({
  name:
    `A bare ssh2 Client works before, beside and after a pool, and sees it all unchanged${
      noSshd ? ` (${sshdHint})` : ""
    }`,
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd({ config: ["RekeyLimit 200K"] });
    const host = sshd.host();
    assert(PRISTINE.size > 1000, `${PRISTINE.size}`);
    assertEquals(await bareExec(host, "echo before"), "before\n");
    {
      await using pool = new ConnectionPool();
      const commands = Array.from({ length: 20 }, async (_, n) => {
        const { stdout } = await pool.exec(host, `yes ${n} | head -c 50000`);
        assertEquals(stdout.length, 50_000);
      });
      const outputs = Array.from(
        { length: 3 },
        () => bareExec(host, "echo beside"),
      );
      assertEquals(await Promise.all(outputs), Array(3).fill("beside\n"));
      await Promise.all(commands);
      await using server = await EmbeddedServer.start({ password: "word" });
      await pool.exec(server.host({ password: "word" }), "true");
      assertUnchanged(snapshot());
    }
    assertEquals(await bareExec(host, "echo after"), "after\n");
    assertUnchanged(snapshot());
  },
});

/** As it is before the first dial of this process. */
const PRISTINE = snapshot();

function assertUnchanged(now: Map<string, unknown>): void {
  const paths = new Set([...now.keys(), ...PRISTINE.keys()]);
  const changed = [...paths].filter((path) =>
    !Object.is(now.get(path), PRISTINE.get(path))
  );
  assertEquals(changed, []);
}
