// deno-lint-ignore-file no-console
// A program of CommonJS, and a test of Jest in its default mode.
const { ConnectionPool, DialError } = require("@sshpool/sshpool");
const { ConnectionPool: Bare } = require("@sshpool/sshpool/pool");
const { EmbeddedServer, MemoryConnector } = require(
  "@sshpool/sshpool/testing",
);

async function main() {
  const server = await EmbeddedServer.start({
    commands: { uptime: { stdout: "up 3 days\n" } },
  });
  const pool = new ConnectionPool({ config: false });
  const { stdout } = await pool.exec(server.host(), "uptime");
  const error = await pool.exec("ops@127.0.0.1:1", "true").catch((e) => e);
  await pool.close();
  await server.close();
  const bare = new Bare({
    connector: new MemoryConnector({ commands: { id: { stdout: "me" } } }),
    config: false,
  });
  const fake = await bare.exec("ops@web-1", "id");
  await bare.close();
  return [stdout, error instanceof DialError, fake.stdout];
}

if (typeof test === "function") {
  test("the package works", async () => {
    expect(await main()).toEqual(["up 3 days\n", true, "me"]);
  });
} else main().then((found) => console.log(JSON.stringify(found)));
