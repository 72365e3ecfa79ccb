import { assert, assertEquals, assertMatch } from "@std/assert";
import { inTerminal, noTerminal, terminalHint } from "../kit/terminal.ts";

const root = new URL("../../", import.meta.url);

async function run(...more: string[]) {
  const dir = await Deno.makeTempDir();
  try {
    for (const name of ["a", "b", "c"]) {
      await Deno.writeFile(`${dir}/${name}`, new Uint8Array(500_000));
    }
    const command = ["run", "--quiet", "--no-check", "-A"];
    const program = "tests/pool/_transfer_program.ts";
    return await inTerminal(
      [Deno.execPath(), ...command, program, dir, ...more],
      { cwd: root, env: { NO_COLOR: "1" } },
    );
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test({
  name: noTerminal
    ? `terminalProgress() shows files, bytes and rate of a transfer (${terminalHint})`
    : "terminalProgress() shows files, bytes and rate of a transfer",
  ignore: noTerminal,
  async fn() {
    const { code, screen, raw } = await run();
    assertEquals(code, 0, raw);
    assertMatch(
      screen[0]!,
      /^✔ Deploy: 3 files, 1\.5 MB, [\d.]+ [kM]?B\/s$/,
    );
    assertEquals(screen.slice(1), ["end true"]);
    // On its way it said how far it was.
    assertMatch(raw, /Deploy: 0\/3 files, [\d.]+ kB of 1\.5 MB/);
  },
});

Deno.test({
  name: noTerminal
    ? `terminalProgress() says that a transfer has stopped (${terminalHint})`
    : "terminalProgress() says that a transfer has stopped",
  ignore: noTerminal,
  async fn() {
    const { code, screen, raw } = await run("fails");
    assertEquals(code, 0, raw);
    assert(/^⚠ Deploy: 0\/3 files, .*, stopped/.test(screen[0]!), screen[0]);
    assertEquals(screen.slice(1), ["failed", "end true"]);
  },
});
