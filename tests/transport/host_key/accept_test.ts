import { assert, assertEquals, assertRejects } from "@std/assert";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { DialError, HostKeyError } from "../../../transport/errors.ts";
import type { Notice } from "../../../transport/connector.ts";
import type { HostKey, ResolvedHost } from "../../../transport/host/host.ts";
import { prepareHostKeyCheck } from "../../../transport/host_key/policy.ts";
import { retractLine } from "../../../transport/host_key/append.ts";
import { parseKnownHosts } from "../../../transport/host_key/parser.ts";
import { ed25519, fingerprintOf } from "./_generator.ts";

function shown(text = ed25519(randomBytes(32))): HostKey {
  return {
    host: "ops@db1:22",
    hostname: "db1",
    port: 22,
    type: "ssh-ed25519",
    fingerprint: fingerprintOf(text),
    key: new Uint8Array(Buffer.from(text, "base64")),
  };
}

function host(path: string, options: Partial<ResolvedHost> = {}): ResolvedHost {
  return {
    hostname: "db1",
    user: "ops",
    port: 22,
    hostKey: "accept-new",
    knownHostsFiles: [path],
    globalKnownHostsFiles: [],
    ...options,
  };
}

async function accept(
  target: ResolvedHost,
  key: HostKey,
  onNotice?: (notice: Notice) => void,
): Promise<void> {
  await (await prepareHostKeyCheck(target, onNotice)).verify(key);
}

async function withDir(body: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await body(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("accept-new makes a file in a folder that is there for its owner alone", () =>
  withDir(async (dir) => {
    const path = `${dir}/known_hosts`;
    await accept(host(path), shown());
    assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
  }));

Deno.test("accept-new makes file and folder for their owner alone", () =>
  withDir(async (dir) => {
    const path = `${dir}/.ssh/known_hosts`;
    const key = shown();
    const notices: Notice[] = [];
    await accept(host(path), key, (notice) => notices.push(notice));
    assertEquals(notices.map(({ code }) => code), ["host-key-accepted"]);
    assert(notices[0]?.message.includes(key.fingerprint));
    const text = Buffer.from(key.key).toString("base64");
    assertEquals(await Deno.readTextFile(path), `db1 ssh-ed25519 ${text}\n`);
    if (Deno.build.os !== "windows") {
      assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
      assertEquals((await Deno.stat(`${dir}/.ssh`)).mode! & 0o777, 0o700);
    }
    await accept(host(path, { hostKey: "strict" }), key);
    await assertRejects(() => accept(host(path), shown()), HostKeyError);
  }));

Deno.test("accept-new starts on a line of its own", () =>
  withDir(async (dir) => {
    const path = `${dir}/kh`;
    await Deno.writeTextFile(path, "# no newline at the end");
    await accept(host(path), shown());
    const { bad, exact } = parseKnownHosts(await Deno.readTextFile(path));
    assertEquals(bad, []);
    assertEquals(exact.get("db1")?.[0]?.line, 2);
  }));

Deno.test("accept-new hashes names if asked, and ssh-keygen finds them", () =>
  withDir(async (dir) => {
    const path = `${dir}/kh`;
    const target = host(path, { hashKnownHosts: true, port: 2222 });
    const key = shown();
    await accept(target, key);
    const text = await Deno.readTextFile(path);
    assert(text.startsWith("|1|") && !text.includes("db1"));
    await accept({ ...target, hostKey: "strict" }, key);
    const args = ["-F", "[db1]:2222", "-f", path];
    const output = await new Deno.Command("ssh-keygen", { args }).output()
      .catch(() => undefined);
    assert(output === undefined || output.success);
  }));

Deno.test("accept-new writes no name that would vouch for other hosts", () =>
  withDir(async (dir) => {
    const path = `${dir}/kh`;
    const key = shown();
    for (const hostKeyAlias of ["*", "a,b", "a b", "@revoked", "#x", "a\nb"]) {
      await accept(host(path, { hostKeyAlias }), key);
      await accept(host(path, { hostKeyAlias, hostKey: "strict" }), key);
    }
    const { exact, patterns, bad } = parseKnownHosts(
      await Deno.readTextFile(path),
    );
    assertEquals([exact.size, patterns.length, bad.length], [0, 0, 0]);
  }));

Deno.test("accept-new adds one line for many dials at once", () =>
  withDir(async (dir) => {
    const path = `${dir}/kh`;
    const key = shown();
    await Promise.all(
      Array.from({ length: 50 }, () => accept(host(path), key)),
    );
    assertEquals((await Deno.readTextFile(path)).split("\n").length, 2);
  }));

Deno.test("accept-new trusts one of two keys shown at once, and keeps that one alone", () =>
  withDir(async (dir) => {
    const path = `${dir}/kh`;
    const results = await Promise.allSettled(
      [shown(), shown()].map((key) => accept(host(path), key)),
    );
    assertEquals(results.map(({ status }) => status).sort(), [
      "fulfilled",
      "rejected",
    ]);
    const { exact } = parseKnownHosts(await Deno.readTextFile(path));
    assertEquals(exact.get("db1")?.length, 1);
  }));

Deno.test("accept-new goes on with a notice where the file cannot be opened, as ssh does", () =>
  withDir(async (dir) => {
    for (const path of [`${dir}/none/none/kh`, `/proc/nope/known_hosts`]) {
      const notices: Notice[] = [];
      const key = shown();
      await accept(host(path), key, (notice) => notices.push(notice));
      assertEquals(notices.map(({ code }) => code), ["host-key-not-stored"]);
      assert(notices[0]!.message.includes(path));
      assert(notices[0]!.message.includes(key.fingerprint));
      await assertRejects(
        () => accept(host(path, { hostKey: "strict" }), key),
        HostKeyError,
      );
    }
  }));

Deno.test("accept-new refuses a key that it cannot store", () =>
  withDir(async (dir) => {
    const malformed = { ...shown(), key: new Uint8Array([0, 0, 0, 1, 10]) };
    await assertRejects(
      () => accept(host(`${dir}/kh`), malformed),
      HostKeyError,
    );
    await assertRejects(
      () => accept(host("", { knownHostsFiles: [] }), shown()),
      TypeError,
      "knownHostsFiles",
    );
  }));

Deno.test({
  name: "accept-new takes /dev/null for a file without keys",
  ignore: Deno.build.os === "windows",
  fn: () => accept(host("/dev/null"), shown()),
});

Deno.test("retractLine() makes a comment of its line alone", () =>
  withDir(async (dir) => {
    const path = `${dir}/kh`;
    await Deno.writeTextFile(path, "xdb1 a b\ndb1 a b\ndb1 a bc\n");
    await retractLine(path, "db1 a b");
    assertEquals(
      await Deno.readTextFile(path),
      "xdb1 a b\n#b1 a b\ndb1 a bc\n",
    );
    await retractLine(path, "gone");
    assertEquals((await Deno.readTextFile(path)).length, 26);
    // Of two that are alike, the later one is ours.
    await Deno.writeTextFile(path, "db1 a b\ndb1 a b\n");
    await retractLine(path, "db1 a b");
    assertEquals(await Deno.readTextFile(path), "db1 a b\n#b1 a b\n");
  }));

/** A process that accepts keys for 20 hosts as soon as the file `go` is there. */
const RIVAL = `
import { prepareHostKeyCheck } from ${
  JSON.stringify(
    new URL("../../../transport/host_key/policy.ts", import.meta.url).href,
  )
};
import { Buffer } from "node:buffer";
const [dir, key] = Deno.args;
const checks = [];
for (let i = 0; i < 20; i++) {
  checks.push(await prepareHostKeyCheck({
    hostname: "db" + i, user: "ops", port: 22, hostKey: "accept-new",
    knownHostsFiles: [dir + "/kh"], globalKnownHostsFiles: [],
  }));
}
console.log("ready");
await Deno.stdin.read(new Uint8Array(1));
const results = await Promise.all(checks.map((check) => check.verify({
  host: "ops@db", hostname: "db", port: 22, type: "ssh-ed25519",
  fingerprint: "SHA256:x", key: new Uint8Array(Buffer.from(key, "base64")),
}).then(() => true, (e) => e.reason === "mismatch" ? false : String(e))));
console.log(JSON.stringify(results));
`;

/** Runs two rivals, lets both go at once, and gives their results. */
async function race(dir: string, keys: string[]): Promise<unknown[][]> {
  await Deno.writeTextFile(`${dir}/rival.ts`, RIVAL);
  const rivals = keys.map((key) =>
    new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-lock", "--quiet", "-A", `${dir}/rival.ts`, dir, key],
      stdin: "piped",
      stdout: "piped",
    }).spawn()
  );
  const readers = rivals.map(({ stdout }) =>
    stdout.pipeThrough(new TextDecoderStream()).getReader()
  );
  await Promise.all(readers.map((reader) => reader.read()));
  const finished = rivals.map(async ({ stdin, status }, i) => {
    const writer = stdin.getWriter();
    await writer.write(new Uint8Array([10]));
    let text = "";
    for (;;) {
      const { value, done } = await readers[i]!.read();
      if (done) break;
      text += value;
    }
    await writer.close().catch(() => {});
    await status;
    return JSON.parse(text);
  });
  return await Promise.all(finished);
}

Deno.test("accept-new of the same keys succeeds in two processes at once", () =>
  withDir(async (dir) => {
    const key = ed25519(randomBytes(32));
    const results = await race(dir, [key, key]);
    assertEquals(results.flat(), Array(40).fill(true));
    const { exact, bad } = parseKnownHosts(
      await Deno.readTextFile(`${dir}/kh`),
    );
    assertEquals([exact.size, bad.length], [20, 0]);
  }));

Deno.test("accept-new of different keys trusts one of two processes at once", () =>
  withDir(async (dir) => {
    const keys = [ed25519(randomBytes(32)), ed25519(randomBytes(32))];
    const [a = [], b = []] = await race(dir, keys);
    const { exact, bad } = parseKnownHosts(
      await Deno.readTextFile(`${dir}/kh`),
    );
    assertEquals(bad, []);
    for (let i = 0; i < 20; i++) {
      assertEquals([a[i], b[i]].sort(), [false, true], `db${i}`);
      const kept = exact.get(`db${i}`)!.map(({ key }) => key);
      assertEquals(kept, [keys[a[i] ? 0 : 1]!]);
    }
  }));

Deno.test({
  name:
    "A check of known_hosts refuses a FIFO at once, and leaves nothing open",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withDir(async (dir) => {
      const path = `${dir}/kh`;
      const { success } = await new Deno.Command("mkfifo", { args: [path] })
        .output();
      assert(success);
      for (const hostKey of ["strict", "accept-new"] as const) {
        const error = await assertRejects(
          () => prepareHostKeyCheck({ ...host(path), hostKey }),
          DialError,
          "it is not a file",
        );
        assertEquals(error.phase, "hostkey");
      }
    }),
});
