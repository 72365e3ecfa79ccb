/** Each step at which a dial over `ssh` can fail, and that nothing is left then. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertStrictEquals,
} from "@std/assert";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import {
  AuthenticationError,
  DialError,
  type DialPhase,
} from "../../../transport/errors.ts";
import { EmbeddedServer } from "../../../transport/testing/mod.ts";
import { openSshTest, program, rejection, sshdTest } from "./_kit.ts";

async function dialError(
  dial: Promise<unknown>,
  phase: DialPhase,
): Promise<DialError> {
  const error = await rejection(dial);
  assertInstanceOf(error, DialError);
  assertEquals([error.phase, error.mayHaveRun], [phase, false], error.message);
  return error;
}

openSshTest(
  "a host name that is not known fails with phase dns",
  async ({ connect }) => {
    const error = await dialError(
      connect({ hostname: "no-such-host.invalid" }),
      "dns",
    );
    assertMatch(error.message, /Could not resolve hostname/);
  },
);

openSshTest(
  "a port where nobody listens fails with phase tcp",
  async ({ connect }) => {
    const error = await dialError(
      connect({ hostname: "127.0.0.1", port: 1 }),
      "tcp",
    );
    assertMatch(error.message, /Connection refused/);
  },
);

for (
  const [name, greeting, throttled] of [
    ["hangs up without a word", "", true],
    ["says that it has too many logins", "Exceeded MaxStartups\r\n", true],
    ["speaks another protocol", "220 mail ESMTP\r\n", false],
  ] as const
) {
  openSshTest(
    `a server that ${name} fails with phase banner${
      throttled ? ", throttled" : ""
    }`,
    async ({ connect }) => {
      const server = createServer((socket) => {
        socket.on("error", () => {});
        socket.resume().end(greeting);
      });
      await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
      const { port } = server.address() as AddressInfo;
      const error = await dialError(
        connect({ hostname: "127.0.0.1", port }),
        "banner",
      );
      assertEquals(error.throttled, throttled);
      await new Promise((done) => server.close(done));
    },
  );
}

openSshTest(
  "a server that never says a word fails at the deadline, which tells the step",
  async ({ connect }) => {
    await using server = await EmbeddedServer.start({ neverBanner: true });
    const error = await dialError(
      connect(server.host(), { timeoutMs: 1000 }),
      "timeout",
    );
    assertMatch(
      error.message,
      /within 1000 ms, while waiting for the server's banner/,
    );
  },
);

sshdTest("no common cipher fails with phase kex", async ({ connect }, sshd) => {
  const host = sshd.host({ algorithms: { cipher: "aes128-cbc" } });
  await dialError(connect(host), "kex");
});

sshdTest(
  "a cipher that ssh does not have fails with phase config",
  async ({ connect }, sshd) => {
    const host = sshd.host({ algorithms: { cipher: "nosuch" } });
    await dialError(connect(host), "config");
  },
);

sshdTest(
  "a refused key fails with what was tried and offered",
  async ({ connect }, sshd) => {
    const { privateKey } = await EmbeddedServer.start().then(async (server) => {
      await using it = server;
      return it.host();
    });
    const error = await rejection(
      connect(sshd.host({ privateKey: privateKey! })),
    );
    assertInstanceOf(error, AuthenticationError);
    assertEquals(error.offered, ["publickey"]);
    assertEquals(error.tried.length, 1);
    assertMatch(error.tried[0]!, /^publickey /);
  },
);

openSshTest(
  "a program that is not there fails with phase config, and says what to install",
  async ({ connect, folder }) => {
    const path = join(folder, "no-ssh");
    const error = await dialError(
      connect({ hostname: "127.0.0.1" }, {}, { path }),
      "config",
    );
    assertMatch(
      error.message,
      /there is no program .*no-ssh": install OpenSSH's client/,
    );
  },
);

Deno.test("on Windows a dial fails with phase config and says why, and starts nothing", async () => {
  const connector = new URL(
    "../../../transport/openssh/mod.ts",
    import.meta.url,
  );
  // A process of its own: others would see the other platform, too.
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--quiet",
      "--no-check",
      "--ext=ts",
      "data:text/typescript," + encodeURIComponent(`
        import process from "node:process";
        import { OpenSshConnector } from ${JSON.stringify(connector.href)};
        Object.defineProperty(process, "platform", { value: "win32" });
        const host = { hostname: "127.0.0.1", port: 1, user: "ops" };
        const error = await new OpenSshConnector({ path: "/no/ssh" })
          .connect(host).catch((error) => error);
        console.log(error.name, error.phase, error.message);
      `),
    ],
  }).output();
  const text = new TextDecoder();
  assertMatch(
    text.decode(stdout),
    /^DialError config Cannot connect to .*OpenSSH for Windows has no ControlMaster, which transport openssh needs; leave transport at ssh2/,
    text.decode(stderr),
  );
});

for (
  const [version, message] of [
    ["OpenSSH_7.3p1, OpenSSL 1.0", /is OpenSSH 7\.3, must be 7\.4 or later/],
    [
      "OpenSSH_for_Windows_9.5p1",
      /is not OpenSSH, it says "OpenSSH_for_Windows/,
    ],
    ["dropbear v2022.83", /is not OpenSSH, it says "dropbear/],
  ] as const
) {
  openSshTest(
    `${version} fails with phase config, and says what is needed`,
    async ({ connect, folder }) => {
      const path = await program(
        join(folder, "ssh"),
        `#!/bin/sh\necho '${version}' >&2\n`,
      );
      const error = await dialError(
        connect({ hostname: "127.0.0.1" }, {}, { path }),
        "config",
      );
      assertMatch(error.message, message);
      await Deno.remove(path);
    },
  );
}

for (
  const [what, host, options] of [
    ["a fingerprint", { hostKey: `SHA256:${"A".repeat(43)}` as const }, {}],
    ["askpass", {}, { askpass: true }],
  ] as const
) {
  openSshTest(
    `${what} with OpenSSH 8.4 fails with phase config, and says what is needed`,
    async ({ connect, folder }) => {
      const path = await program(
        join(folder, "ssh"),
        "#!/bin/sh\necho OpenSSH_8.4p1 >&2\n",
      );
      const error = await dialError(
        connect({ hostname: "127.0.0.1", ...host }, {}, { path, ...options }),
        "config",
      );
      assertMatch(error.message, /needs OpenSSH 8\.5 or later, .* is 8\.4/);
      await Deno.remove(path);
    },
  );
}

openSshTest(
  "a connection that is lost as soon as it has logged in fails with phase auth, not config",
  async ({ connect, folder }) => {
    // Says what ssh says, and is gone before anybody asks for its socket.
    const path = await program(
      join(folder, "ssh"),
      `#!/bin/sh
[ "$1" = -V ] && exec echo OpenSSH_9.2p1 >&2
echo 'debug1: SSH2_MSG_NEWKEYS received' >&2
echo 'debug1: Entering interactive session.' >&2
echo 'Connection to 127.0.0.1 closed by remote host.' >&2
`,
    );
    const error = await dialError(
      connect({ hostname: "127.0.0.1" }, {}, { path }),
      "auth",
    );
    assertMatch(error.message, /: Connection to 127\.0\.0\.1 closed by remote/);
    await Deno.remove(path);
  },
);

openSshTest(
  "a folder that is not there, or too long, fails with phase config and a hint",
  async ({ connect, folder }) => {
    for (
      const path of [join(folder, "nosuch"), `${folder}/${"x".repeat(70)}`]
    ) {
      const error = await dialError(
        connect({ hostname: "127.0.0.1" }, {}, { folder: path }),
        "config",
      );
      assertMatch(error.hint ?? "", /the option folder/);
    }
  },
);

openSshTest(
  "an abort ends the dial with its reason, whatever the server does",
  async ({ connect }) => {
    await using server = await EmbeddedServer.start({ neverBanner: true });
    const reason = new Error("enough");
    for (const delayMs of [0, 5, 50, 300]) {
      const controller = new AbortController();
      const dial = connect(server.host(), { signal: controller.signal });
      setTimeout(() => controller.abort(reason), delayMs);
      assertStrictEquals(await rejection(dial), reason);
    }
  },
);

sshdTest(
  "the notice of a variable that is refused, and all else of a host, works as over ssh2",
  async ({ connect, notices }, sshd) => {
    const host = sshd.host({ env: { LC_SSHPOOL: "on", SECRET_ONE: "x" } });
    await using connection = await connect(host);
    assertEquals((await connection.exec("echo $LC_SSHPOOL")).stdout, "on\n");
    assertEquals(notices.map(({ code }) => code), ["env-refused"]);
    assert(connection.algorithms?.cipher !== undefined);
    assertEquals(connection.algorithms?.hostKey, "ssh-ed25519");
  },
);
