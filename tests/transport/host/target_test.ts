import { assertEquals, assertThrows } from "@std/assert";
import {
  checkTarget,
  type ForwardTarget,
  parseListen,
  parseTarget,
  targetName,
} from "../../../transport/host/target.ts";

const good: [string | ForwardTarget, ForwardTarget][] = [
  ["db:5432", { hostname: "db", port: 5432 }],
  ["127.0.0.1:80", { hostname: "127.0.0.1", port: 80 }],
  ["[::1]:80", { hostname: "::1", port: 80 }],
  ["/run/x y.sock", { path: "/run/x y.sock" }],
  [{ hostname: "::1", port: 1 }, { hostname: "::1", port: 1 }],
  [{ path: "/run/x" }, { path: "/run/x" }],
];

Deno.test("parseTarget() takes ports and unix sockets, as strings and as objects", () => {
  for (const [target, parsed] of good) {
    assertEquals(parseTarget(target), parsed);
    assertEquals(parseTarget(targetName(parsed)), parsed);
  }
});

const bad: [unknown, string][] = [
  ["", "it is empty"],
  ["db", "it has no port"],
  ["db:", 'the port is ""'],
  ["db:0", 'the port is "0", must be 1 to 65535'],
  ["db:65536", 'the port is "65536"'],
  ["::1:80x", "an IPv6 address with a port must be in brackets"],
  ["[::1]:80:90", 'the port is "80:90"'],
  ["a b:80", "white space"],
  ["user@db:80", '"@" is not allowed'],
  ["run/x.sock", '"/" is not allowed in a host name'],
  [`/${"x".repeat(107)}`, "path has 108 bytes, must have 107 at most"],
  ["/a\0b", "path must not contain a zero byte"],
  ["/a\udce9", "path must not contain a zero byte or half of a character"],
  [{ path: "x" }, "path must be a string that begins with /"],
  [{ hostname: "", port: 1 }, "hostname must be a string that is not empty"],
  [{ hostname: "db", port: 1.5 }, "port is 1.5, must be 1 to 65535"],
  [{ hostname: "a\0b", port: 1 }, "control characters"],
  [5432, "it is a number, must be a string or an object"],
  [null, "it is null, must be a string or an object"],
  [
    { hostname: "db", port: 1, prt: 2 },
    'Cannot parse the target: there is no field "prt", did you mean "port"?',
  ],
  [{ path: "/run/x", port: 1 }, 'there is no field "port", allowed are path'],
  [{ hostname: "db", port: 1, transport: "udp" }, 'is "udp", must be "tcp"'],
];

Deno.test("parseTarget() names what is wrong with a target", () => {
  for (const [target, why] of bad) {
    assertThrows(() => parseTarget(target as string), TypeError, why);
  }
});

Deno.test("parseListen() takes a port of 127.0.0.1, and port 0", () => {
  assertEquals(parseListen(0), { hostname: "127.0.0.1", port: 0 });
  assertEquals(parseListen("[::1]:0"), { hostname: "::1", port: 0 });
  assertEquals(parseListen("/run/x"), { path: "/run/x" });
  assertThrows(
    () => parseListen(-1),
    TypeError,
    "Cannot parse the address to listen on",
  );
});

Deno.test("parseTarget() and parseListen() take the address of a listener, or a server, as it is", () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { hostname, port } = listener.addr;
  assertEquals(parseTarget(listener.addr), { hostname, port });
  assertEquals(parseListen(listener.addr), { hostname, port });
  const unix = { transport: "unix", path: "/run/x" };
  assertEquals(parseTarget(unix), { path: "/run/x" });
  class Server {
    readonly hostname = "db";
    readonly name = "x";
    get port() {
      return 5;
    }
  }
  assertEquals(parseTarget(new Server()), { hostname: "db", port: 5 });
});

Deno.test("parseListen() and checkTarget() name an unknown field, and show no value", () => {
  const listen = { hostname: "db", port: 0, revers: 1 };
  assertThrows(
    () => parseListen(listen),
    TypeError,
    'Cannot parse the address to listen on: there is no field "revers"',
  );
  const host = { hostname: "db", port: 22, password: "s3cret" };
  const error = assertThrows(() => checkTarget(host), TypeError);
  assertEquals(
    error.message,
    'Cannot parse the target: there is no field "password", ' +
      "allowed are hostname, port, transport",
  );
  assertThrows(
    () => checkTarget("db:1" as never),
    TypeError,
    "it is a string, must be an object",
  );
});
