import { assertEquals } from "@std/assert";
import { userInfo } from "node:os";

const from = (path: string) =>
  JSON.stringify(new URL(`../../../transport/${path}`, import.meta.url).href);

/** Runs a script with a `HOME` that is not the one of the user database. */
async function run(code: string, permissions: string[]): Promise<string> {
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--no-prompt", "--quiet", "--no-lock", ...permissions],
      `data:application/typescript,${encodeURIComponent(code)}`,
    ],
    env: { NO_COLOR: "1", HOME: "/elsewhere/" },
  }).output();
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}

const LOCAL = `
  import { expandHome, homeDirectory } from ${from("host/local_user.ts")};
  console.log(homeDirectory(), expandHome("~"), expandHome("~/x"),
    expandHome("/x"), expandHome("~ops/x"));
`;

Deno.test("homeDirectory() is that of the user database, whatever HOME says, as in OpenSSH", async () => {
  const { homedir } = userInfo();
  assertEquals(
    await run(LOCAL, ["--allow-all"]),
    `${homedir} ${homedir} ${homedir}/x /x ~ops/x\n`,
  );
});

Deno.test("homeDirectory() is HOME where the user database may not be asked, and else unknown", async () => {
  assertEquals(
    await run(LOCAL, ["--allow-env=HOME"]),
    "/elsewhere /elsewhere /elsewhere/x /x ~ops/x\n",
  );
  assertEquals(
    await run(LOCAL, []),
    "undefined undefined undefined /x ~ops/x\n",
  );
});

Deno.test("~ and %d of ssh_config, and the files that it includes, are of one home", async () => {
  const { homedir } = userInfo();
  const dir = await Deno.makeTempDir({ prefix: "sshpool-home-" });
  try {
    const lines = [
      "Include ~/sshpool-no-such-file",
      "Include sshpool-no-such-file",
      "IdentityFile ~/a",
      "IdentityFile %d/b",
      "CertificateFile ~/c",
      "UserKnownHostsFile ~/d",
      "IdentityAgent ~/e",
      "",
    ];
    await Deno.writeTextFile(`${dir}/config`, lines.join("\n"));
    const code = `
      import { loadFiles } from ${from("ssh_config/_load.ts")};
      import { loadSshConfig } from ${from("ssh_config/mod.ts")};
      import { homeDirectory } from ${from("host/local_user.ts")};
      const path = ${JSON.stringify(`${dir}/config`)};
      const { host } = (await loadSshConfig({ files: [path] })).compute("h");
      const root = { path, user: true, optional: false, checkMode: false };
      const { watched } = await loadFiles([root], homeDirectory);
      console.log([...host.identityFile, ...host.certificateFile,
        ...host.knownHostsFiles, host.agent, ...watched.keys()].join("\\n"));
    `;
    assertEquals((await run(code, ["--allow-all"])).trim().split("\n"), [
      ...["a", "b", "c", "d", "e"].map((it) => `${homedir}/${it}`),
      `${dir}/config`,
      `${homedir}/sshpool-no-such-file`,
      `${homedir}/.ssh/sshpool-no-such-file`,
    ]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
