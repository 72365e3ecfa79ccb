// `sudo` as it is: what it refuses, and whom.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { existsSync } from "node:fs";
import { until } from "../../kit/until.ts";
import { embeddedTest, rejection } from "./_kit.ts";
import { sudoError, sudoTest } from "./_sudo_kit.ts";

sudoTest(
  "exec() with sudo rejects when the password is wrong, and runs nothing",
  {},
  async ({ connection, password }) => {
    const mark = await Deno.makeTempFile();
    try {
      const sudo = { password: "not it" };
      const error = await sudoError(
        connection.exec(`echo ran >${mark}`, { sudo, stdin: "x" }),
        "wrong-password",
      );
      assert(!error.message.includes("not it"));
      assertEquals(await Deno.readTextFile(mark), "");
      // The connection, and the right password, are as good as before.
      const { stdout } = await connection.exec("id -un", {
        sudo: { password },
      });
      assertEquals(stdout, "root\n");
    } finally {
      await Deno.remove(mark);
    }
  },
);

sudoTest(
  "exec() with sudo asks anew for each command: one caller's password opens nothing to another",
  { defaults: ["timestamp_type=global"] },
  async ({ connection, password }) => {
    await connection.exec("true", { sudo: { password } });
    await sudoError(
      connection.exec("id", { sudo: { password: "not it" } }),
      "wrong-password",
    );
    await sudoError(connection.exec("id", { sudo: true }), "password-required");
  },
);

sudoTest(
  "exec() with sudo says what the user may not do",
  { rules: ["ALL=(www-data) NOPASSWD: ALL"], defaults: ["!use_pty"] },
  async ({ connection, password }) => {
    const { stdout } = await connection.exec("id -un", {
      sudo: { user: "www-data" },
    });
    assertEquals(stdout, "www-data\n");
    const error = await sudoError(
      connection.exec("echo top-secret", { sudo: { password } }),
      "not-allowed",
    );
    assert(!error.message.includes("top-secret"));
    await sudoError(
      connection.exec("id", { sudo: { user: "nobody-at-all" } }),
      "unknown-user",
    );
  },
);

sudoTest(
  "exec() with sudo rejects for one who is not in sudoers",
  { rules: [] },
  async ({ connection, password }) => {
    await sudoError(
      connection.exec("id", { sudo: { password } }),
      "not-allowed",
    );
    await sudoError(connection.exec("id", { sudo: true }), "password-required");
  },
);

sudoTest(
  "exec() with sudo says that sudo wants a terminal, and works in one",
  { defaults: ["requiretty"] },
  async ({ connection, password }) => {
    const sudo = { password };
    const error = await sudoError(
      connection.exec("id -un", { sudo }),
      "tty-required",
    );
    assertEquals(error.hint, "set pty: true");
    const command = "id -un; test -t 0 && echo terminal; exit 4";
    const { code, stdout } = await connection.exec(command, {
      sudo,
      pty: { columns: 100 },
    });
    assertEquals([code, stdout], [4, "root\r\nterminal\r\n"]);
    const inline = await connection.exec("echo $A; stty size", {
      sudo,
      pty: { columns: 100, rows: 30 },
      env: { A: "b" },
      envMode: "inline",
    });
    assertEquals(inline.stdout, "b\r\n30 100\r\n");
    await sudoError(
      connection.exec("id", { sudo: { password: "not it" }, pty: true }),
      "wrong-password",
    );
  },
);

sudoTest(
  "exec() with sudo can be aborted while sudo checks the password, and runs nothing",
  {},
  async ({ connection, password }) => {
    const mark = await Deno.makeTempFile();
    try {
      const controller = new AbortController();
      const running = connection.exec(`echo ran >${mark}`, {
        sudo: { password: "not it" },
        signal: controller.signal,
        onOpen: () => setTimeout(() => controller.abort("enough"), 50),
      });
      assertEquals(await rejection(running), "enough");
      await until(() => connection.openChannels === 0);
      assertEquals(await Deno.readTextFile(mark), "");
      const { stdout } = await connection.exec("id -un", {
        sudo: { password },
      });
      assertEquals(stdout, "root\n");
    } finally {
      await Deno.remove(mark);
    }
  },
);

for (
  const [shell, said] of [
    ["/usr/sbin/nologin", ": This account is currently not available."],
    ["/bin/false", ""],
    ["/bin/rbash", ": rbash: line 1: exec: restricted"],
  ] as const
) {
  sudoTest(
    `exec() with sudo says what ${shell} did in the place of sudo`,
    { shell },
    async ({ connection, user, password }) => {
      const error = await sudoError(
        connection.exec("echo top-secret", { sudo: { password } }),
        "failed",
      );
      const { message, hint } = error;
      const shown = message.slice(message.indexOf(user) + user.length);
      assertEquals(
        shown.replace(/^[^"]*/, ""),
        `": sudo was not reached${said}`,
      );
      assert(hint!.startsWith("the login shell did not get as far as sudo"));
    },
    existsSync(shell) ? undefined : `install ${shell} to run this test`,
  );
}

sudoTest(
  "exec() with sudo says that the host takes no line of that length",
  {},
  async ({ connection, password }) => {
    const error = await sudoError(
      connection.exec(["echo", "a".repeat(140_000)], { sudo: { password } }),
      "failed",
    );
    assertStringIncludes(error.message, ": Argument list too long");
    assertStringIncludes(error.hint!, "the line may be too long");
  },
  Deno.build.os === "linux" ? undefined : "other systems take longer lines",
);

embeddedTest(
  "exec() with sudo says that there is no sudo on the host",
  {},
  async (connection) => {
    for (const sudo of [true, { password: "x" }]) {
      await sudoError(connection.exec("id", { sudo }), "not-installed");
      await sudoError(connection.spawn("id", { sudo }), "not-installed");
    }
  },
);
