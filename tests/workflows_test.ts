/** The workflows: what they may do, and what has to hold before they publish. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { parse } from "yaml";
import config from "../deno.json" with { type: "json" };

const root = new URL("../", import.meta.url);
const folder = new URL(".github/workflows/", root);

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}

interface Job {
  readonly uses?: string;
  readonly needs?: readonly string[];
  readonly permissions?: Readonly<Record<string, string>>;
  readonly steps?: readonly Step[];
  readonly "timeout-minutes"?: number;
}

interface Workflow {
  readonly name: string;
  readonly text: string;
  readonly on: Readonly<Record<string, unknown>>;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, Job>>;
}

async function readWorkflows(): Promise<Workflow[]> {
  const workflows: Workflow[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    const text = await Deno.readTextFile(new URL(name, folder));
    workflows.push({ ...parse(text), text });
  }
  return workflows.sort((a, b) => a.name < b.name ? -1 : 1);
}

const workflows = await readWorkflows();
const [ci, publish] = workflows as [Workflow, Workflow];

const stepsOf = ({ steps = [] }: Job) => steps;
const jobs = workflows.flatMap((workflow) => Object.values(workflow.jobs));
const steps = jobs.flatMap(stepsOf);

/** The jobs that may ask for a token of the publisher. */
const publishers = Object.entries(publish.jobs)
  .filter(([, { permissions }]) => permissions?.["id-token"] !== undefined);

Deno.test("the workflows are found: ci and publish", () => {
  assertEquals(workflows.map(({ name }) => name), ["ci", "publish"]);
  assertEquals(publishers.map(([name]) => name), ["jsr", "npm"]);
});

Deno.test("every action is pinned by its commit, with its version beside it", () => {
  const uses = workflows.flatMap(({ text }) =>
    text.split("\n").filter((line) => /\buses:/.test(line))
  );
  const used = jobs.filter(({ uses }) => uses !== undefined).length +
    steps.filter(({ uses }) => uses !== undefined).length;
  assertEquals(uses.length, used);
  for (const line of uses) {
    if (line.trim() === "uses: ./.github/workflows/ci.yml") continue;
    assertMatch(
      line,
      /^\s*- uses: actions\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/,
    );
  }
});

Deno.test("an action has one commit, wherever it is used", () => {
  const pins = new Map<string, string>();
  for (const { uses } of steps) {
    if (uses === undefined) continue;
    const [action = "", commit = ""] = uses.split("@");
    assertEquals(pins.get(action) ?? commit, commit, action);
    pins.set(action, commit);
  }
  assert(pins.size > 0);
});

Deno.test("the workflows may read the sources, and nothing else but prove who publishes", () => {
  assertEquals(ci.permissions, { contents: "read" });
  assertEquals(publish.permissions, {});
  for (const job of Object.values(ci.jobs)) {
    assertEquals(job.permissions, undefined);
  }
  for (const [name, job] of Object.entries(publish.jobs)) {
    const isPublisher = publishers.some(([publisher]) => publisher === name);
    assertEquals(
      job.permissions,
      isPublisher
        ? { contents: "read", "id-token": "write" }
        : { contents: "read" },
      name,
    );
  }
});

Deno.test("no workflow holds a secret, runs for a stranger's request with rights, or puts text into a script", () => {
  for (const { text, on } of workflows) {
    assertEquals(/\bsecrets\b|_TOKEN\b/.test(text), false);
    assertEquals(Object.keys(on).includes("pull_request_target"), false);
  }
  for (const { uses = "", run = "", with: options } of steps) {
    assertEquals(run.includes("${{"), false, run);
    if (!uses.startsWith("actions/checkout@")) continue;
    assertEquals(options?.["persist-credentials"], false);
  }
});

Deno.test("every job that runs steps ends in time", () => {
  for (const job of jobs) {
    if (job.steps !== undefined) assert(job["timeout-minutes"]! <= 90);
  }
});

Deno.test("ci runs .ci/run", () => {
  const runs = Object.values(ci.jobs).flatMap(stepsOf).map(({ run }) => run);
  assertEquals(runs.filter((run) => run?.endsWith("bash .ci/run")).length, 1);
  assertEquals(
    Object.keys(ci.on).sort(),
    ["pull_request", "push", "workflow_call"],
  );
});

Deno.test("publish runs for a tag alone, after the tests and the check of the version", () => {
  assertEquals(publish.on, { push: { tags: ["v*"] } });
  assertEquals(publish.jobs["test"]?.uses, "./.github/workflows/ci.yml");
  for (const [name, { needs }] of publishers) {
    assertEquals(needs, ["version", "test"], name);
  }
});

Deno.test("publish needs a tag that is equal to the version in deno.json", async () => {
  const scripts = stepsOf(publish.jobs["version"]!).flatMap(({ run }) =>
    run ?? []
  );
  assertEquals(scripts.length, 1);
  const isAccepted = async (tag: string) => {
    const { success } = await new Deno.Command("bash", {
      args: ["-e", "-c", scripts[0]!],
      cwd: root,
      env: { GITHUB_REF_NAME: tag },
      stderr: "null",
    }).output();
    return success;
  };
  assertEquals(await isAccepted(`v${config.version}`), true);
  for (
    const tag of ["v", config.version, `v${config.version}0`, "v9.9.9", "main"]
  ) {
    assertEquals(await isAccepted(tag), false, tag);
  }
});

Deno.test("publish goes to JSR and, with provenance, to npm", () => {
  const [jsr, npm] = publishers.map(([, job]) =>
    stepsOf(job).flatMap(({ run }) => run ?? [])
  );
  assertEquals(jsr, ["npx -y deno@2.9.6 publish"]);
  assertEquals(npm?.length, 2);
  assertMatch(npm![0]!, /^npx -y deno@2\.9\.6 task pack --output "([^"]+)"$/);
  const [, tarball] = /--output ("[^"]+")/.exec(npm![0]!)!;
  assertMatch(npm![1]!, /^npx -y npm@\d+\.\d+\.\d+ publish --provenance /);
  assert(npm![1]!.endsWith(` ${tarball}`));
});

Deno.test("the workflows and .ci/run use one version of Deno", async () => {
  const script = await Deno.readTextFile(new URL(".ci/run", root));
  const [, version] = /^deno_version=(\S+)$/m.exec(script)!;
  const named = workflows.flatMap(({ text }) =>
    [...text.matchAll(/\bdeno@(\S+)/g)].map(([, named]) => named)
  );
  assertEquals(new Set(named), new Set([version]));
});
