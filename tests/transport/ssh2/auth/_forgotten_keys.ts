// Run with --v8-flags=--expose-gc by keys_test.ts: opens an encrypted key with
// a pool, lets the pool go, and prints how many decrypted keys are left.

// @ts-types="@types/ssh2"
import ssh2, { type ParsedKey } from "ssh2";
import { ConnectionPool, type SshHost } from "../../../../mod.ts";
import { EmbeddedServer } from "../../../../transport/testing/mod.ts";

const { gc } = globalThis as unknown as { gc(): void };
const [path = "", passphrase = ""] = Deno.args;

/** The private keys that were parsed. */
const parsed: WeakRef<ParsedKey>[] = [];
const { utils } = ssh2;
const { parseKey } = utils;
utils.parseKey = ((...args: Parameters<typeof parseKey>) => {
  const key: unknown = parseKey(...args);
  for (const it of Array.isArray(key) ? key : [key]) {
    if (!(it instanceof Error) && it.isPrivateKey()) {
      parsed.push(new WeakRef(it));
    }
  }
  return key;
}) as typeof parseKey;

async function left(keys: typeof parsed): Promise<number> {
  for (let i = 0; i < 20; i++) {
    // Not deref() before gc(): it keeps the key until the end of the turn.
    gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return keys.filter((it) => it.deref() !== undefined).length;
}

async function use(host: SshHost): Promise<void> {
  const pool = new ConnectionPool({ config: false });
  await pool.exec(host, "true");
  await pool.close();
}

const server = await EmbeddedServer.start({
  publicKeys: [await Deno.readTextFile(`${path}.pub`)],
});
const { privateKey: _, ...host } = server.host({ agent: false });
parsed.length = 0; // The server's own.
await use({ ...host, identityFile: path, passphrase });
const opened = parsed.splice(0);
await server[Symbol.asyncDispose]();
// deno-lint-ignore no-console -- its output is what it is run for
console.log(
  JSON.stringify({ opened: opened.length, left: await left(opened) }),
);
