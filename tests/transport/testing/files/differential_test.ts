/** The files of the fakes against OpenSSH's sftp-server: the same answers to the same requests. */

import { assertEquals } from "@std/assert";
import { PacketType } from "../../../../transport/sftp/packets.ts";
import type { ServedFiles } from "../../../../transport/testing/sftp_server/served_files.ts";
import { SftpPipe } from "../../../../transport/testing/memory/_sftp_pipe.ts";
import { DiskFiles } from "../../../../transport/testing/files/disk_files.ts";
import { MemoryFiles } from "../../../../transport/testing/files/memory_files.ts";
import { Random } from "../../../kit/random.ts";
import { isRoot, noServer, startServer } from "../../sftp/_server.ts";
import { randomStep, Side, type Step } from "./_sides.ts";

const SEQUENCES = 60;
const STEPS = 150;
const NOBODY = 65534;

/** How the two sides are set up. */
interface SetUp {
  readonly asNobody: boolean;
  readonly skips?: (step: Step) => boolean;
  /** Neither has `posix-rename@openssh.com`: RENAME is what is sent. */
  readonly isOld?: boolean;
  readonly files: (dir: string) => Promise<ServedFiles> | ServedFiles;
  /** Called with the folder of the steps, which is still empty. */
  readonly prepare?: (dir: string) => Promise<void>;
}

/** Takes one sequence of steps on sftp-server and on files of ours. */
async function compare(
  seed: number,
  setUp: SetUp,
): Promise<void> {
  const { asNobody, skips = () => false, isOld = false, prepare } = setUp;
  let theirs: Side | undefined;
  await using server = await startServer({
    asNobody,
    args: isOld ? ["-P", "posix-rename"] : [],
    through: (transport) => {
      theirs = new Side(transport);
      // What it starts itself is of no use here.
      return new SftpPipe({ files: new MemoryFiles().served() });
    },
  });
  const ours = new Side(
    new SftpPipe({
      files: await setUp.files(server.dir),
      extensions: isOld ? ["copy-data", "fsync@openssh.com"] : undefined,
    }),
  );
  await Promise.all([theirs!.protocol.ready, ours.protocol.ready]);
  const random = new Random(seed);
  const taken: string[] = [];
  try {
    // Deep enough for what links and ".." lead out of it.
    let dir = server.dir;
    for (const name of ["1", "2", "3", "4", "5"]) {
      dir += `/${name}`;
      for (const side of [theirs!, ours]) {
        await side.call(dir).entry(PacketType.MKDIR, 0o755);
      }
    }
    await prepare?.(dir);
    for (let count = 0; count < STEPS; count++) {
      const step = randomStep(random, dir);
      if (skips(step)) continue;
      taken.push(JSON.stringify(step).replaceAll(dir, ""));
      const expected = await theirs!.run(step);
      const told = `seed ${seed}, step ${count}:\n${
        taken.slice(-8).join("\n")
      }`;
      assertEquals(await ours.run(step), expected, told);
    }
  } finally {
    theirs!.close();
    ours.close();
  }
}

/** Files of others in the folder of the user: path, owner, group, permissions. */
const OTHERS = [
  ["a/", 0, NOBODY, 0o770],
  ["a/b", 0, NOBODY, 0o640],
  ["a/c", 0, NOBODY, 0o464],
  ["b/", 0, NOBODY, 0o705],
  ["b/c", 1, 1, 0o666],
  ["c/", 1, 1, 0o1777],
  ["c/a", 1, 1, 0o602],
  ["ü/", 1, 1, 0o5],
  ["ü/b", 1, 1, 0o604],
] as const;

async function addOthers(dir: string, files: MemoryFiles): Promise<void> {
  for (const [name, uid, gid, mode] of OTHERS) {
    const path = `${dir}/${name}`;
    if (name.endsWith("/")) {
      await Deno.mkdir(path);
      files.mkdir(path);
    } else {
      await Deno.writeTextFile(path, "text");
      files.writeFile(path, "text");
    }
    await Deno.chown(path, uid, gid);
    await Deno.chmod(path, mode);
    files.chown(path, uid, gid);
    files.chmod(path, mode);
  }
}

for (const asNobody of [false, true]) {
  const who = asNobody ? "an ordinary user" : "root";
  Deno.test({
    name: `MemoryFiles answers ${who} as sftp-server does`,
    ignore: noServer || !isRoot,
    async fn() {
      const uid = asNobody ? NOBODY : 0;
      for (let seed = 0; seed < SEQUENCES; seed++) {
        const files = new MemoryFiles({}, { uid, gid: uid });
        await compare(seed, {
          asNobody,
          files: (home) => {
            files.mkdir(home);
            files.chmod(home, 0o700);
            return files.served();
          },
          prepare: (dir) => addOthers(dir, files),
        });
      }
    },
  });
}

Deno.test({
  name: "MemoryFiles answers as an sftp-server without posix-rename does",
  ignore: noServer || !isRoot,
  async fn() {
    const kinds: Step["kind"][] = [
      "rename",
      "mkdir",
      "open",
      "symlink",
      "lstat",
    ];
    const skips = ({ kind }: Step) => !kinds.includes(kind);
    for (let seed = 0; seed < SEQUENCES; seed++) {
      const files = (home: string) => {
        const files = new MemoryFiles({}, { uid: 0, gid: 0, home });
        files.chmod(home, 0o700);
        return files.served();
      };
      await compare(seed, { asNobody: false, skips, isOld: true, files });
    }
  },
});

Deno.test({
  name: "DiskFiles answers as sftp-server does",
  ignore: noServer || !isRoot,
  async fn() {
    const root = await Deno.makeTempDir();
    // Deno has no such names, and opens no file with the sticky bit.
    const skips = ({ kind, path, other, target, mode }: Step) =>
      `${path}${other}${target}`.includes("\udcff") ||
      kind === "open" && mode > 0o777;
    try {
      for (let seed = 0; seed < SEQUENCES; seed++) {
        const files = async (dir: string) => {
          await Deno.mkdir(`${root}${dir}`, { recursive: true, mode: 0o700 });
          return new DiskFiles(root);
        };
        await compare(seed, { asNobody: false, skips, files });
      }
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  },
});
