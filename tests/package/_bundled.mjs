// deno-lint-ignore-file no-console
// Bundled by each tool, then run beside the packages that stay outside.
import { ConnectionPool } from "@sshpool/sshpool";

const { command, ...host } = JSON.parse(process.argv[2]);
const pool = new ConnectionPool({ config: false });
try {
  const { stdout } = await pool.exec(host, command);
  console.log(JSON.stringify([stdout]));
} catch ({ message, hint }) {
  console.log(JSON.stringify([message, hint]));
}
await pool.close();
