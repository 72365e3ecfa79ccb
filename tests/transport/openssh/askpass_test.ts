/** What `ssh` asks this process: passwords, passphrases, and what a server asks. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertStrictEquals,
} from "@std/assert";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { AuthenticationError } from "../../../transport/errors.ts";
import type {
  InteractiveRequest,
  SshHost,
} from "../../../transport/host/host.ts";
import { Questions } from "../../../transport/openssh/_questions.ts";
import { slowdown } from "../../kit/linear.ts";
import { EmbeddedServer } from "../../../transport/testing/mod.ts";
import {
  openSshTest,
  processesOf,
  rejection,
  resolved,
  type Site,
  sshdTest,
} from "./_kit.ts";

const askpass = { askpass: true };
// No other run of these tests, whose processes are seen as well, has the same.
const SECRET = ` p'a"s$s \\w0rd ${crypto.randomUUID()} `;

/** A host that is logged in to without a key. */
function without(host: SshHost, more: Partial<SshHost>): SshHost {
  const { privateKey: _, ...rest } = host;
  return { ...rest, agent: false, ...more };
}

async function logsIn(site: Site, host: SshHost): Promise<void> {
  await using connection = await site.connect(host, {}, askpass);
  assertEquals((await connection.exec("true")).code, 0);
  assertEquals(processesOf(SECRET), []);
}

for (const kind of ["text", "function"] as const) {
  openSshTest(
    `a password logs in, given as ${kind}, and no process has it in its arguments`,
    async (site) => {
      await using server = await EmbeddedServer.start({ password: SECRET });
      let seen: string[] = [];
      const password = kind === "text" ? SECRET : () => {
        seen = processesOf(SECRET);
        return Promise.resolve(SECRET);
      };
      await logsIn(site, without(server.host(), { password }));
      assertEquals(seen, []);
    },
  );
}

openSshTest("a wrong password is tried once", async ({ connect }) => {
  await using server = await EmbeddedServer.start({ password: SECRET });
  let asked = 0;
  const password = () => `wrong ${++asked}`;
  const error = await rejection(
    connect(
      without(server.host(), { password, authMethods: ["password"] }),
      {},
      askpass,
    ),
  );
  assertInstanceOf(error, AuthenticationError);
  assertEquals([asked, error.tried], [1, ["password"]]);
  assertEquals(error.message.includes("wrong"), false);
});

openSshTest(
  "a password function that throws is the cause of the error",
  async ({ connect }) => {
    await using server = await EmbeddedServer.start({ password: SECRET });
    const cause = new Error("the vault is sealed");
    const password = () => Promise.reject(cause);
    const error = await rejection(
      connect(without(server.host(), { password }), {}, askpass),
    );
    assertInstanceOf(error, AuthenticationError);
    assertMatch(error.message, /The password function failed$/);
    assertStrictEquals((error.cause as Error).cause, cause);
  },
);

openSshTest("questions of a server are answered one by one", async (site) => {
  const questions = [
    { prompt: "Token: ", answer: "123456" },
    { prompt: "Enter passphrase for key '/k': ", answer: "no passphrase" },
  ];
  await using server = await EmbeddedServer.start({
    keyboardInteractive: { questions },
  });
  const asked: InteractiveRequest[] = [];
  const keyboardInteractive = (request: InteractiveRequest) => {
    asked.push(request);
    return [questions[asked.length - 1]!.answer];
  };
  const passphrase = () => {
    throw new Error("A server must not get this");
  };
  await logsIn(
    site,
    without(server.host(), { keyboardInteractive, passphrase }),
  );
  assertEquals(asked.map(({ prompts }) => prompts), [
    [{ prompt: "Token: ", echo: false }],
    [{ prompt: "Enter passphrase for key '/k': ", echo: false }],
  ]);
});

openSshTest(
  "a lone question for a password gets the password",
  async (site) => {
    await using server = await EmbeddedServer.start({
      keyboardInteractive: {
        questions: [{ prompt: "Password: ", answer: SECRET }],
      },
    });
    await logsIn(site, without(server.host(), { password: SECRET }));
  },
);

sshdTest(
  "a passphrase opens a key file and a key given as text, and is asked for by its name",
  async (site, sshd) => {
    const path = join(sshd.dir, "locked key");
    await Deno.copyFile(sshd.privateKeyPath, path);
    await Deno.chmod(path, 0o600);
    const { success } = await new Deno.Command("ssh-keygen", {
      args: ["-p", "-q", "-P", "", "-N", SECRET, "-f", path],
      stdout: "null",
      stderr: "null",
    }).output();
    assertEquals(success, true);
    const keys: string[] = [];
    const passphrase = ({ key }: { key: string }) => {
      keys.push(key);
      return SECRET;
    };
    await logsIn(
      site,
      without(sshd.host(), { identityFile: path, passphrase }),
    );
    const privateKey = await Deno.readTextFile(path);
    await logsIn(site, without(sshd.host(), { privateKey, passphrase }));
    assertEquals(keys, [path, "privateKey"]);
  },
);

sshdTest(
  "no key is left on the disk once the login is over",
  async ({ connect, folder }, sshd) => {
    await using connection = await connect(sshd.host());
    const [own] = readdirSync(folder);
    assertEquals(readdirSync(join(folder, own!)).sort(), ["c", "s"]);
    assertEquals((await connection.exec("true")).code, 0);
  },
);

const PASSPHRASE_HOST: SshHost = {
  hostname: "db1",
  user: "ops",
  password: "the password",
  passphrase: "the passphrase",
};
const words: readonly [question: string, answer: string | undefined][] = [
  ["ops@db1's password: ", "the password"],
  ["Enter passphrase for key '/k': ", "the passphrase"],
  ["Enter PIN for ED25519-SK key /k: ", "the passphrase"],
  [
    "Enter PIN and confirm user presence for ED25519-SK key /k: ",
    "the passphrase",
  ],
  ["Enter PIN for 'token': ", "the passphrase"],
  ["(ops@db1) Enter passphrase for key '/k': ", undefined],
  ["(ops@db1) Enter PIN for 'token': ", undefined],
  ["(ops@db1) New password: ", undefined],
  ["mallory's password: ", undefined],
  ["Enter ops@db1's old password: ", undefined],
  [
    "Are you sure you want to continue connecting (yes/no/[fingerprint])? ",
    undefined,
  ],
];
for (const [question, answer] of words) {
  Deno.test(`ssh gets ${answer ?? "no answer"} to ${JSON.stringify(question)}`, async () => {
    const questions = new Questions(resolved(PASSPHRASE_HOST), []);
    assertEquals(await questions.answer(question), answer);
  });
}

Deno.test("ssh gets the password once, whoever asks for it", async () => {
  const { host, ...by } = {
    host: resolved(PASSPHRASE_HOST),
    ssh: "ops@db1's password: ",
    server: "(ops@db1) Password: ",
  };
  for (const first of [by.ssh, by.server]) {
    const questions = new Questions(host, []);
    assertEquals(await questions.answer(first), "the password");
    assertEquals(await questions.answer(by.server), undefined);
  }
});

Deno.test("a question is read in proportion to its length, whatever it is", () => {
  const questions = new Questions(resolved(PASSPHRASE_HOST), []);
  for (const [start, again] of [["(", "@"], ["Enter PIN for ", " key '"]]) {
    const ask = (times: number) =>
      void questions.answer(start + again!.repeat(times));
    assert(slowdown(ask, [500, 16_000], 32) < 6);
  }
});
