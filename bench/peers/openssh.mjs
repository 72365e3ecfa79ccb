/**
 * The programs `ssh` and `sftp`: a process and a connection for each command,
 * or, set by hand, a process for each command over a master connection.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Gate, runTask } from "./kit.mjs";

await runTask(({ isTuned, name }) => {
  const gate = new Gate(8);
  // A master carries the commands of many callers in either case: a thousand
  // dials are another row.
  const hasMaster = isTuned || name === "burst";
  const masters = new Set();

  function optionsOf({ port, keyPath, knownHosts }) {
    const options = {
      IdentityFile: keyPath,
      IdentitiesOnly: "yes",
      UserKnownHostsFile: knownHosts,
      StrictHostKeyChecking: "yes",
      BatchMode: "yes",
      LogLevel: "ERROR",
      Port: port,
    };
    return ["-F", "none", ...pairs(options)];
  }

  async function open(host) {
    const target = `${host.user}@${host.hostname}`;
    const client = { options: optionsOf(host), target };
    if (hasMaster) {
      client.dir = mkdtempSync(join(tmpdir(), "peer-"));
      client.options.push("-o", `ControlPath=${join(client.dir, "master")}`);
      masters.add(client);
      // It goes to the background when it is logged in.
      await run("ssh", ["-M", "-N", "-f", ...client.options, target], true);
    } else if (name === "dial") {
      await run("ssh", [...client.options, target, "true"]);
    }
    return client;
  }

  const command = ({ options, target }, line) =>
    run("ssh", [...options, target, line]);
  const exec = async (client, line) => {
    const work = () => command(client, line);
    return String(isTuned ? await gate.run(work, () => false) : await work());
  };
  const sftp = ({ options, target }, line) =>
    run("sftp", ["-q", "-b", "-", ...options, target], false, `${line}\n`);

  async function close(client) {
    if (!masters.delete(client)) return;
    const { dir, options, target } = client;
    // One that could not log in has ended.
    await run("ssh", ["-O", "exit", ...options, target], true).catch(() => {});
    rmSync(dir, { recursive: true, force: true });
  }

  return {
    open: (host) =>
      isTuned ? gate.run(() => open(host), isDropped) : open(host),
    exec,
    drain: async (client, line) => (await command(client, line)).length,
    put: (client, here, there) => sftp(client, `put ${here} ${there}`),
    get: (client, there, here) => sftp(client, `get ${there} ${here}`),
    close,
    end: async () => void await Promise.all([...masters].map(close)),
  };
});

function pairs(options) {
  return Object.entries(options).flatMap(([name, value]) => [
    "-o",
    `${name}=${value}`,
  ]);
}

function isDropped({ message }) {
  return /kex_exchange|reset by peer|Connection closed/.test(message);
}

/** Runs a program, and gives what it wrote. */
function run(program, args, isDetached = false, input = "") {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      // A master in the background would keep a pipe open for ever.
      stdio: [
        "pipe",
        isDetached ? "ignore" : "pipe",
        isDetached ? "ignore" : "pipe",
      ],
      env: process.env,
    });
    const [out, err] = [[], []];
    child.stdout?.on("data", (chunk) => out.push(chunk));
    child.stderr?.on("data", (chunk) => err.push(chunk));
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(Buffer.concat(out));
      else reject(new Error(`Exit code ${code}: ${Buffer.concat(err)}`));
    });
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}
