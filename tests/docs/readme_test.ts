/** The README and the other pages: every example runs, and every link leads somewhere. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { existsSync } from "node:fs";
import { noSshd, sshdHint, startSshd } from "../kit/sshd.ts";
import { makeSudoAccount, noSudo, sudoHint } from "../kit/sudo.ts";
import { type Ending, Home } from "./_home.ts";
import {
  Cache,
  deployKey,
  PASSPHRASE,
  PASSWORD,
  startScripted,
} from "./_hosts.ts";
import config from "../../deno.json" with { type: "json" };
import {
  anchors,
  type Example,
  examples,
  links,
  PAGES,
  pathOf,
  RECIPES,
  table,
  textOf,
} from "./_readme.ts";

/** How an example is run, and what it is to print. */
interface Expected {
  /** A line for each pattern, in this order. */
  readonly prints: readonly RegExp[];
  /** What is put in the place of names that exist in the README alone. */
  readonly replace?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
}

/** Examples on a server in the process, which plays scripts. */
const SCRIPTED: Record<string, Expected> = {
  "sshpool 1": { prints: [/^up 3 days$/] },
  "sshpool 2": { prints: [/^up 3 days$/] },
  "One command 1": { prints: [/^3 inactive$/, /^99$/] },
  "Many hosts 1": {
    prints: [/^web-1 up 3 days$/, /^web-2 up 3 days$/, /^web-3 up 3 days$/],
  },
  "Many hosts 2": { prints: [/^1 of 2$/, /^2 of 2$/] },
  "Follow a log and stop it 1": { prints: [/^starting$/, /^ready$/] },
  "Standard input 1": { prints: [/^read select count/] },
  "Reach a database 1": {
    prints: [/hostname: "127.0.0.1", port: \d+/],
    replace: { "listen: 15432": "listen: 0" },
  },
  "A database driver 2": { prints: [/^\+PONG$/] },
  "Timeouts and cancelling 1": { prints: [/ran longer than|500 ms/, /^50 %$/] },
  "Errors 1": { prints: [/^4 no space left$/] },
  "Hosts and credentials 1": {
    prints: [/^ops$/, /^passphrase of \S+id_deploy$/, /^ops$/],
    env: { SSH_PASSWORD: PASSWORD, SSH_PASSPHRASE: PASSPHRASE },
  },
  "Tests 1": {
    prints: [
      /success: false/,
      /^1 systemctl is-active app$/,
    ],
  },
  "Tests 2": { prints: [/^up 3 days$/] },
  "Observe 1": {
    prints: [
      /^dial ops@127/,
      /^connected ops@127/,
      /connections: 1, waiting: 0, dials: 1/,
    ],
  },
  "Observe 2": { prints: [/^exec ops@127\.0\.0\.1:\d+ 0 [\d.]+$/] },
  "Observe 3": { prints: [/^up 3 days$/] },
};

/** Examples of files and shells: on the same server, and on a real sshd. */
const ON_BOTH: Record<string, Expected> = {
  "Files 1": { prints: [/^12 of 12$/, /^2 files, 12 bytes$/] },
  "Files 2": { prints: [/^app.conf true$/] },
  "A shell 1": { prints: [/40 120$/] },
};

const ON_SUDO: Record<string, Expected> = {
  "sudo 1": { prints: [/^root$/], env: { SUDO_PASSWORD: "pass word" } },
};

const all = examples();

Deno.test("every example of the pages is run by one of these tests", () => {
  assertEquals(
    all.map(({ name }) => name).sort(),
    [...Object.keys({ ...SCRIPTED, ...ON_BOTH, ...ON_SUDO }), ...RECIPES]
      .sort(),
  );
});

for (const [name, expected] of Object.entries({ ...SCRIPTED, ...ON_BOTH })) {
  Deno.test(`the README's example "${name}" prints what it says`, async () => {
    await using server = await startScripted();
    await using gate = await startScripted();
    await using cache = await Cache.start();
    const { port, clientKey: privateKey } = server;
    const gatePort = gate.port;
    await using home = await Home.make({
      port,
      gatePort,
      user: "ops",
      privateKey,
    });
    await home.write(".ssh/id_deploy", deployKey.private);
    await writeSite(home);
    const here = `hostname: "127.0.0.1", port: ${port}`;
    check(
      await run(home, name, {
        ...expected,
        replace: {
          "cache.internal:6379": cache.address,
          'hostname: "box.example.com"': here,
          'hostname: "db1.example.com"': here,
          ...expected.replace,
        },
      }),
      expected,
    );
    const { files } = server;
    if (name === "Files 1") {
      assertEquals(files.readTextFile("/srv/site/style.css"), "world ");
      assertEquals(await home.read("index.copy.html"), "hello ");
    } else if (name === "Files 2") {
      assertEquals(files.readTextFile("/srv/app.conf"), "level=info\n");
    }
  });
}

for (const [name, expected] of Object.entries(ON_BOTH)) {
  sshdTest(name, noSshd, sshdHint, async () => {
    await using sshd = await startSshd();
    await using home = await sshdHome(sshd, sshd.user);
    await writeSite(home);
    await Deno.mkdir(`${home.dir}/srv`);
    await Deno.writeTextFile(`${home.dir}/srv/app.conf`, "level=debug\n");
    for (const it of ["srv", "srv/app.conf"]) {
      await Deno.chmod(`${home.dir}/${it}`, 0o777);
    }
    const srv = `"${home.dir}/srv`;
    check(
      await run(home, name, { ...expected, replace: { '"/srv': srv } }),
      expected,
    );
    if (name === "Files 1") {
      assertEquals(await home.read("srv/site/style.css"), "world ");
      assertEquals(await home.read("index.copy.html"), "hello ");
    } else if (name === "Files 2") {
      assertEquals(await home.read("srv/app.conf"), "level=info\n");
    }
  });
}

for (const [name, expected] of Object.entries(ON_SUDO)) {
  const hint = noSshd ? sshdHint : sudoHint;
  sshdTest(name, noSshd || noSudo, hint, async () => {
    await using account = await makeSudoAccount({ rules: ["ALL=(ALL) ALL"] });
    await using sshd = await startSshd();
    await using home = await sshdHome(sshd, account.user);
    check(await run(home, name, expected), expected);
  });
}

Deno.test("the README's example for Node 20 does without await using", () => {
  const sources = all.filter(({ language }) => language === "js");
  const [first] = sources;
  assertEquals(first?.name, "sshpool 2");
  for (const { name, source } of sources) {
    assert(!source.includes("await using"), name);
  }
});

Deno.test("every link of a page leads to a file or a heading that exists", () => {
  const all = PAGES.flatMap(links);
  assert(all.length > 70, `${all.length} links`);
  const dead = all.filter(({ to, anchor }) => {
    if (/^https:\/\//.test(to)) return false;
    if (!existsSync(pathOf(to))) return true;
    return anchor !== "" && !anchors(to).has(anchor);
  });
  assertEquals(dead, []);
});

Deno.test("every link of the README leads to a file that the packages hold", () => {
  const held = new Set(config.publish.include);
  const missing = links("README.md").filter(({ to }) =>
    !/^https:\/\//.test(to) && !held.has(to)
  );
  assertEquals(missing, []);
});

Deno.test("the README can be read in a few minutes", () => {
  const { length } = new TextEncoder().encode(textOf("README.md"));
  assert(length <= 18 * 1024, `${length} bytes`);
});

Deno.test("the README names what a reader would look for", () => {
  const text = textOf("README.md");
  const missing = [
    "`SshHost`",
    '"ssh://',
    "`keyboardInteractive`",
    "`sh`",
    "`onStdout`",
    "`onOutputLimit`",
    "`prefixOutput()`",
    "`resume: true`",
    "`info`",
    "`node()`",
    "(./pool/README.md#options-of-a-call)",
    "(./pool/RECIPES.md)",
    "(./transport/README.md#bundle-it)",
  ].filter((name) => !text.includes(name));
  assertEquals(missing, []);
});

Deno.test("the table of a call's options has each option of exec()", () => {
  // Those of the docs of the type, which another test holds.
  const source = textOf("pool/options.ts");
  const docs = source.slice(0, source.indexOf("export interface ExecOptions"));
  const options = [...docs.matchAll(/^ \* \| `(\w+)` \|/gm)];
  assertEquals(options.length, 22);
  const page = table("pool/README.md", "option", "check").flatMap(([names]) =>
    names!.replaceAll("`", "").split(", ")
  );
  assertEquals(page.sort(), options.map(([, name]) => name!).sort());
});

Deno.test("every guarantee links a test", () => {
  const rows = table("tests/README.md", "guarantee");
  assert(rows.length > 20, `${rows.length} guarantees`);
  for (const [, tests] of rows) assertMatch(tests!, /\]\(\.\/\S+_test\.ts\)/);
});

/** The folder that the examples upload. */
async function writeSite(home: Home): Promise<void> {
  await Deno.mkdir(`${home.dir}/site`);
  await home.write("site/index.html", "hello ");
  await home.write("site/style.css", "world ");
}

function sshdTest(
  name: string,
  ignore: boolean,
  hint: string,
  fn: () => Promise<void>,
): void {
  const title = `the README's example "${name}" does on a sshd what it says`;
  Deno.test({ name: ignore ? `${title} (${hint})` : title, ignore, fn });
}

async function sshdHome(
  sshd: { port: number; privateKeyPath: string },
  user: string,
): Promise<Home> {
  const privateKey = await Deno.readTextFile(sshd.privateKeyPath);
  return await Home.make({ port: sshd.port, user, privateKey });
}

function run(home: Home, name: string, expected: Expected): Promise<Ending> {
  const { source, language } = find(name);
  let text = source;
  for (const [from, to] of Object.entries(expected.replace ?? {})) {
    text = text.replaceAll(from, to);
  }
  return home.run(`example.${language}`, text, { ...expected.env });
}

function find(name: string): Example {
  const found = all.find((it) => it.name === name);
  assert(found !== undefined, `The README has no example "${name}"`);
  return found;
}

/** Fails unless the lines are there in this order, and it ended well. */
function check(ending: Ending, { prints }: Expected): void {
  const { code, stdout, stderr } = ending;
  assertEquals({ code, stderr }, { code: 0, stderr: "" }, stdout);
  let lines = stdout.split("\n").map((line) => line.trim());
  for (const pattern of prints) {
    const at = lines.findIndex((line) => pattern.test(line));
    assert(at >= 0, `No line ${pattern} in:\n${stdout}`);
    lines = lines.slice(at + 1);
  }
}
