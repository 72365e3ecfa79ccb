import { assertEquals, assertThrows } from "@std/assert";
import { LinkedList, ListNode } from "../../../pool/limits/linked_list.ts";
import {
  type Permit,
  type PermitRequester,
  Permits,
} from "../../../pool/limits/permits.ts";
import { range } from "../_kit.ts";

/** A lane that keeps what it gets. */
class Lane implements PermitRequester {
  readonly permits: Permit[] = [];
  constructor(readonly name: string, readonly started: string[]) {}
  startDial(permit: Permit): void {
    this.permits.push(permit);
    this.started.push(this.name);
  }
}

Deno.test("Permits serves starved lanes in the order of arrival, each once", () => {
  const permits = new Permits(1, () => false);
  const started: string[] = [];
  const [a, b, c] = ["a", "b", "c"].map((name) => new Lane(name, started));
  const first = permits.request(a!)!;
  for (const lane of [b!, c!, b!]) permits.request(lane);
  assertEquals(permits.isStarving, true);
  first.release();
  assertEquals(started, ["b"]);
  b!.permits[0]!.release();
  c!.permits[0]!.release();
  assertEquals(started, ["b", "c"]);
  assertEquals(permits.isStarving, false);
  assertEquals(started.length, 2);
});

Deno.test("Permits does not let a newcomer overtake a starved lane", () => {
  let evictable = false;
  const permits = new Permits(1, () => evictable);
  const started: string[] = [];
  permits.request(new Lane("a", started));
  permits.request(new Lane("b", started));
  evictable = true;
  assertEquals(permits.request(new Lane("c", started)), undefined);
});

Deno.test("Permit.release() gives back once", () => {
  const permits = new Permits(2, () => false);
  const permit = permits.request(new Lane("a", []))!;
  permits.request(new Lane("b", []));
  permit.release();
  permit.release();
  const c = new Lane("c", []);
  permits.request(c);
  assertEquals(permits.request(new Lane("d", [])), undefined, "one came back");
});

Deno.test("Permits forgets a lane that withdraws", () => {
  const permits = new Permits(1, () => false);
  const started: string[] = [];
  const first = permits.request(new Lane("a", started))!;
  const b = new Lane("b", started);
  permits.request(b);
  permits.withdraw(b);
  first.release();
  assertEquals(started, []);
});

Deno.test("Permits evicts only when none is left", () => {
  let evictions = 0;
  const out: Permit[] = [];
  const permits = new Permits(2, () => {
    evictions++;
    out.shift()!.release();
    return true;
  });
  for (const i of range(4)) out.push(permits.request(new Lane(`${i}`, []))!);
  assertEquals(evictions, 2);
});

Deno.test("Permits.uncounted() is beyond the cap", () => {
  const permits = new Permits(1, () => false);
  const hop = permits.uncounted();
  assertEquals(hop.isCounted, false);
  hop.release();
  assertEquals(permits.request(new Lane("a", []))?.isCounted, true);
});

class Node extends ListNode<Node> {
  constructor(readonly id: number) {
    super();
  }
}

function ids(list: LinkedList<Node>): number[] {
  return [...list].map((node) => node.id);
}

Deno.test("LinkedList keeps its order whoever leaves, and counts", () => {
  const list = new LinkedList<Node>();
  const nodes = range(5).map((i) => new Node(i));
  for (const node of nodes) list.push(node);
  assertEquals(list.remove(nodes[2]!), true);
  assertEquals(list.remove(nodes[2]!), false, "not in it any more");
  assertEquals([ids(list), list.size], [[0, 1, 3, 4], 4]);
  list.insertAfter(nodes[3], nodes[2]!);
  assertEquals(ids(list), [0, 1, 3, 2, 4]);
  list.insertAfter(undefined, new Node(9));
  assertEquals([list.first?.id, list.size], [9, 6]);
  assertEquals(list.shift()?.id, 9);
  for (const _ of range(5)) list.shift();
  assertEquals([list.shift(), list.first, list.size], [
    undefined,
    undefined,
    0,
  ]);
});

Deno.test("LinkedList goes on when the current member leaves", () => {
  const list = new LinkedList<Node>();
  for (const i of range(4)) list.push(new Node(i));
  const seen: number[] = [];
  for (const node of list) {
    seen.push(node.id);
    list.remove(node);
  }
  assertEquals([seen, list.size], [[0, 1, 2, 3], 0]);
});

Deno.test("LinkedList refuses a node that is in a list", () => {
  const list = new LinkedList<Node>();
  const node = new Node(1);
  list.push(node);
  assertThrows(() => new LinkedList<Node>().push(node), Error, "Bug:");
});
