// The rules by which the files hang together: who may import whom, what stays
// private, and what the package exports.

import { assertEquals, assertThrows } from "@std/assert";

const root = new URL("../", import.meta.url);

/** What the pool may know of the transports: the treaty, and these folders of it, but no adapter. */
const POOL_MAY_IMPORT = [
  "transport/",
  "transport/command/",
  "transport/forward/",
  "transport/host/",
  "transport/options/",
  "transport/session/",
  "transport/sftp/",
  "transport/sftp/transfer/",
  "transport/ssh_config/",
];

/** The adapters, each of which knows none of the others. */
const ADAPTERS = ["transport/ssh2/", "transport/openssh/", "transport/nats/"];

/**
 * As the main entry has a pool over ssh2, `./nats` has one over the bus: this
 * file alone knows both the pool and that adapter.
 */
const PAIRING = { file: "pool/nats.ts", adapter: "transport/nats/" };

/** What is started, and imported by nothing: it may know all. */
const PROGRAM = "pool/nats_worker.ts";

interface File {
  readonly path: string;
  /** Without comments. */
  readonly code: string;
  /** The files of this package that it imports or exports from. */
  readonly imports: readonly string[];
  /** What else it imports. */
  readonly packages: readonly string[];
}

async function* sources(folder: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(new URL(folder, root))) {
    if (entry.isDirectory) yield* sources(`${folder}${entry.name}/`);
    else if (entry.name.endsWith(".ts")) yield `${folder}${entry.name}`;
  }
}

/** Takes comments out; what looks like one in a string is left. */
function uncommented(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

async function read(path: string): Promise<File> {
  const url = new URL(path, root);
  const code = uncommented(await Deno.readTextFile(url));
  const found = [
    ...code.matchAll(/^(?:import|export)\b[^;'"]*?\bfrom\s+"([^"]+)"/gm),
    ...code.matchAll(/^import\s+"([^"]+)"/gm),
    ...code.matchAll(/\bimport\(\s*"([^"]+)"\s*\)/g),
  ].map(([, specifier = ""]) => specifier);
  return {
    path,
    code,
    imports: found.filter((specifier) => specifier.startsWith("."))
      .map((specifier) => new URL(specifier, url).href.slice(root.href.length)),
    packages: found.filter((specifier) => !specifier.startsWith(".")),
  };
}

async function readLibrary(): Promise<File[]> {
  const files = [await read("mod.ts")];
  for (const folder of ["pool/", "transport/"]) {
    for await (const path of sources(folder)) files.push(await read(path));
  }
  return files;
}

const library = await readLibrary();
const folderOf = (path: string) => path.slice(0, path.lastIndexOf("/") + 1);

/** Every import of the library that breaks a rule. */
function offences(isWrong: (from: File, to: string) => boolean): string[] {
  return library.flatMap((file) =>
    file.imports.filter((to) => isWrong(file, to))
      .map((to) => `${file.path} imports ${to}`)
  );
}

Deno.test("the top level holds what a repository needs, and nothing else", async () => {
  const git = new Deno.Command("git", {
    args: ["ls-files"],
    cwd: root,
    stderr: "null",
  });
  const { success, stdout } = await git.output().catch(() => ({
    success: false,
    stdout: null,
  }));
  // Without git, in an unpacked archive, nobody can say what belongs to it.
  if (!success || stdout === null) return;
  const paths = new TextDecoder().decode(stdout).trim().split("\n");
  assertEquals([...new Set(paths.map((path) => path.split("/")[0]))].sort(), [
    ".ci",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "bench",
    "deno.json",
    "deno.lock",
    "mod.ts",
    "pool",
    "tests",
    "transport",
  ]);
});

Deno.test("the library's imports were found at all", () => {
  const all = library.flatMap((file) => file.imports);
  assertEquals(all.length > 200 && library.length > 50, true);
  const lane = library.find((file) => file.path === "pool/lane/lane.ts");
  assertEquals(lane?.imports.includes("transport/connector.ts"), true);
});

Deno.test("the pool imports of the transports the folders that any adapter shares, and no adapter", () => {
  const wrong = offences(({ path }, to) =>
    path.startsWith("pool/") && !to.startsWith("pool/") &&
    path !== PROGRAM && !POOL_MAY_IMPORT.includes(folderOf(to)) &&
    !(path === PAIRING.file && folderOf(to) === PAIRING.adapter)
  );
  assertEquals(wrong, []);
});

Deno.test("the entry point that pairs the pool with an adapter is needed by nothing", () => {
  const wrong = offences((_file, to) => to === PAIRING.file || to === PROGRAM);
  assertEquals(wrong, []);
  assertEquals(
    library.some(({ path, imports }) =>
      path === PAIRING.file && imports.includes("pool/pool.ts")
    ),
    true,
  );
});

Deno.test("no transport imports the pool, and no adapter another", () => {
  const wrong = offences(({ path }, to) => {
    if (!path.startsWith("transport/")) return false;
    const own = ADAPTERS.find((folder) => path.startsWith(folder));
    return to.startsWith("pool/") || to === "mod.ts" ||
      (own !== undefined &&
        (to.startsWith("transport/testing/") ||
          ADAPTERS.some((other) => other !== own && to.startsWith(other))));
  });
  assertEquals(wrong, []);
});

Deno.test("the library imports neither bench nor tests", () => {
  const outside = offences((_file, to) =>
    !/^(pool\/|transport\/|mod\.ts$)/.test(to)
  );
  assertEquals(outside, []);
});

Deno.test("a file whose name begins with _ is used in its folder alone", () => {
  const wrong = offences((file, to) =>
    to.slice(folderOf(to).length).startsWith("_") &&
    !folderOf(file.path).startsWith(folderOf(to))
  );
  assertEquals(wrong, []);
});

Deno.test("an entry point exports nothing of a file whose name begins with _", () => {
  const wrong = library.filter(({ path }) => /(^|\/)mod\.ts$/.test(path))
    .flatMap(({ path, code }) =>
      [...code.matchAll(/^export[^;]*from\s+"([^"]*\/_[^"]*)"/gm)]
        .map(([, from]) => `${path} exports from ${from}`)
    );
  assertEquals(wrong, []);
});

Deno.test("no files import each other in a circle, not even for a type", () => {
  const byPath = new Map(library.map((file) => [file.path, file]));
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) {
      circles.push([...trail.slice(trail.indexOf(path)), path].join(" -> "));
      return;
    }
    if (done.has(path)) return;
    for (const to of byPath.get(path)?.imports ?? []) {
      visit(to, [...trail, path]);
    }
    done.add(path);
  };
  for (const path of byPath.keys()) visit(path, []);
  assertEquals(circles, []);
});

Deno.test("the library runs without Deno, and without syntax that Node 20 lacks", () => {
  const wrong = library.filter(({ code }) =>
    /\bDeno\.(?!unrefTimer)/.test(code.replaceAll("Deno?.", "")) ||
    /^\s*(await )?using \w+ =/m.test(code)
  ).map(({ path }) => path);
  assertEquals(wrong, []);
});

/** Packages of npm, and the one place where each is used. */
const PLACES: Readonly<Record<string, string>> = {
  "@nats-io/kv": PROGRAM,
  "@nats-io/transport-node": PROGRAM,
  "@noble/post-quantum": "transport/ssh2/dial/_kem.ts",
  "@opentelemetry/api": "pool/otel/",
  "bcrypt-pbkdf": "transport/ssh2/auth/_key_ciphers.ts",
  ssh2: "transport/",
  "yocto-spinner": "pool/progress.ts",
};

Deno.test("each package of npm is used in its place alone, and the pool itself uses none", () => {
  const packages = library.flatMap((file) =>
    file.packages.filter((name) =>
      !name.startsWith("node:") &&
      !Object.entries(PLACES).some(([known, place]) =>
        (name === known || name.startsWith(`${known}/`)) &&
        file.path.startsWith(place)
      )
    ).map((name) => `${file.path} imports ${name}`)
  );
  assertEquals(packages, []);
});

Deno.test("nothing of the library needs ./otel, which costs those nothing who do not import it", () => {
  const wrong = offences(({ path }, to) =>
    to.startsWith("pool/otel/") && !path.startsWith("pool/otel/")
  );
  assertEquals(wrong, []);
});

interface Dependency {
  readonly specifier: string;
  readonly code?: { readonly specifier?: string };
  readonly type?: { readonly specifier?: string };
}

Deno.test("the entry point ./pool loads no module of npm", async () => {
  const entry = new URL("pool/mod.ts", root).href;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", entry],
  }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as {
    modules: { specifier: string; dependencies?: Dependency[] }[];
  };
  const reached = modules.flatMap(({ specifier, dependencies = [] }) => [
    specifier,
    ...dependencies.flatMap(({ code, type }) => [
      code?.specifier,
      type?.specifier,
    ]),
  ]);
  const foreign = reached.filter((specifier) =>
    specifier !== undefined &&
    !/^(node:|file:)/.test(specifier)
  );
  assertEquals(foreign, []);
  const own = reached.filter((specifier) => specifier?.startsWith("file:"));
  assertEquals(own.filter((specifier) => specifier?.includes("ssh2")), []);
});

Deno.test("what is private in ssh2 is declared in one file, and what is private in a class of ours is a #name", () => {
  const declares = /\breadonly _\w+|as unknown as \{[^}]*\b_\w+|\["?_[a-z]/;
  const wrong = library
    .filter(({ path }) => path !== "transport/ssh2/fence/internals.ts")
    .filter(({ code }) => declares.test(code))
    .map(({ path }) => path);
  assertEquals(wrong, []);
});

/** What the tests and benches are made of: path and code. */
const tests: File[] = [];
for await (const path of sources("tests/")) tests.push(await read(path));

/** What a process has once, and test files are threads of one process. */
const SHARED =
  /\b(Deno|process)\.(env\.(set|delete)|chdir|umask)\(|\bprocess\.env(\.\w+|\[[^\]]+\])\s*=[^=]|delete process\.env|\bDeno\.exitCode\s*=|\bprocess\.exitCode\s*=/;

Deno.test("no test changes the environment, the folder or the umask that all test files share", () => {
  const sample = "Deno.env.set(name, value)";
  assertEquals(SHARED.test(sample), true);
  const wrong = tests.filter(({ code }) =>
    SHARED.test(code.replaceAll(`"${sample}"`, ""))
  ).map(({ path }) => path);
  assertEquals(wrong, [], "use runInChild() of tests/kit/child.ts");
});

Deno.test("all chance of a test is drawn from the seed of the run", () => {
  const wrong = tests.filter(({ path, code }) =>
    path !== "tests/kit/random.ts" && path !== "tests/structure_test.ts" &&
    /new Random\([^)]*(Date|Math\.random|crypto)|env\.get\("SSHPOOL_SEED/
      .test(code)
  ).map(({ path }) => path);
  assertEquals(wrong, []);
});

Deno.test("a module does nothing when it is imported but define what is in it", () => {
  const defines =
    /^(?:(?:import|export|const|let|function|async|class|abstract|interface|type)\b|[})\]>]|$)/;
  const modules = library.filter(({ path }) => path !== PROGRAM);
  const effects = modules.flatMap(({ path, code }) =>
    code.replace(/`(?:[^`\\]|\\[\s\S])*`/g, "``").split("\n")
      .filter((line) => !line.startsWith(" ") && !defines.test(line))
      .map((line) => `${path}: ${line}`)
  );
  assertEquals(effects, []);
});

Deno.test("the main entry gives its own pool a connector, and that of ./pool none", async () => {
  const [main, alone] = await Promise.all([
    import("../mod.ts"),
    import("../pool/mod.ts"),
  ]);
  await using pool = new main.ConnectionPool();
  assertEquals(pool instanceof alone.ConnectionPool, true);
  assertThrows(
    () => new alone.ConnectionPool({} as never),
    TypeError,
    "connector is undefined",
  );
});

/** The floors of the pool from above to below; a file or folder is a room. */
const FLOORS: readonly (readonly string[])[] = [
  [
    "mod.ts",
    "nats.ts",
    "nats_worker.ts",
    "otel/",
    "prefix_output.ts",
    "progress.ts",
  ],
  ["pool.ts"],
  ["core/"],
  ["calls/"],
  ["fan_out.ts", "forward.ts", "lease.ts", "template.ts", "lane/"],
  ["connection/"],
  ["limits/", "options.ts"],
  ["telemetry/"],
];

const poolFiles = library.filter(({ path }) => path.startsWith("pool/"));

/** The room of a file of the pool. */
function roomOf(path: string): string {
  const [, first = "", rest] = path.split("/");
  return rest === undefined ? first : `${first}/`;
}

Deno.test("the pool has at most 18 rooms on 10 floors, and no import runs up", () => {
  const floorOf = new Map(
    FLOORS.flatMap((rooms, floor) => rooms.map((room) => [room, floor])),
  );
  const rooms = new Set(poolFiles.map(({ path }) => roomOf(path)));
  assertEquals([...rooms].sort(), [...floorOf.keys()].sort());
  assertEquals(rooms.size <= 18 && FLOORS.length <= 10, true);
  const upward = poolFiles.flatMap(({ path, imports }) =>
    imports.filter((to) =>
      to.startsWith("pool/") &&
      floorOf.get(roomOf(to))! < floorOf.get(roomOf(path))!
    ).map((to) => `${path} imports ${to}`)
  );
  assertEquals(upward, []);
});

Deno.test("no file of the library has more than 300 lines of code", () => {
  const long = library.flatMap(({ path, code }) => {
    const lines = code.split("\n").filter((line) => line.trim() !== "").length;
    return lines > 300 ? [`${path}: ${lines}`] : [];
  });
  assertEquals(long, []);
});

Deno.test("a name that a file exports occurs once in the library", () => {
  const files = new Map<string, string[]>();
  for (const { path, code } of library) {
    const exported = code.matchAll(
      /^export (?:declare )?(?:abstract )?(?:async )?(?:class|function\*?|const|let|interface|type|enum) (\w+)/gm,
    );
    // The overloads of a function are one name.
    for (const name of new Set([...exported].map(([, name = ""]) => name))) {
      files.set(name, [...files.get(name) ?? [], path]);
    }
  }
  assertEquals(files.size > 600, true);
  // The main entry's class, which has a connector of its own, is that of ./pool.
  files.set(
    "ConnectionPool",
    files.get("ConnectionPool")!.filter((path) => path !== "mod.ts"),
  );
  const twice = [...files].filter(([, paths]) => paths.length > 1);
  assertEquals(twice, []);
});
