import { assert, assertEquals, assertThrows } from "@std/assert";
import { hostLabel } from "../../../transport/host/host.ts";
import { PlainResolver } from "../../../transport/host/resolver.ts";
import {
  type HostParts,
  parseHost,
} from "../../../transport/host/host_string.ts";
import { casesOfRun, Random, replay, seed } from "../../kit/random.ts";

const GOOD: readonly (readonly [string, HostParts])[] = [
  ["db1", { hostname: "db1" }],
  ["db1:22", { hostname: "db1", port: 22 }],
  ["db1:1", { hostname: "db1", port: 1 }],
  ["db1:65535", { hostname: "db1", port: 65535 }],
  ["ops@db1", { hostname: "db1", user: "ops" }],
  ["ops@db1:2222", { hostname: "db1", user: "ops", port: 2222 }],
  ["a@b@db1", { hostname: "db1", user: "a@b" }],
  ["DOMAIN\\ops@db1", { hostname: "db1", user: "DOMAIN\\ops" }],
  ["a.b-c_d", { hostname: "a.b-c_d" }],
  ["10.0.0.1:22", { hostname: "10.0.0.1", port: 22 }],
  ["::1", { hostname: "::1" }],
  ["ops@::1", { hostname: "::1", user: "ops" }],
  ["[::1]", { hostname: "::1" }],
  ["[::1]:2222", { hostname: "::1", port: 2222 }],
  ["ops@[fe80::1%eth0]:22", {
    hostname: "fe80::1%eth0",
    user: "ops",
    port: 22,
  }],
  ["fe80::1%br-a_b.7", { hostname: "fe80::1%br-a_b.7" }],
  ["fe80::1%eth0", { hostname: "fe80::1%eth0" }],
  ["::ffff:10.0.0.1", { hostname: "::ffff:10.0.0.1" }],
  ["[db1]:22", { hostname: "db1", port: 22 }],
  ["ssh://ops@db1:22", { hostname: "db1", user: "ops", port: 22 }],
  ["SSH://db1/", { hostname: "db1" }],
  // As ssh reads it: gateways take the target in the user.
  ["ops:target@gate", { hostname: "gate", user: "ops:target" }],
  ["ops@corp:db1@gate:23", {
    hostname: "gate",
    user: "ops@corp:db1",
    port: 23,
  }],
  ["ssh://ops%3Adb1@gate", { hostname: "gate", user: "ops:db1" }],
  ["b\u00fccher.example", { hostname: "b\u00fccher.example" }],
];

for (const [text, parts] of GOOD) {
  Deno.test(`parseHost() reads ${JSON.stringify(text)}`, () => {
    assertEquals(parseHost(text), parts);
  });
}

const BAD: readonly (readonly [string, string])[] = [
  ["", "it is empty"],
  ["ssh://", "it is empty"],
  [" ", "white space"],
  ["db 1", "white space"],
  ["db1\n", "white space"],
  ["db1\0", "white space and control characters"],
  ["@db1", "the user before @ is empty"],
  ["a\ud800@db1", "the user before @ has half of a character"],
  ["ops@", "the host name is empty"],
  ["ssh://ops:secret@db1", "a password in it is not allowed"],
  [":22", "the host name is empty"],
  ["[]:22", "the host name is empty"],
  ["db1:", "must be 1 to 65535"],
  ["db1:0", "must be 1 to 65535"],
  ["db1:65536", "must be 1 to 65535"],
  ["db1:-1", "must be 1 to 65535"],
  ["db1:+22", "must be 1 to 65535"],
  ["db1:22x", "must be 1 to 65535"],
  ["db1:0x16", "must be 1 to 65535"],
  ["db1:2e1", "must be 1 to 65535"],
  ["db1:1.5", "must be 1 to 65535"],
  ["db1:000000022", "must be 1 to 65535"],
  ["db1:\u0662\u0662", "must be 1 to 65535"],
  ["[::1]:", "must be 1 to 65535"],
  ["db1:22:23", "must be in brackets"],
  ["1:2:3", "must be in brackets"],
  ["[db1:22]", "is no IPv6 address"],
  ["[::1::2]:22", "is no IPv6 address"],
  ["[::1", ""],
  ["::1]", ""],
  ["[::1]22", ""],
  ["[[::1]]", ""],
  ["-oProxyCommand=x", "must not start with -"],
  ["ops@-x", "must not start with -"],
  ["[-x]:22", "must not start with -"],
  ["a/b", "is not allowed in a host name"],
  ["a;b", "is not allowed in a host name"],
  ["a$(b)", "is not allowed in a host name"],
  ["a*b", "is not allowed in a host name"],
  ["https://db1", "port"],
];

for (const [text, why] of BAD) {
  Deno.test(`parseHost() refuses ${JSON.stringify(text)}`, () => {
    assertThrows(() => parseHost(text), TypeError, why);
  });
}

Deno.test("parseHost() refuses what is no string", () => {
  for (const value of [undefined, null, 1, {}, []]) {
    assertThrows(
      () => parseHost(value as unknown as string),
      TypeError,
      "must be a string",
    );
  }
});

Deno.test("parseHost() shows no password in its message", () => {
  for (
    const text of [
      "ssh://ops:hunter2@db1",
      "ops:hunter2@db1:0",
      "ssh://ops:hunter2@ db",
      "ops:hunter2@",
    ]
  ) {
    const error = assertThrows(() => parseHost(text), TypeError);
    assert(!error.message.includes("hunter2"), error.message);
  }
});

Deno.test("parseHost() reads back what hostLabel() writes", () => {
  for (let at = 0; at < casesOfRun(2_000); at++) {
    const random = new Random(seed + at);
    const hostname = random.pick([
      () =>
        Array.from(
          { length: 1 + random.below(12) },
          () => random.pick([..."abcXYZ019._"]),
        ).join(""),
      () => `${random.below(256)}.0.0.${random.below(256)}`,
      () => `fe80::${random.below(65536).toString(16)}%eth${random.below(3)}`,
      () => `2001:db8::${random.below(65536).toString(16)}`,
    ])();
    const user = Array.from(
      { length: 1 + random.below(8) },
      () => random.pick([..."abc@.-_\\$"]),
    ).join("");
    const parts = { hostname, user, port: 1 + random.below(65535) };
    assertEquals(parseHost(hostLabel(parts)), parts, replay(seed + at, true));
  }
});

Deno.test("parseHost() answers or throws a TypeError, and answers safely, whatever the string", () => {
  const spice = [
    ..."abz019@@::[]%.-_/\\ \t\n\0\"'$;*",
    "ssh://",
    "::1",
    ":22",
    "\u00e9",
    "\ud800",
  ];
  for (let at = 0; at < casesOfRun(20_000); at++) {
    const random = new Random(seed + at);
    const text = Array.from(
      { length: random.below(12) },
      () => random.pick(spice),
    ).join("");
    let parts: HostParts;
    try {
      parts = parseHost(text);
    } catch (error) {
      assert(error instanceof TypeError, `${JSON.stringify(text)}: ${error}`);
      continue;
    }
    const { hostname, user, port } = parts;
    assert(/^[^\s@\[\]\/-][^\s@\[\]\/]*$/.test(hostname), JSON.stringify(text));
    assert(
      user === undefined || (user !== "" && !/[\s\0]/.test(user)),
      JSON.stringify(text),
    );
    assert(
      port === undefined || (port >= 1 && port <= 65535),
      JSON.stringify(text),
    );
    assertEquals(
      parseHost(hostLabel(parts)),
      { ...parts, port: port ?? 22 },
      JSON.stringify(text),
    );
  }
});

Deno.test("parseHost() takes linear time", () => {
  const hostile = [
    "a".repeat(1e5),
    ":".repeat(1e5),
    "@".repeat(1e5),
    "[".repeat(1e5),
    `${"1:".repeat(5e4)}%`,
    "%".repeat(1e5),
  ];
  for (const text of hostile) {
    const startedAt = performance.now();
    try {
      parseHost(text);
    } catch (error) {
      assert(error instanceof TypeError);
    }
    assert(performance.now() - startedAt < 2_000);
  }
});

Deno.test("hostLabel() puts an IPv6 address in brackets and fills in the port", () => {
  assertEquals(hostLabel({ hostname: "::1" }), "[::1]:22");
  assertEquals(hostLabel({ hostname: "db1", user: "ops" }), "ops@db1:22");
  assertEquals(hostLabel({ hostname: "db1", port: 2222 }), "db1:2222");
});

Deno.test("PlainResolver.resolve() shows no password that stands before an @, in no field", () => {
  const fields = ["hostname", "bindAddress", "hostKeyAlias", "alias", "agent"];
  for (const field of fields) {
    for (const value of ["ops:hunter2@h\n", "ops:hunter2@h", "a@b:hunter2@h"]) {
      const host = { hostname: "db1", [field]: value };
      let message = "";
      try {
        new PlainResolver().resolve(host);
      } catch (error) {
        message = (error as Error).message;
      }
      assert(field !== "hostname" || message !== "");
      assert(!message.includes("hunter2"), message);
    }
  }
});

Deno.test("a host may be a URL, which means what its text means", () => {
  const resolve = (url: string | URL) => new PlainResolver().resolve(url);
  const cases = [
    ["ssh://ops@db1:2222", { hostname: "db1", user: "ops", port: 2222 }],
    ["ssh://ops@db1/", { hostname: "db1", user: "ops", port: 22 }],
    ["ssh://ops@[::1]:2222", { hostname: "::1", user: "ops", port: 2222 }],
    ["ssh://a%40b%5Cc@db1", { hostname: "db1", user: "a@b\\c", port: 22 }],
  ] as const;
  for (const [text, host] of cases) {
    assertEquals<object>({ ...resolve(new URL(text)) }, host);
    assertEquals<object>({ ...resolve(text) }, host);
  }
  const { jump } = new PlainResolver().resolve({
    hostname: "db1",
    user: "ops",
    jump: new URL("ssh://ops@gate"),
  });
  assertEquals(jump?.map(hostLabel), ["ops@gate:22"]);
  for (
    const [text, why] of [
      ["https://ops@db1", "/"],
      ["ssh://ops:hunter2@db1", "a password in it is not allowed"],
      ["ssh://ops@db1/home", "is not allowed in a host name"],
      ["ssh://ops@db1?x", "is not allowed in a host name"],
      ["ssh://a%@db1", "a % that begins no escape"],
    ] as const
  ) {
    const error = assertThrows(() => resolve(new URL(text)), TypeError, why);
    assert(!error.message.includes("hunter2"), error.message);
  }
});

Deno.test("hostKey takes a string whose text is known at run time, and checks it then", () => {
  const resolve = (hostKey: string) =>
    new PlainResolver().resolve({ hostname: "db1", user: "ops", hostKey });
  assertEquals(resolve("accept-new").hostKey, "accept-new");
  assertThrows(
    () => resolve("acceptnew"),
    TypeError,
    'hostKey is "acceptnew", must be "strict", "accept-new"',
  );
});

/** How long a call takes at best, in milliseconds. */
function fastest(call: () => unknown): number {
  let best = Infinity;
  for (let i = 0; i < 3; i++) {
    const startedAt = performance.now();
    call();
    best = Math.min(best, performance.now() - startedAt);
  }
  return best;
}

Deno.test("a field of a host that is huge is refused in about the time that it takes to read it, and shown in part", () => {
  const huge = ":".repeat(300_000);
  const reading = Math.max(0.5, fastest(() => huge.split(":").length));
  for (const field of ["hostname", "bindAddress", "agent", "hostKeyAlias"]) {
    // A line feed is refused everywhere.
    const host = { hostname: "db1", user: "ops", [field]: `${huge}\n` };
    let message = "";
    const took = fastest(() => {
      message = assertThrows(() => new PlainResolver().resolve(host)).message;
    });
    assert(message.length < 500, `${message.length} characters`);
    // With a square of the length it took a minute: 10,000 times as long.
    assert(took < 200 * reading, `${field}: ${took} ms, reading ${reading} ms`);
  }
  for (const text of [huge, `[${huge}]`, `a@${huge}`, "%a".repeat(150_000)]) {
    const took = fastest(() => assertThrows(() => parseHost(text)));
    assert(took < 200 * reading, `${took} ms, reading takes ${reading} ms`);
  }
});
