// `sudo` as it is, and PAM: accounts that have expired or are locked, and what
// is asked beside the password.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { SudoQuestion } from "../../../transport/process.ts";
import { hasPamModules, makeSudoAccount } from "../../kit/sudo.ts";
import { rejection } from "./_kit.ts";
import { sudoError, sudoTest } from "./_sudo_kit.ts";

const OPEN = [
  "account required pam_permit.so",
  "session required pam_permit.so",
];
/** Takes any answer to a question of its own: so a password would do, too. */
const stress = "auth required pam_stress.so";
const unix = "auth required pam_unix.so";

const noStress = hasPamModules("pam_stress")
  ? undefined
  : "install pam_stress to run this test";
const noFaillock = hasPamModules("pam_faillock")
  ? undefined
  : "install pam_faillock to run this test";

sudoTest(
  "exec() with sudo says that the password has expired, and has run nothing",
  {},
  async ({ connection, password, account }) => {
    await account.chage("-d", "0");
    const sudo = { password };
    const error = await sudoError(
      connection.exec("id", { sudo }),
      "password-expired",
    );
    assertStringIncludes(error.hint!, "prompts");
    assert(!error.message.includes(password));
    await sudoError(
      connection.exec("id", { sudo, pty: true }),
      "password-expired",
    );
    // No more than the connection was before.
    assertEquals((await connection.exec("echo on")).stdout, "on\n");
  },
);

sudoTest(
  "exec() with sudo lets its caller set a new password for one that has expired, and runs",
  {},
  async ({ connection, password, account }) => {
    await account.chage("-d", "0");
    const next = "Xk29-dfj!kd_another";
    const asked: SudoQuestion[] = [];
    const prompts = (question: SudoQuestion) => {
      asked.push(question);
      return /new/i.test(question.text) ? next : password;
    };
    const result = await connection.exec("id -un; cat", {
      sudo: { password, prompts },
      stdin: "input",
    });
    assertEquals(
      [result.stdout, result.stderr],
      ["root\ninput", ""],
    );
    assertEquals(asked.map(({ text }) => text), [
      "Current password: ",
      "New password: ",
      "Retype new password: ",
    ]);
    assertStringIncludes(asked[0]!.instructions, "password is expired");
    assert(asked.every(({ passwordOf }) => passwordOf === undefined));
    await sudoError(
      connection.exec("id", { sudo: { password } }),
      "wrong-password",
    );
    await connection.exec("id", { sudo: { password: next } });
  },
);

sudoTest(
  "exec() with sudo says that the account has expired, and not that a password is missing",
  {},
  async ({ connection, password, account }) => {
    await account.chage("-E", "0");
    await sudoError(
      connection.exec("id", { sudo: { password } }),
      "account-expired",
    );
  },
);

sudoTest(
  "exec() with sudo says that the account is locked after failures",
  {
    defaults: ["passwd_tries=1"],
    pam: [
      "auth requisite pam_faillock.so preauth deny=1 dir=/run/sshpool-faillock",
      "auth sufficient pam_unix.so",
      "auth [default=die] pam_faillock.so authfail deny=1 dir=/run/sshpool-faillock",
      ...OPEN,
    ],
  },
  async ({ connection, password, user }) => {
    try {
      await sudoError(
        connection.exec("id", { sudo: { password: "not it" } }),
        "wrong-password",
      );
      await sudoError(
        connection.exec("id", { sudo: { password } }),
        "locked-out",
      );
    } finally {
      await Deno.remove(`/run/sshpool-faillock/${user}`).catch(() => {});
      // Another run may have its file there.
      await Deno.remove("/run/sshpool-faillock").catch(() => {});
    }
  },
  noFaillock,
);

for (
  const [order, pam] of [["after", [unix, stress]], ["before", [
    stress,
    unix,
  ]]] as const
) {
  sudoTest(
    `exec() with sudo gives the password to no question that PAM asks ${order} it`,
    { pam: [...pam, ...OPEN] },
    async ({ connection, password }) => {
      // With the password it would run: the module takes anything.
      const error = await sudoError(
        connection.exec("id", { sudo: { password } }),
        "question",
      );
      assertStringIncludes(error.message, '"STRESS Password:"');
      assert(!error.message.includes(password));
    },
    noStress,
  );
}

sudoTest(
  "exec() with sudo lets its caller answer a second factor, also in a terminal",
  { pam: [unix, stress, ...OPEN] },
  async ({ connection, password, user }) => {
    for (const pty of [false, true]) {
      const asked: SudoQuestion[] = [];
      const { stdout } = await connection.exec("id -un", {
        pty,
        sudo: {
          password,
          prompts: (question) => {
            asked.push(question);
            return Promise.resolve("123456");
          },
        },
      });
      assertEquals(stdout.trim(), "root");
      assertEquals(
        asked.map(({ text, passwordOf }) => [text, passwordOf]),
        [["STRESS Password: ", undefined]],
      );
      assertStringIncludes(asked[0]!.host, `${user}@127.0.0.1:`);
    }
    const thrown = new Error("no phone");
    const prompts = () => Promise.reject(thrown);
    assertEquals(
      await rejection(
        connection.exec("id", { sudo: { password, prompts } }),
      ),
      thrown,
    );
  },
  noStress,
);

sudoTest(
  "exec() with sudo asks its caller for the password where there is none",
  {},
  async ({ connection, password, user }) => {
    const asked: (string | undefined)[] = [];
    const prompts = ({ passwordOf }: SudoQuestion) => {
      asked.push(passwordOf);
      return password;
    };
    const { stdout } = await connection.exec("id -un; cat", {
      sudo: { prompts },
      stdin: "input",
    });
    assertEquals([stdout, asked], ["root\ninput", [user]]);
  },
);

sudoTest(
  "exec() with sudo asks its caller nothing where sudo asks nothing",
  { rules: ["ALL=(ALL) NOPASSWD: ALL"] },
  async ({ connection }) => {
    const prompts = () => Promise.reject(new Error("asked"));
    const { stdout } = await connection.exec("id -un", { sudo: { prompts } });
    assertEquals(stdout, "root\n");
  },
);

sudoTest(
  "exec() with sudo says whose password sudo wants where sudoers has rootpw",
  { defaults: ["rootpw"] },
  async ({ connection, password, user }) => {
    const error = await sudoError(
      connection.exec("id", { sudo: { password } }),
      "wrong-password",
    );
    assertStringIncludes(
      error.hint!,
      `the password of "root", not of ${JSON.stringify(user)}`,
    );
  },
);

sudoTest(
  "exec() with sudo takes the password of the user to become where sudoers has targetpw",
  { defaults: ["targetpw"] },
  async ({ connection, password }) => {
    await using other = await makeSudoAccount({ password: "of the other" });
    const sudo = { user: other.user, password: other.password };
    const { stdout } = await connection.exec("id -un", { sudo });
    assertEquals(stdout, `${other.user}\n`);
    const error = await sudoError(
      connection.exec("id", { sudo: { ...sudo, password } }),
      "wrong-password",
    );
    assertStringIncludes(error.hint!, JSON.stringify(other.user));
  },
);
