// What clients may send before they are served: any bytes, in any pieces.

import { assertEquals } from "@std/assert";
import { isIP } from "node:net";
import {
  listenSocks,
  type OpenTunnel,
} from "../../../transport/forward/listen.ts";
import { casesOfRun, Random, replay, seed } from "../../kit/random.ts";
import { dialForward, openPlain, readAll, TestServer } from "./_kit.ts";

/** What a client gets: a target to be led to, or the answers in its way. */
interface Outcome {
  readonly target: string | undefined;
  readonly answers: readonly number[];
}

const GRANTED_4 = [0, 90, 0, 0, 0, 0, 0, 0];
const REJECTED_4 = [0, 91, 0, 0, 0, 0, 0, 0];
const answer5 = (code: number) => [5, code, 0, 1, 0, 0, 0, 0, 0, 0];

/** The protocols once more, over bytes that are all there. */
function expected(bytes: readonly number[]): Outcome {
  const silent = { target: undefined, answers: [] };
  if (bytes[0] === 4) return expected4(bytes) ?? silent;
  if (bytes[0] !== 5 || bytes.length < 2) return silent;
  const at = 2 + bytes[1]!;
  if (bytes.length < at) return silent;
  if (!bytes.slice(2, at).includes(0)) {
    return { target: undefined, answers: [5, 255] };
  }
  const refused = (code: number) => ({
    target: undefined,
    answers: [5, 0, ...answer5(code)],
  });
  const cut = { target: undefined, answers: [5, 0] };
  const request = bytes.slice(at);
  if (request.length < 4) return cut;
  const [version, command, , type] = request;
  if (version !== 5) return refused(1);
  const lengths: Record<number, number> = { 1: 4, 4: 16, 3: request[4] ?? -1 };
  const size = lengths[type!];
  if (size === undefined) return refused(8);
  const from = type === 3 ? 5 : 4;
  if (size === -1 || request.length < from + size + 2) return cut;
  if (command !== 1) return refused(7);
  const raw = request.slice(from, from + size);
  const port = request[from + size]! * 256 + request[from + size + 1]!;
  const host = type === 1
    ? raw.join(".")
    : type === 3
    ? new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(raw))
    : Array.from(
      { length: 8 },
      (_, i) => (raw[2 * i]! * 256 + raw[2 * i + 1]!).toString(16),
    ).join(":");
  if (!isTarget(host, port)) return refused(4);
  return { target: `${host} ${port}`, answers: [5, 0, ...answer5(0)] };
}

function expected4(bytes: readonly number[]): Outcome | undefined {
  if (bytes.length < 8) return undefined;
  const port = bytes[2]! * 256 + bytes[3]!;
  const rejected = { target: undefined, answers: REJECTED_4 };
  const texts: number[][] = [];
  let rest = bytes.slice(8);
  const isNamed = bytes.slice(4, 7).every((it) => it === 0) && bytes[7] !== 0;
  for (let left = isNamed ? 2 : 1; left > 0; left--) {
    const end = rest.indexOf(0);
    if (end > 255 || (end === -1 && rest.length > 255)) return rejected;
    if (end === -1) return undefined;
    texts.push(rest.slice(0, end));
    rest = rest.slice(end + 1);
  }
  const name = new TextDecoder("utf-8", { ignoreBOM: true })
    .decode(Uint8Array.from(texts[1] ?? []));
  const host = isNamed ? name : bytes.slice(4, 8).join(".");
  if (bytes[1] !== 1 || !isTarget(host, port)) return rejected;
  return { target: `${host} ${port}`, answers: GRANTED_4 };
}

/** Whether it is one that can be dialled: a path is none. */
function isTarget(host: string, port: number): boolean {
  if (port === 0) return false;
  if (host.includes(":")) return isIP(host) === 6;
  return /^(?!-)[\p{L}\p{N}\p{M}_.%-]{1,255}$/u.test(host);
}

const NAMES = [
  "db.internal",
  "a",
  "10.1.2.3",
  "::1",
  "",
  "/run/x",
  "a b",
  "\0",
];

/** A request that is right, or nearly. */
function request(random: Random): number[] {
  const text = (it: string) => [...new TextEncoder().encode(it)];
  const name = text(random.pick(NAMES));
  const port = [random.below(3), random.below(3)];
  const command = random.chance(0.9) ? 1 : random.below(256);
  const four = () => Array.from({ length: 4 }, () => random.below(3));
  if (random.chance(0.5)) {
    const user = text("u".repeat(random.below(random.pick([3, 300]))));
    const address = random.chance(0.5) ? [0, 0, 0, random.below(3)] : four();
    return [4, command, ...port, ...address, ...user, 0, ...name, 0];
  }
  const methods = random.chance(0.9) ? [0] : [1, 2];
  const hello = [5, methods.length, ...methods];
  const type = random.pick([1, 3, 4, 9]);
  const address = type === 1
    ? four()
    : type === 3
    ? [name.length, ...name]
    : Array.from({ length: 16 }, () => random.below(256));
  return [...hello, 5, command, 0, type, ...address, ...port];
}

/** Changes some of it. */
function broken(random: Random, bytes: number[]): number[] {
  const copy = [...bytes];
  switch (random.below(5)) {
    case 0:
      return copy.slice(0, random.below(copy.length + 1));
    case 1:
      copy[random.below(copy.length)] = random.below(256);
      return copy;
    case 2:
      copy.splice(random.below(copy.length), 1);
      return copy;
    case 3:
      return Array.from(
        { length: random.below(600) },
        (_, i) => i === 0 ? random.pick([4, 5]) : 1 + random.below(255),
      );
    default:
      return copy;
  }
}

Deno.test("listenSocks() serves whatever a client sends as the protocols say, in any pieces, and goes on", async () => {
  await using server = await TestServer.start();
  const seen: string[] = [];
  const open: OpenTunnel = (target) => {
    seen.push(
      "path" in target ? "a path" : `${target.hostname} ${target.port}`,
    );
    return openPlain(server.target);
  };
  await using forward = await listenSocks(open, { listen: 0 });
  const random = new Random(seed);
  for (let round = 0; round < casesOfRun(300); round++) {
    const bytes = broken(random, request(random));
    const { target, answers } = expected(bytes);
    const before = seen.length;
    const client = await dialForward(forward);
    client.setNoDelay(true);
    const got = readAll(client).catch(() => "");
    for (let rest = bytes; rest.length > 0;) {
      const size = 1 + random.below(random.pick([2, 50, 1000]));
      client.write(Uint8Array.from(rest.slice(0, size)));
      rest = rest.slice(size);
      if (random.chance(0.2)) await new Promise((done) => setTimeout(done));
    }
    client.end();
    const answer = Array.from(await got, (it) => it.charCodeAt(0));
    const shown = `${replay(seed)}: ${bytes.join(" ")}`;
    assertEquals(
      seen.slice(before),
      target === undefined ? [] : [target],
      shown,
    );
    if (target !== undefined) {
      assertEquals(answer.slice(0, answers.length), answers, shown);
    } else if (answer.length > 0) {
      // The end may be a reset, which takes the answer along.
      assertEquals(answer, answers, shown);
    }
    client.destroy();
  }
});
