/** What `otel_test.ts` runs with Deno's built-in OpenTelemetry. */

import { trace } from "@opentelemetry/api";
import { ConnectionPool } from "../../mod.ts";
import { instrument } from "../../pool/otel/mod.ts";
import { EmbeddedServer } from "../../transport/testing/mod.ts";

instrument();
const server = await EmbeddedServer.start({ commands: { three: { code: 3 } } });
const pool = new ConnectionPool({ name: "fleet", maxConnections: 7 });
const tracer = trace.getTracer("program");
await tracer.startActiveSpan("deploy", async (span) => {
  await Promise.resolve();
  await pool.exec(server.host(), "three");
  span.end();
});
const lease = await pool.acquire(server.host());
// The metrics are read meanwhile.
for await (const _ of Deno.stdin.readable);
lease.release();
await pool.close();
await server.close();
