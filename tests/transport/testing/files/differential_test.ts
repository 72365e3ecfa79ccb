/** The files of the fakes against OpenSSH's sftp-server: the same answers to the same requests. */

import { assertEquals } from "@std/assert";
import { PacketType } from "../../../../transport/sftp/packets.ts";
import type { MemoryTree } from "../../../../transport/testing/files/memory_tree.ts";
import { SftpPipe } from "../../../../transport/testing/memory/_sftp_pipe.ts";
import { MemoryFiles } from "../../../../transport/testing/files/memory_files.ts";
import { Random } from "../../../kit/random.ts";
import { isRoot, noServer, startServer } from "../../sftp/_server.ts";
import { randomStep, Side, type Step } from "./_sides.ts";

const SEQUENCES = 60;
const STEPS = 150;

/** How the two sides are set up. */
interface SetUp {
  readonly skips?: (step: Step) => boolean;
  /** Neither has `posix-rename@openssh.com`: RENAME is what is sent. */
  readonly isOld?: boolean;
  readonly files: (dir: string) => MemoryTree;
  /** Ours are those of an ordinary user, theirs of root. */
  readonly hidesOwners?: boolean;
}

/** Takes one sequence of steps on sftp-server and on files of ours. */
async function compare(
  seed: number,
  setUp: SetUp,
): Promise<void> {
  const { skips = () => false, isOld = false, hidesOwners = false } = setUp;
  let theirs: Side | undefined;
  await using server = await startServer({
    args: isOld ? ["-P", "posix-rename"] : [],
    through: (transport) => {
      theirs = new Side(transport, hidesOwners);
      // What it starts itself is of no use here.
      return new SftpPipe({ files: new MemoryFiles().served() });
    },
  });
  const ours = new Side(
    new SftpPipe({
      files: setUp.files(server.dir),
      extensions: isOld ? ["copy-data", "fsync@openssh.com"] : undefined,
    }),
    hidesOwners,
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

/** Files in memory, with a folder for the steps. */
function memoryFiles(dir: string): MemoryTree {
  const files = new MemoryFiles();
  files.writeFile(`${dir}/`, { mode: 0o700 });
  return files.served();
}

Deno.test({
  name: "MemoryFiles answers as sftp-server does",
  ignore: noServer || !isRoot,
  async fn() {
    for (let seed = 0; seed < SEQUENCES; seed++) {
      await compare(seed, {
        files: memoryFiles,
        hidesOwners: true,
      });
    }
  },
});

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
      const files = memoryFiles;
      await compare(seed, { skips, isOld: true, files, hidesOwners: true });
    }
  },
});
