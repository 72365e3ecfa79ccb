/** The npm package in Next.js: built, and run as the standalone server that it makes. */

import { assertEquals } from "@std/assert";
import { EmbeddedServer } from "../../transport/testing/mod.ts";
import { freePort } from "../kit/ports.ts";
import { noNpm, PackageFolder, packageRuntimes } from "./_kit.ts";

const PACKAGES = ["next@16.4.6", "react@19.3.1", "react-dom@19.3.1"];

const FILES = {
  "next.config.mjs": `
export default {
  serverExternalPackages: ["@sshpool/sshpool"],
  output: "standalone",
};
`,
  "app/layout.jsx": `
export default function Layout({ children }) {
  return <html><body>{children}</body></html>;
}
`,
  "app/uptime/route.js": `
import { ConnectionPool } from "@sshpool/sshpool";

// One for all requests.
const pool = new ConnectionPool({ config: false });

export async function POST(request) {
  const { stdout } = await pool.exec(await request.json(), "uptime");
  return Response.json({ stdout, dials: pool.stats().counters.dials });
}
`,
};

const NEXT = { NEXT_TELEMETRY_DISABLED: "1" };

const node = packageRuntimes.find(({ name, command }) =>
  name.startsWith("Node") && command !== undefined
)?.command?.[0];

const asked = Deno.env.get("SSHPOOL_NEXT") === "1";

Deno.test({
  name: "a route of Next.js executes commands over one connection" +
    (asked ? "" : " (set SSHPOOL_NEXT=1 to run this test)"),
  ignore: !asked || noNpm || node === undefined,
  fn: async () => {
    await using folder = await PackageFolder.make(PACKAGES);
    for (const [name, text] of Object.entries(FILES)) {
      await folder.write(name, text);
    }
    const next = folder.file("node_modules", "next", "dist", "bin", "next");
    const built = await folder.run([node!, next, "build"], {
      env: NEXT,
      timeoutMs: 300_000,
    });
    assertEquals(built.code, 0, built.stderr);

    await using server = await EmbeddedServer.start({
      commands: { uptime: { stdout: "up 3 days" } },
    });
    const { hostname, port, user, hostKey } = server.host();
    const privateKey = server.clientKey;
    const body = JSON.stringify({ hostname, port, user, hostKey, privateKey });

    const stop = new AbortController();
    const ready = Promise.withResolvers<void>();
    const at = freePort();
    const ended = folder.run([node!, ".next/standalone/server.js"], {
      env: { ...NEXT, PORT: `${at}`, HOSTNAME: "127.0.0.1" },
      signal: stop.signal,
      onOutput: (text) => /ready/i.test(text) && ready.resolve(),
    });
    try {
      await Promise.race([
        ready.promise,
        ended.then(({ stderr }) => Promise.reject(new Error(stderr))),
      ]);
      const answers = [];
      for (let i = 0; i < 2; i++) {
        const url = `http://127.0.0.1:${at}/uptime`;
        const response = await fetch(url, { method: "POST", body });
        answers.push(await response.json());
      }
      const answer = { stdout: "up 3 days", dials: 1 };
      assertEquals(answers, [answer, answer]);
    } finally {
      stop.abort();
      await ended;
    }
  },
});
