// Patterns: what a copy takes of a tree, and what it leaves out.

import { assertEquals, assertRejects } from "@std/assert";
import { SftpError } from "../../../../transport/sftp/errors.ts";
import { testCopies, write } from "./_copies.ts";

async function* walk(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    yield `${folder}/${name}`;
    if (isDirectory) yield* walk(`${folder}/${name}`);
  }
}

const all = async (folder: string) =>
  (await Array.fromAsync(walk(folder))).map((path) =>
    path.slice(folder.length + 1)
  ).toSorted();

testCopies(
  "with patterns as filter leaves out what a .gitignore would",
  async ({ copy, server, source, target }) => {
    await write(source, {
      "a.log": "",
      "A.LOG": "",
      "keep.log": "",
      "node_modules/x/y": "",
      "d/node_modules/z": "",
      "build/x": "",
      "d/build/x": "",
    });
    const filter = "# no logs\n*.log\n!keep.log\nnode_modules/\n/build\n";
    await copy(server.sftp, source, target, { filter });
    const taken = ["A.LOG", "d", "d/build", "d/build/x", "keep.log"];
    assertEquals(await all(target), taken);
    // What is left out is not deleted either.
    await write(target, { "old.log": "", "old.txt": "" });
    const { deleted } = await copy(server.sftp, source, target, {
      filter: filter.split("\n"),
      delete: true,
    });
    assertEquals(deleted, 1);
    assertEquals(await all(target), [...taken, "old.log"]);
  },
);

testCopies(
  "takes a pattern as source, and makes only the folders of what matches",
  async ({ copy, server, source, target }) => {
    await write(source, {
      "a.js": "1",
      "b.css": "2",
      ".c.js": "3",
      "d/e.js": "4",
      "d/f/g.js": "5",
      "d/none/x.css": "6",
      "lib.js/readme": "7",
      "lib.js/.hidden": "8",
    });
    await copy(server.sftp, `${source}/*.js`, `${target}/`);
    const top = ["a.js", "lib.js", "lib.js/.hidden", "lib.js/readme"];
    assertEquals(await all(target), top);
    const { files } = await copy(server.sftp, `${source}/**/*.js`, target, {
      filter: ["/lib.js/"],
    });
    assertEquals(files, 3);
    assertEquals(
      await all(target),
      [...top, "d", "d/e.js", "d/f", "d/f/g.js"].toSorted(),
    );
    // Only what the pattern would take is deleted.
    await write(target, { "old.js": "", "old.css": "", "d/old.js": "" });
    const { deleted, copied } = await copy(
      server.sftp,
      `${source}/**/*.js`,
      target,
      { delete: true, changedOnly: true },
    );
    assertEquals([deleted, copied], [2, 0]);
    assertEquals(
      await all(target),
      [...top, "d", "d/e.js", "d/f", "d/f/g.js", "old.css"].toSorted(),
    );
    await Deno.symlink("d", `${source}/link`);
    await copy(server.sftp, `${source}/l*k/*.js`, `${target}/linked`);
    assertEquals(await all(`${target}/linked`), ["link", "link/e.js"]);
  },
);

testCopies(
  "takes a path that is there for what it is, whatever characters it has",
  async ({ copy, server, source, target }) => {
    await write(source, { "[id].tsx": "literal", "i.tsx": "other" });
    await copy(server.sftp, `${source}/[id].tsx`, target);
    assertEquals(await Deno.readTextFile(target), "literal");
    await Deno.remove(`${source}/[id].tsx`);
    await Deno.remove(target);
    await copy(server.sftp, `${source}/[id].tsx`, target);
    assertEquals(await all(target), ["i.tsx"]);
    for (const pattern of ["*.none", "none/*", "**/none"]) {
      const error = await assertRejects(() =>
        copy(server.sftp, `${source}/${pattern}`, target, { delete: true })
      ) as Error & { code: string };
      assertEquals(/ENOENT|NOT_FOUND/.test(error.code), true, error.message);
    }
    assertEquals(await all(target), ["i.tsx"]);
    const error = await assertRejects(
      () => copy(server.sftp, `${source}/*.none`, target),
      SftpError,
      "nothing matches it",
    );
    assertEquals(error.code, "SSH_SFTP_NOT_FOUND");
  },
);
