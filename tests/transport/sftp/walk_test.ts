// What sftp.walk() and sftp.glob() find, judged by bash; and what they leave
// open, which is nothing.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { SftpError } from "../../../transport/sftp/errors.ts";
import { noServer, startServer } from "./_server.ts";
import { write } from "./transfer/_copies.ts";

const FILES = {
  "a.log": "",
  "b.txt": "",
  ".hidden.log": "",
  "one/a.log": "",
  "one/two/b.log": "",
  "one/two/three/c.log": "",
  "one/.git/config": "",
  ".dot/d.log": "",
  "st*r/x[1].log": "",
  "st*r/x1.log": "",
  "jpg/a.jpg": "",
  "png/a.png": "",
  "jpg/sub/a.jpg": "",
};

const ignore = noServer;

async function tree(dir: string): Promise<void> {
  await write(dir, FILES);
  await Deno.symlink("one", `${dir}/link`);
  await Deno.symlink("nowhere", `${dir}/broken`);
}

/** What bash makes of a pattern: without what it has of `.`, `..` and the base. */
async function judge(dir: string, pattern: string, dot: boolean) {
  const script = `shopt -s globstar nullglob extglob ${dot ? "dotglob" : ""}
    IFS=; for f in ${pattern}; do printf '%s\\0' "$f"; done`;
  const { stdout } = await new Deno.Command("bash", {
    args: ["-c", script],
    cwd: dir,
    env: { LC_ALL: "C" },
  }).output();
  const paths = new TextDecoder().decode(stdout).split("\0")
    .map((path) => path.replace(/\/$/, ""));
  return [...new Set(paths)].filter((path) =>
    path !== "" && !/(^|\/)\.\.?$/.test(path) && path !== "one"
  ).toSorted();
}

Deno.test({
  name: "Sftp.glob() finds what bash finds",
  ignore,
  async fn() {
    await using server = await startServer();
    await tree(server.dir);
    const patterns = [
      "*",
      "*.log",
      ".*",
      "?.txt",
      "[ab].*",
      "[!a].*",
      "**",
      "**/*.log",
      "one/**",
      "one/**/*.log",
      "**/two/*",
      "**/.git/*",
      "*/a.log",
      "link/*.log",
      "l*/two/*",
      "*/*/",
      "{jpg,png}/*",
      "{jpg,png/a}*",
      "{jpg/sub,png}/a.*",
      "@(jpg|png)/*.@(jpg|png)",
      "!(*g)",
      "st\\*r/*",
      "st\\*r/x\\[1\\].*",
      "./o*",
      "no*such",
      "one/no*/such",
    ];
    for (const pattern of patterns) {
      for (const dot of [false, true]) {
        const found = await Array.fromAsync(
          server.sftp.glob(`${server.dir}/${pattern}`, { dot }),
          ({ path }) => path.slice(server.dir.length + 1),
        );
        const expected = await judge(server.dir, pattern, dot);
        const ours = found.filter((path) => path !== "one").toSorted();
        assertEquals(ours, expected, `${pattern} with dot ${dot}`);
      }
    }
    const one = server.sftp.glob(`${server.dir}/a.log`);
    assertEquals((await Array.fromAsync(one)).map(({ name }) => name), [
      "a.log",
    ]);
    const none = server.sftp.glob(`${server.dir}/no.log`);
    assertEquals(await Array.fromAsync(none), []);
  },
});

Deno.test({
  name:
    "Sftp.walk() gives each entry once, and goes into links only if told to, never in a circle",
  ignore,
  async fn() {
    await using server = await startServer();
    await tree(server.dir);
    await Deno.symlink("..", `${server.dir}/one/up`);
    const walk = async (options = {}) =>
      (await Array.fromAsync(
        server.sftp.walk(server.dir, options),
        ({ path }) => path.slice(server.dir.length + 1),
      )).toSorted();
    const find = async (...args: string[]) => {
      const { stdout } = await new Deno.Command("find", {
        args: [...args, ".", "-mindepth", "1", "-printf", "%P\\0"],
        cwd: server.dir,
      }).output();
      return new TextDecoder().decode(stdout).split("\0").slice(0, -1)
        .toSorted();
    };
    assertEquals(await walk(), await find("-P"));
    // find takes no link to a folder that it is in, and says so.
    const followed = await walk({ followSymlinks: true });
    assertEquals(
      followed.filter((path) => !/(^|\/)(up|broken)$/.test(path)),
      (await find("-L")).filter((path) => !/(^|\/)(up|broken)$/.test(path)),
    );
    assert(followed.includes("one/up") && !followed.includes("one/up/a.log"));
    const top = Object.keys(FILES).map((path) => path.split("/")[0]!);
    assertEquals(
      await walk({ maxDepth: 1 }),
      [...new Set([...top, "link", "broken"])].toSorted(),
    );
    const filter = ["*.log", "!c.log", "/one/.git/", "jpg", "png"];
    assertEquals(
      await walk({ filter }),
      [
        ".dot",
        "b.txt",
        "broken",
        "link",
        "one",
        "one/two",
        "one/two/three",
        "one/two/three/c.log",
        "one/up",
        "st*r",
      ].toSorted(),
    );
  },
});

Deno.test({
  name:
    "Sftp.walk() and glob() leave no folder open when their reader stops, or aborts",
  ignore,
  async fn() {
    await using server = await startServer({ maxFiles: 12 });
    const { sftp, dir } = server;
    await write(dir, { "a/b/c/d/e/f": "", "a/g": "", h: "" });
    for (let round = 0; round < 30; round++) {
      for await (const { name } of sftp.walk(dir)) if (name === "e") break;
      for await (const { name } of sftp.glob(`${dir}/**`)) {
        if (name === "g") break;
      }
      const stop = new AbortController();
      const walked = async () => {
        for await (const { name } of sftp.walk(dir, { signal: stop.signal })) {
          if (name === "c") stop.abort(new Error("stopped"));
        }
      };
      await assertRejects(walked, Error, "stopped");
    }
    assertEquals((await Array.fromAsync(sftp.walk(dir))).length, 8);
  },
});

Deno.test({
  name: "Sftp.walk() stops at maxEntries, and says which folder cannot be read",
  ignore,
  async fn() {
    await using server = await startServer({ asNobody: Deno.uid() === 0 });
    const { sftp, dir } = server;
    await write(dir, { "a/b": "", "a/c": "", "d/e": "" });
    const all = (options = {}) => Array.fromAsync(sftp.walk(dir, options));
    assertEquals((await all({ maxEntries: 5 })).length, 5);
    const many = await assertRejects(() => all({ maxEntries: 4 }), SftpError);
    assertEquals(many.code, "SSH_SFTP_TRANSFER_REFUSED");
    await Deno.chmod(`${dir}/d`, 0);
    const denied = await assertRejects(() => all(), SftpError, `${dir}/d`);
    assertEquals(denied.code, "SSH_SFTP_PERMISSION_DENIED");
    const found = await Array.fromAsync(sftp.glob(`${dir}/*/*`));
    assertEquals(found.map(({ name }) => name).toSorted(), ["b", "c"]);
    sftp.close();
    for (const step of [sftp.walk(dir), sftp.glob(`${dir}/*`)]) {
      await assertRejects(() => step.next(), SftpError, "closed");
    }
  },
});
