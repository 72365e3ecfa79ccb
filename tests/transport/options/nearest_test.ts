import { assertEquals } from "@std/assert";
import {
  didYouMean,
  nearest,
  nearestNames,
} from "../../../transport/options/nearest.ts";

const OPTIONS = ["timeoutMs", "maxOutputBytes", "encoding", "signal", "env"];

Deno.test("nearest() finds a name that was mistyped, cut short, or cased otherwise", () => {
  assertEquals(nearest("timeout", OPTIONS), "timeoutMs");
  assertEquals(nearest("timoutMs", OPTIONS), "timeoutMs");
  assertEquals(nearest("max_output_bytes", OPTIONS), "maxOutputBytes");
  assertEquals(nearest("sginal", OPTIONS), "signal");
  assertEquals(nearest("Encoding", OPTIONS), "encoding");
});

Deno.test("nearest() finds nothing for a name that is like none", () => {
  assertEquals(nearest("cwd", OPTIONS), undefined);
  assertEquals(nearest("", OPTIONS), undefined);
  assertEquals(nearest("e".repeat(100_000), OPTIONS), undefined);
  assertEquals(nearest("x", []), undefined);
});

Deno.test("nearest() finds the only longer name that has the words of a name in order", () => {
  const times = [
    "drainTimeoutMs",
    "idleTimeoutMs",
    "maxLifetimeMs",
    "maxHosts",
  ];
  assertEquals(nearest("drainMs", ["drainTimeoutMs"]), "drainTimeoutMs");
  assertEquals(nearest("idleMs", times), "idleTimeoutMs");
  assertEquals(nearest("lifetime_ms", times), "maxLifetimeMs");
  const two = ["acquireTimeoutMs", "drainTimeoutMs"];
  assertEquals(nearest("timeoutMs", two), undefined, "two have it");
  assertEquals(nearest("msDrain", times), undefined, "another order");
  assertEquals(nearest("ms", times), undefined, "one word says too little");
});

Deno.test("nearestNames() gives the nearest first, each once", () => {
  const hosts = ["web-10", "web-1", "db", "web-1", "wbe-1"];
  assertEquals(nearestNames("web1", hosts), ["web-1", "web-10", "wbe-1"]);
  assertEquals(nearestNames("web1", hosts, 1), ["web-1"]);
});

Deno.test("didYouMean() ends a message, or adds nothing", () => {
  assertEquals(didYouMean("timeout", OPTIONS), ', did you mean "timeoutMs"?');
  assertEquals(didYouMean("cwd", OPTIONS), "");
});
