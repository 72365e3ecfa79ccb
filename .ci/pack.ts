/**
 * Builds the npm package: `deno task pack --output FILE`.
 *
 * `deno pack` makes JavaScript and types from the sources. What a package.json
 * holds and deno.json has no place for is added here, and a copy of the modules
 * for those who `require()` them where Node cannot load ES modules so: before
 * 20.19 and 22.12, and in Jest.
 *
 * @module
 */

import { build, stop } from "esbuild";
import { parseArgs } from "node:util";
import { dirname, join, relative, resolve } from "node:path";

const root = new URL("../", import.meta.url);

/** What deno.json has no place for. */
const ABOUT = {
  description:
    "SSH connection pool: one dial per host however many callers ask, " +
    "thousands of commands over a handful of connections",
  keywords: [
    "ssh",
    "ssh2",
    "sftp",
    "pool",
    "connection-pool",
    "exec",
    "jump-host",
    "port-forwarding",
    "ssh-config",
    "known-hosts",
    "deno",
    "bun",
  ],
  // The first Node 20 with long-term support. Files need AbortSignal.any(), which
  // is in 20.3; the tests run in the newest 20.
  engines: { node: ">=20.9" },
  // No module does anything but define what it exports.
  sideEffects: false,
};

/** What is read of deno.json. */
interface DenoJson {
  readonly name: string;
  readonly version: string;
  readonly exports: Readonly<Record<string, string>>;
  readonly imports: Readonly<Record<string, string>>;
}

/** What is written to package.json. */
export interface PackageJson {
  readonly name: string;
  readonly version: string;
  readonly exports: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

/** Options for {@linkcode pack}. */
export interface PackOptions {
  /** The tarball to write. Default: in the current folder, named as npm does. */
  readonly output?: string | undefined;
  /** Whether the work tree may have changes that are not committed. */
  readonly allowDirty?: boolean;
}

/**
 * Builds the tarball.
 *
 * @param options Where to write it.
 * @returns Its path.
 */
export async function pack(options: PackOptions = {}): Promise<string> {
  const dir = await Deno.makeTempDir({ prefix: "sshpool-pack-" });
  try {
    const made = join(dir, "deno.tgz");
    await run(Deno.execPath(), [
      "pack",
      "--quiet",
      "--no-source-maps",
      `--output=${made}`,
      ...options.allowDirty ? ["--allow-dirty"] : [],
    ]);
    await run("tar", ["-xzf", made, "-C", dir]);
    const folder = join(dir, "package");
    await removeSources(folder);
    await addCommonJs(folder);
    await completeManifest(folder);
    const [{ filename }] = JSON.parse(
      await run("npm", ["pack", folder, "--json", "--pack-destination", dir]),
    );
    const output = resolve(options.output ?? filename);
    await Deno.copyFile(join(dir, filename), output);
    return output;
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** `deno pack` adds the sources that no entry point reaches, as they are. */
async function removeSources(folder: string): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) await removeSources(path);
    else if (/(?<!\.d)\.ts$/.test(name)) await Deno.remove(path);
  }
}

/** The folder of the modules for `require()`. */
const COMMON_JS = "cjs";

/**
 * What is an ES module alone, so that those who `require()` us could not load it.
 * Their copy is part of our package.
 */
const ES_MODULE = "@noble/post-quantum/ml-kem.js";

async function* filesBelow(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* filesBelow(join(folder, name));
    else yield join(folder, name);
  }
}

/**
 * Adds each module as CommonJS too, file by file, so that a class is one class
 * whichever entry point it comes from, with types that say so.
 */
async function addCommonJs(folder: string): Promise<void> {
  const files = await Array.fromAsync(filesBelow(folder));
  const outdir = join(folder, COMMON_JS);
  const copy = join(outdir, "ml_kem.js");
  try {
    await bundle(ES_MODULE, copy);
    await build({
      entryPoints: files.filter((file) => file.endsWith(".js")),
      outbase: folder,
      outdir,
      format: "cjs",
      platform: "node",
      target: "node20.9",
      // Jest loads no ES module from a CommonJS one, not even so.
      supported: { "dynamic-import": false },
      // The worker's program asks whether it was started: as CommonJS it is not.
      logOverride: { "empty-import-meta": "silent" },
    });
  } finally {
    await stop();
  }
  for await (const file of filesBelow(outdir)) {
    const text = await Deno.readTextFile(file);
    const path = relative(dirname(file), copy);
    await Deno.writeTextFile(
      file,
      text.replaceAll(`require("${ES_MODULE}")`, `require("${path}")`),
    );
  }
  for (const file of files.filter((file) => file.endsWith(".d.ts"))) {
    const copy = join(outdir, relative(folder, file));
    await Deno.mkdir(dirname(copy), { recursive: true });
    await Deno.copyFile(file, copy);
  }
  await Deno.writeTextFile(
    join(outdir, "package.json"),
    JSON.stringify({ type: "commonjs" }) + "\n",
  );
}

/** Makes one CommonJS file of a module of npm, with its licence. */
async function bundle(specifier: string, outfile: string): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "sshpool-bundle-" });
  try {
    const config = JSON.parse(
      await Deno.readTextFile(new URL("deno.json", root)),
    );
    const [scope, name] = specifier.split("/");
    const version = versionOf(`${scope}/${name}`, config);
    const options = ["--prefix", dir, "--no-audit", "--no-fund", "--silent"];
    await run("npm", ["install", ...options, `${scope}/${name}@${version}`]);
    await build({
      stdin: { contents: `export * from "${specifier}";`, resolveDir: dir },
      bundle: true,
      format: "cjs",
      platform: "node",
      target: "node20.9",
      legalComments: "inline",
      outfile,
    });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** A file of the package as `require()` gets it. */
function commonJsOf(path: string): string {
  return path.replace(/^\.\//, `./${COMMON_JS}/`);
}

/**
 * What each entry point is for `import` and for `require()`. Where Node can
 * `require()` an ES module, both get the same one ("module-sync"), so that there
 * is one class of each name in the process. Bun can, and does not know that name.
 */
function conditionsOf(made: PackageJson): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(made.exports).map(([name, { types, import: js }]) => {
      const module = { types, default: js };
      const commonJs = {
        types: commonJsOf(types!),
        default: commonJsOf(js!),
      };
      return [name, {
        import: module,
        "module-sync": module,
        bun: module,
        require: commonJs,
        default: js,
      }];
    }),
  );
}

/** The types of the sub-paths, for TypeScript that does not read `exports`. */
function typesVersions(made: PackageJson) {
  const paths = Object.entries(made.exports).filter(([name]) => name !== ".")
    .map(([name, { types }]) => [
      name.slice("./".length),
      [commonJsOf(types!)],
    ]);
  return { "*": Object.fromEntries(paths) };
}

/** Adds to the package.json what `deno pack` leaves out, and checks the rest. */
async function completeManifest(folder: string): Promise<void> {
  const path = join(folder, "package.json");
  const made: PackageJson = JSON.parse(await Deno.readTextFile(path));
  const config: DenoJson = JSON.parse(
    await Deno.readTextFile(new URL("deno.json", root)),
  );
  checkExports(made, config);
  await checkFiles(made, folder);
  await addDisposable(made, folder);
  const { name, version, dependencies: found, exports: _, ...rest } = made;
  const { types, import: js } = made.exports["."]!;
  const manifest = {
    name,
    version,
    description: ABOUT.description,
    keywords: ABOUT.keywords,
    ...repository(),
    ...rest,
    main: commonJsOf(js!),
    types: commonJsOf(types!),
    exports: conditionsOf(made),
    typesVersions: typesVersions(made),
    engines: ABOUT.engines,
    sideEffects: ABOUT.sideEffects,
    ...await dependencies(Object.keys(found ?? {}), config),
  };
  await Deno.writeTextFile(path, JSON.stringify(manifest, null, 2) + "\n");
}

/** Provenance holds only if this is the repository that the workflow runs in. */
function repository() {
  const name = Deno.env.get("GITHUB_REPOSITORY") ?? "sshpool/sshpool";
  const url = `https://github.com/${name}`;
  return {
    homepage: `${url}#readme`,
    bugs: `${url}/issues`,
    repository: { type: "git", url: `git+${url}.git` },
  };
}

function checkExports(made: PackageJson, config: DenoJson): void {
  const [ours, theirs] = [config.exports, made.exports].map((exports) =>
    Object.keys(exports).sort().join(", ")
  );
  if (ours === theirs) return;
  throw new Error(`Cannot pack: exports are ${theirs}, must be ${ours}`);
}

/** `deno pack` leaves out the types that it cannot make, and says it only. */
async function checkFiles(made: PackageJson, folder: string): Promise<void> {
  for (const [name, conditions] of Object.entries(made.exports)) {
    for (const file of ["types", "import", "default"]) {
      const path = conditions[file];
      if (path !== undefined) await Deno.stat(join(folder, path));
      else throw new Error(`Cannot pack: export ${name} has no ${file}`);
    }
  }
}

/**
 * The types name `AsyncDisposable`, which TypeScript has from 5.2 on but does
 * not load unless it is told to.
 */
async function addDisposable(made: PackageJson, folder: string): Promise<void> {
  const entries = Object.values(made.exports).map(({ types }) => types!);
  for (const types of [...entries, ...entries.map(commonJsOf)]) {
    const path = join(folder, types);
    const text = await Deno.readTextFile(path);
    const lib = '/// <reference lib="esnext.disposable" />\n';
    await Deno.writeTextFile(path, lib + text);
  }
}

/**
 * The versions are those of deno.json: ssh2 is exact there, since its internals
 * are used. What only a sub-path needs is for those who use that to install.
 */
async function dependencies(names: readonly string[], config: DenoJson) {
  const needed = await packagesOf(config.exports["."]!);
  const versions = (isWanted: (name: string) => boolean) =>
    Object.fromEntries(
      names.filter(isWanted).map((name) => [name, versionOf(name, config)]),
    );
  const required = versions((name) => needed.has(name));
  const peers = versions((name) => !needed.has(name));
  const optional = Object.keys(peers).map((name) => [name, { optional: true }]);
  return {
    dependencies: required,
    ...optional.length === 0 ? {} : {
      peerDependencies: peers,
      peerDependenciesMeta: Object.fromEntries(optional),
    },
  };
}

function versionOf(name: string, { imports }: DenoJson): string {
  const start = `npm:${name}@`;
  const specifier = imports[name];
  if (specifier?.startsWith(start)) return specifier.slice(start.length);
  throw new Error(`Cannot pack: deno.json does not import ${name} from npm`);
}

/** The packages of npm that an entry point loads, at once or later. */
async function packagesOf(entry: string): Promise<Set<string>> {
  const file = new URL(entry, root).href;
  const graph = JSON.parse(
    await run(Deno.execPath(), ["info", "--json", file]),
  ) as {
    modules: { dependencies?: { code?: { specifier?: string } }[] }[];
  };
  const specifiers = graph.modules.flatMap(({ dependencies = [] }) =>
    dependencies.map(({ code }) => code?.specifier ?? "")
  );
  return new Set(specifiers.flatMap((specifier) => {
    const [, name] = /^npm:\/?(@[^/]+\/[^@/]+|[^@/]+)/.exec(specifier) ?? [];
    return name === undefined ? [] : [name];
  }));
}

/** Runs a command in the project's folder and gives what it prints. */
async function run(command: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(command, {
    args: [...args],
    cwd: root,
    stdin: "null",
  }).output();
  const [out, err] = [stdout, stderr].map((b) => new TextDecoder().decode(b));
  if (code === 0) return out!;
  throw new Error(`Cannot pack: ${command} ${args[0]} failed: ${err || out}`);
}

if (import.meta.main) {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      output: { type: "string", short: "o" },
      "allow-dirty": { type: "boolean", default: false },
    },
  });
  const path = await pack({
    output: values.output,
    allowDirty: values["allow-dirty"],
  });
  await Deno.stdout.write(new TextEncoder().encode(`${path}\n`));
}
