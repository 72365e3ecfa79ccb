// What one client may have at a worker, and that nobody has more by new names.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { Clients } from "../../../transport/nats/_clients.ts";
import { Offers } from "../../../transport/nats/_offers.ts";
import { FakeTime } from "../../pool/_kit.ts";

const LIMITS = { rate: 10, sessions: 2, connections: 2 };
const EPOCH = "0".repeat(32);
const subject = (name: string, epoch = EPOCH) => `ssh.c.${name}.${epoch}`;

Deno.test("Clients.of() gives a client that has connected anew what it had", () => {
  const clients = new Clients("ssh", LIMITS);
  const client = clients.of(subject("a"));
  assertStrictEquals(clients.of(subject("a", "1".repeat(32))), client);
  assert(clients.of(subject("b")) !== client);
});

Deno.test("Clients.of() gives names beyond 10,000 one budget, and those that it knows their own", () => {
  const clients = new Clients("ssh", LIMITS);
  const first = clients.of(subject("0"));
  for (let i = 1; i < 10_000; i++) clients.of(subject(`${i}`));
  const shared = clients.of(subject("new"));
  assertStrictEquals(clients.of(subject("newer")), shared);
  assertStrictEquals(clients.of(subject("0")), first);
  assert(shared !== first);
});

Deno.test("Clients.prune() forgets those who have nothing here, and no others", async () => {
  using time = new FakeTime();
  const clients = new Clients("ssh", LIMITS);
  const of = (name: string) => clients.of(subject(name));
  const [idle, running, connected] = [of("a"), of("b"), of("c")];
  running.sessions++;
  connected.connections++;
  await time.advance(60_000);
  clients.prune();
  assert(of("a") !== idle);
  assertStrictEquals(of("b"), running);
  assertStrictEquals(of("c"), connected);
});

Deno.test("a client may have as many connections and channels as its limits say", () => {
  const client = new Clients("ssh", LIMITS).of(subject("a"));
  const refusals: (string | undefined)[] = [];
  for (let i = 0; i < 3; i++) {
    const connection = client.refuseConnection("web-1");
    const channel = client.refuseChannel("web-1");
    refusals.push(connection?.message, channel?.message);
    if (connection === undefined) client.connections++;
    if (channel === undefined) client.sessions++;
  }
  assertEquals(refusals.slice(0, 4), Array(4).fill(undefined));
  assertEquals(refusals.slice(4), [
    'Cannot connect to "web-1": this program has too many connections at the worker',
    'Cannot open a channel on "web-1": this program has too many at the worker',
  ]);
  assertEquals(client.refuseConnection("web-1")?.throttled, true);
});

Deno.test("Offers are used once, by their client and within 10 s, and there are 100,000 at most", async () => {
  using time = new FakeTime();
  const offers = new Offers();
  const offer = {
    request: { name: "web-1", group: "a" },
    remote: subject("a"),
    shard: 1,
  };
  const [one, two, three] = [1, 2, 3].map(() => offers.add(offer)!);
  assertEquals(offers.take(one!, subject("b")), undefined);
  assertEquals(offers.take(one!, offer.remote), undefined);
  assertEquals(offers.take(two!, offer.remote)?.shard, 1);
  assertEquals(offers.take(two!, offer.remote), undefined);
  await time.advance(5_000);
  const late = offers.add(offer)!;
  await time.advance(5_001);
  offers.expire();
  assertEquals(offers.take(three!, offer.remote), undefined);
  assertEquals([offers.size, offers.take(late, offer.remote)?.shard], [1, 1]);
  for (let i = 0; i < 100_000; i++) offers.add(offer);
  assertEquals([offers.add(offer), offers.size], [undefined, 100_000]);
});
