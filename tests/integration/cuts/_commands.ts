/**
 * Commands, cut: each leaves a mark on the host, and ends with a code that no
 * other way to end has.
 *
 * @module
 */

import { join } from "node:path";
import type { RemoteProcess } from "../../../mod.ts";
import { type Cell, must, type Verb } from "./_kit.ts";
import { isPayload, PAYLOAD, PAYLOAD_HASH } from "./_site.ts";

/** The exit code of each command. */
const CODE = 3;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const markPath = ({ remote }: Cell) => join(remote, "mark");

/** A shell command that leaves a mark first, and ends with the code. */
function marked(cell: Cell, command: string): string {
  return `echo ran >> ${markPath(cell)}; ${command}; exit ${CODE}`;
}

const printsPayload = (cell: Cell) => marked(cell, `cat ${cell.site.payload}`);

async function marks(cell: Cell): Promise<number> {
  try {
    return (await Deno.readTextFile(markPath(cell))).split("\n").length - 1;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

/** A verb that runs one command. */
function command(name: string, run: (cell: Cell) => Promise<void>): Verb {
  return {
    name,
    run,
    hasRun: async (cell) => await marks(cell) > 0,
    async faults(cell, error) {
      const count = await marks(cell);
      if (count > 1) return [`it ran ${count} times`];
      return error === undefined && count === 0 ? ["it did not run"] : [];
    },
  };
}

function mustBeAll(bytes: Uint8Array): void {
  must(isPayload(bytes), `${bytes.length} of ${PAYLOAD.length} bytes`);
}

/** All that a stream gives, up to its end. */
export async function readAll(
  stream: AsyncIterable<Uint8Array>,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return await new Blob(chunks as BlobPart[]).bytes();
}

/** The content in pieces. */
export function* pieces(): Generator<Uint8Array> {
  for (let at = 0; at < PAYLOAD.length; at += 20_000) {
    yield PAYLOAD.subarray(at, at + 20_000);
  }
}

async function mustEnd({ status }: RemoteProcess): Promise<void> {
  const { code } = await status;
  must(code === CODE, `exit code ${code}`);
}

/** Verbs that need no more than a login. */
const dials: Verb[] = [{
  name: "getConnection",
  async run({ pool, host }) {
    const connection = await pool.getConnection(host);
    must(connection.host.port === host.port, "another host");
  },
}];

const commands: Verb[] = [
  command("acquire", async (cell) => {
    using lease = await cell.pool.acquire(cell.host);
    const result = await lease.connection.exec(marked(cell, "echo leased"));
    must(result.stdout === "leased\n", `output ${result.stdout}`);
    must(result.code === CODE, `exit code ${result.code}`);
  }),
  command("exec, output", async (cell) => {
    const result = await cell.pool.exec(cell.host, printsPayload(cell), {
      encoding: "bytes",
    });
    mustBeAll(result.stdout);
    must(result.code === CODE, `exit code ${result.code}`);
  }),
  command("exec, stdin", async (cell) => {
    const result = await cell.pool.exec(cell.host, marked(cell, "sha256sum"), {
      stdin: PAYLOAD,
    });
    must(result.stdout.startsWith(PAYLOAD_HASH), `hash ${result.stdout}`);
    must(result.code === CODE, `exit code ${result.code}`);
  }),
  command("exec, env and a stream as stdin", async (cell) => {
    const stdin = ReadableStream.from(pieces());
    const line = marked(cell, 'sha256sum; echo "$LC_CUT" >&2');
    const result = await cell.pool.exec(cell.host, line, {
      stdin,
      env: { LC_CUT: "set" },
    });
    must(result.stdout.startsWith(PAYLOAD_HASH), `hash ${result.stdout}`);
    must(result.stderr === "set\n", `stderr ${result.stderr}`);
    must(result.code === CODE, `exit code ${result.code}`);
  }),
  command("spawn, stdout", async (cell) => {
    await using process = await cell.pool.spawn(cell.host, printsPayload(cell));
    mustBeAll(await readAll(process.stdout));
    await mustEnd(process);
  }),
  command("spawn, stdin", async (cell) => {
    await using process = await cell.pool.spawn(
      cell.host,
      marked(cell, "sha256sum"),
    );
    const answer = readAll(process.stdout);
    answer.catch(() => {});
    const writer = process.stdin.getWriter();
    for (const piece of pieces()) await writer.write(piece);
    await writer.close();
    const hash = decoder.decode(await answer);
    must(hash.startsWith(PAYLOAD_HASH), `hash ${hash}`);
    await mustEnd(process);
  }),
  command("spawn, lines", async (cell) => {
    const line = marked(cell, "seq 20000");
    await using process = await cell.pool.spawn(cell.host, line);
    let n = 0;
    for await (const line of process.lines()) {
      must(line === `${++n}`, `"${line}" at line ${n}`);
    }
    must(n === 20_000, `${n} lines`);
    await mustEnd(process);
  }),
  command("shell", async (cell) => {
    await using shell = await cell.pool.shell(cell.host, { columns: 200 });
    const output = readAll(shell.stdout);
    output.catch(() => {});
    const writer = shell.stdin.getWriter();
    const line = marked(cell, `sha256sum < ${cell.site.payload}`);
    await writer.write(encoder.encode(`${line}\n`));
    const text = decoder.decode(await output);
    must(text.includes(PAYLOAD_HASH), `output ${text}`);
    await mustEnd(shell);
  }),
  command("fanOut", async (cell) => {
    const { pool, host, site } = cell;
    const results = new Map<number | undefined, unknown>();
    const other = site.sshd.host();
    for await (
      const result of pool.fanOut(
        [host, other],
        (it, signal) =>
          pool.exec(it, it === host ? printsPayload(cell) : "echo other", {
            signal,
            encoding: "bytes",
          }),
      )
    ) {
      results.set(
        (result.host as typeof host).port,
        result.ok ? result.value : result.error,
      );
    }
    must(results.size === 2, `${results.size} results`);
    const beside = results.get(other.port) as { stdout?: Uint8Array };
    must(
      decoder.decode(beside.stdout) === "other\n",
      `the other host: ${Deno.inspect(beside)}`,
    );
    const own = results.get(host.port) as { stdout?: Uint8Array; code: number };
    if (own.stdout === undefined) throw own;
    mustBeAll(own.stdout);
    must(own.code === CODE, `exit code ${own.code}`);
  }),
];

/** The verbs of this file. */
export const commandVerbs: Verb[] = [...dials, ...commands];
