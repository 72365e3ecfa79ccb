// Which questions of a server the password answers, and what is said of the
// others.

import { assert, assertEquals, assertMatch } from "@std/assert";
import type { KeyboardAuthContext, Prompt } from "ssh2";
import { login, startServer } from "./_login.ts";

const KEYBOARD = "keyboard-interactive";

interface Asking {
  /** The questions, round after round. */
  readonly rounds: readonly (readonly Prompt[])[];
  /** What each round's answers must be. */
  readonly expected?: readonly (readonly string[])[];
  /** Whether each right conversation is followed by another one. */
  readonly again?: boolean;
  /** What is accepted before the questions, and does not suffice. */
  readonly first?: "password";
}

/** A server that asks, and keeps what it is answered. */
async function startAsking({ rounds, expected, again, first }: Asking) {
  const answers: string[][] = [];
  let hasFirst = first === undefined;
  const server = await startServer((context) => {
    if (context.method === first && !hasFirst) {
      hasFirst = true;
      return context.reject([KEYBOARD], true);
    }
    if (context.method !== KEYBOARD || !hasFirst) {
      return context.reject([
        first !== undefined && !hasFirst ? first : KEYBOARD,
      ]);
    }
    ask(context as KeyboardAuthContext, 0);
  });
  const ask = (context: KeyboardAuthContext, round: number) => {
    const prompts = rounds[round];
    if (prompts === undefined) {
      const given = answers.slice(-rounds.length);
      const isRight = JSON.stringify(given) === JSON.stringify(expected);
      return isRight && !again
        ? context.accept()
        : context.reject([KEYBOARD], isRight);
    }
    context.prompt([...prompts], (given) => {
      answers.push(given);
      ask(context, round + 1);
    });
  };
  return Object.assign(server, { answers });
}

const hidden = (prompt: string): Prompt => ({ prompt, echo: false });

for (
  const prompt of [
    "Password: ",
    "Passwort: ",
    "Mot de passe : ",
    "Contraseña: ",
    "Пароль: ",
    "密码：",
    "パスワード:",
    "Password for bench@new.lab.example:",
    "Password for New York gateway: ",
    "",
  ]
) {
  Deno.test(`a first lone hidden question gets the password: ${JSON.stringify(prompt)}`, async () => {
    await using server = await startAsking({
      rounds: [[hidden(prompt)]],
      expected: [["right"]],
    });
    const { ok, tried } = await login({ ...server.host, password: "right" });
    assertEquals([ok, tried], [true, [KEYBOARD]]);
  });
}

for (
  const prompt of [
    "Verification code: ",
    "One-time password (OATH) for `ops': ",
    "Enter PASSCODE: ",
    "Enter token: ",
    "PIN: ",
    "Passcode or option (1-3): ",
    "New password: ",
    "New UNIX password: ",
    "Retype new password: ",
    "Neues Passwort: ",
    "Nouveau mot de passe : ",
    "Nueva contraseña: ",
    "Новый пароль: ",
    "新しいパスワード:",
    "验证码：",
    "Код подтверждения: ",
  ]
) {
  Deno.test(`a question for something else never gets the password, and is quoted: ${prompt}`, async () => {
    await using server = await startAsking({ rounds: [[hidden(prompt)]] });
    const { ok, error } = await login({ ...server.host, password: "secret" });
    assertEquals([ok, server.answers], [false, [[""]]]);
    const quoted = JSON.stringify(prompt.trim());
    assert(
      error.message.includes(`its question ${quoted} got no answer`),
      error.message,
    );
    assertMatch(error.hint ?? "", /^set keyboardInteractive, a function/);
    assert(!error.message.includes("secret"));
  });
}

Deno.test("a question that echoes never gets the password", async () => {
  await using server = await startAsking({
    rounds: [[{ prompt: "Password: ", echo: true }]],
  });
  await login({ ...server.host, password: "right" });
  assertEquals(server.answers, [[""]]);
});

Deno.test("neither of two questions at once gets the password", async () => {
  await using server = await startAsking({
    rounds: [[hidden("Password: "), hidden("Mot de passe : ")]],
  });
  await login({ ...server.host, password: "right" });
  assertEquals(server.answers, [["", ""]]);
});

Deno.test("the password answers one round of a conversation", async () => {
  await using server = await startAsking({
    rounds: [[hidden("Password: ")], [hidden("Password: ")]],
  });
  await login({ ...server.host, password: "right" });
  assertEquals(server.answers, [["right"], [""]]);
});

Deno.test("a round without questions does not use up the first one", async () => {
  await using server = await startAsking({
    rounds: [[], [hidden("Mot de passe : ")]],
    expected: [[], ["right"]],
  });
  const { ok } = await login({ ...server.host, password: "right" });
  assertEquals(ok, true);
});

Deno.test("the password is no second factor where it was the first one", async () => {
  await using server = await startAsking({
    rounds: [[hidden("Password: ")]],
    expected: [["right"]],
    again: true,
  });
  const { ok, error } = await login({ ...server.host, password: "right" });
  assertEquals([ok, server.answers], [false, [["right"]]]);
  assertMatch(
    error.message,
    /the server accepted keyboard-interactive but wants more/,
  );
});

Deno.test("after an accepted credential only a question that names a password gets it", async () => {
  for (
    const [prompt, answer] of [["Password: ", "right"], ["Mot de passe : ", ""]]
  ) {
    await using server = await startAsking({
      first: "password",
      rounds: [[hidden(prompt!)]],
    });
    await login({ ...server.host, password: "right" });
    assertEquals(server.answers, [[answer]]);
  }
});

Deno.test("an error says what a server asked the function, and that it was refused", async () => {
  await using server = await startAsking({ rounds: [[hidden("Code: ")]] });
  const { error } = await login({
    ...server.host,
    keyboardInteractive: () => ["123456"],
  });
  assertMatch(
    error.message,
    /the server refused keyboard-interactive; it asked "Code:"; it offers keyboard-interactive$/,
  );
  assert(!error.message.includes("123456"));
});

Deno.test("a question is quoted in a form that a terminal takes for text", async () => {
  await using server = await startAsking({
    rounds: [[hidden("\x1b[2JCode: ")]],
  });
  const { error } = await login({ ...server.host, password: "right" });
  assert(!error.message.includes("\x1b"), error.message);
});

Deno.test("a password function is asked once, although two methods send the password", async () => {
  await using server = await startAsking({
    first: "password",
    rounds: [[hidden("Password: ")]],
    expected: [["right"]],
  });
  let asked = 0;
  const { ok } = await login({
    ...server.host,
    password: () => `${asked++ === 0 ? "right" : "wrong"}`,
  });
  assertEquals([ok, server.answers, asked], [true, [["right"]], 1]);
});

Deno.test("an error has four questions of a server that asks without end, and sixteen of its methods", async () => {
  const rounds = Array.from({ length: 20 }, (_, i) => [hidden(`Code ${i}: `)]);
  await using asking = await startAsking({ rounds });
  const { error } = await login({ ...asking.host, password: "right" });
  assertEquals(error.message.match(/Code \d+/g)?.length, 4);
  const methods = Array.from({ length: 100 }, (_, i) => `method-${i}`);
  await using offering = await startServer((context) =>
    context.reject(methods as never)
  );
  const failed = await login({ ...offering.host, password: "right" });
  assertEquals(failed.error.offered, methods.slice(0, 16));
});

Deno.test("a server that asks without end gets twenty answers, and the error says so", async () => {
  const rounds = Array.from({ length: 30 }, () => [hidden("Code: ")]);
  await using server = await startAsking({ rounds });
  let asked = 0;
  const { ok, error } = await login({
    ...server.host,
    keyboardInteractive: () => [`${++asked}`],
  });
  assertEquals([ok, asked, server.answers.length], [false, 20, 20]);
  assertMatch(error.message, /the server asked more than 20 times/);
});

Deno.test("a function that has failed is not asked again, however often the server asks at once", async () => {
  for (const times of [5, 500]) {
    await using server = await startServer((context) => {
      if (context.method !== KEYBOARD) return context.reject([KEYBOARD]);
      for (let i = 0; i < times; i++) {
        (context as KeyboardAuthContext).prompt([hidden("Code: ")], () => {});
      }
    });
    let asked = 0;
    const { error } = await login({
      ...server.host,
      keyboardInteractive: () => {
        asked++;
        throw new Error("no code at hand");
      },
    });
    assert(asked <= 1, `asked ${asked} times`);
    const problems = /function failed|asked more than 20 times/g;
    assertEquals(error.message.match(problems)?.length, 1, error.message);
  }
});
