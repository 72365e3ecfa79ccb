import { assert } from "@std/assert";
import {
  loadSshConfig,
  SshConfigError,
} from "../../../transport/ssh_config/mod.ts";
import { parseFile } from "../../../transport/ssh_config/_parser.ts";
import { casesOfRun, Random, replay, seed } from "../../kit/random.ts";
import { generateConfig } from "./_generator.ts";

const cases = casesOfRun(300);

const SPICE = [
  '"',
  "'",
  "\\",
  "%",
  "${",
  "}",
  "~",
  "!",
  "*",
  "?",
  ",",
  "=",
  "#",
  "\0",
  "\r",
  "\f",
  "\u00e9",
  "\ud800",
  "\uffff",
  "Match ",
  "Host ",
  "Include ",
  " ",
  "final",
  "all",
  "exec",
  "@",
  ":",
  "[",
  "]",
  "-",
  "999999999999999999999",
];

function mutate(text: string, random: Random): string {
  let result = text;
  for (let round = 1 + random.below(6); round > 0; round--) {
    const at = random.below(result.length + 1);
    const end = at + random.below(8);
    result = random.pick([
      () => result.slice(0, at) + random.pick(SPICE) + result.slice(at),
      () => result.slice(0, at) + result.slice(end),
      () => result.slice(0, at) + result.slice(at, end) + result.slice(at),
      () =>
        result.slice(0, at) + random.pick(SPICE).repeat(random.below(50)) +
        result.slice(end),
    ])();
  }
  return result;
}

Deno.test("loadSshConfig() answers or throws an SshConfigError, whatever the file", async () => {
  const dir = await Deno.makeTempDir({ prefix: "sshpool-config-" });
  try {
    for (let at = 0; at < cases; at++) {
      const random = new Random(seed + at);
      const { files, queries } = generateConfig(random, dir);
      const text = mutate([...files.values()].join("\n"), random);
      await Deno.writeTextFile(`${dir}/config`, text);
      const startedAt = performance.now();
      try {
        const config = await loadSshConfig({ files: [`${dir}/config`] });
        config.hosts();
        for (const { name, ...named } of queries) config.compute(name, named);
      } catch (error) {
        if (!(error instanceof SshConfigError)) {
          throw new Error(
            `${replay(seed + at, true)}\n${text}`,
            {
              cause: error,
            },
          );
        }
      }
      assert(
        performance.now() - startedAt < 5_000,
        `slow: ${replay(seed + at, true)}`,
      );
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

// Twice the size may take four times the time only if something is quadratic.
// The bound is loose, since the clock of a busy machine is: it is there to find
// a factor of hundreds.
const HOSTILE: Readonly<Record<string, (size: number) => string>> = {
  "white space": (n) => `User a${" ".repeat(n)}b`,
  "white space at the end": (n) => `User a${" ".repeat(n)}`,
  "carriage returns in the middle": (n) => `User a${"\r".repeat(n)}b`,
  "quotes": (n) => `User ${'""'.repeat(n)}`,
  "backslashes": (n) => `User ${"\\".repeat(n)}`,
  "equals signs": (n) => `User ${"=".repeat(n)}`,
  "hashes in a jump": (n) => `ProxyJump a${" #".repeat(n)}`,
  "spaces in a jump": (n) => `ProxyJump a${" ".repeat(n)}b`,
  "spaces in a command": (n) => `ProxyCommand ${" ".repeat(n)}b`,
  "digits of a time": (n) => `ConnectTimeout ${"1".repeat(n)}x`,
  "algorithms": (n) => `Ciphers ${"a,".repeat(n)}`,
  "patterns": (n) => `Host ${"a ".repeat(n)}`,
  "stars": (n) => `Host ${"*a".repeat(n / 100)}b`,
  "criteria": (n) => `Match ${"host a ".repeat(n / 10)}`,
  "empty lines": (n) => "\n".repeat(n),
  "opening brackets in an include": (n) =>
    `Include /nowhere/${"[".repeat(n / 100)}*`,
};

for (const [name, make] of Object.entries(HOSTILE)) {
  Deno.test(`parseFile() takes linear time on many ${name}`, () => {
    const text = make(200_000);
    const startedAt = performance.now();
    try {
      parseFile(text, "config");
    } catch (error) {
      assert(error instanceof SshConfigError);
    }
    assert(performance.now() - startedAt < 3_000);
  });
}
