/**
 * The treaty of `transport/connector.ts`: one body of tests, run over every
 * adapter and every server that there is.
 *
 * @module
 */

import { createServer, type Server } from "node:net";
import type { AddressInfo } from "node:net";
import {
  ChannelOpenError,
  ConnectionLostError,
  DialError,
  ExecTimeoutError,
  OutputLimitError,
} from "../../errors.ts";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  type Contract,
  disposing,
} from "./_contract.ts";

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

/** Resolves at the first byte of a stream; the rest is thrown away. */
async function firstBytes(stream: ReadableStream<Uint8Array>): Promise<string> {
  const reader = stream.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  stream.pipeTo(new WritableStream()).catch(() => {});
  return text(value);
}

/** Registers them. */
export function connectionTests(contract: Contract): void {
  contract(
    "gives an open connection to the host that was asked for",
    async (connection, rig) => {
      assertEquals([connection.isClosed, connection.openChannels], [false, 0]);
      assertEquals(connection.host.hostname, rig.host.hostname);
      const second = await rig.connector.connect(rig.host);
      await disposing(second, () => assert(second !== connection));
    },
  );

  contract(
    "runs a command and gives its code and both outputs",
    async (connection) => {
      assertEquals(await connection.exec("echo out; echo err >&2; exit 3"), {
        success: false,
        code: 3,
        signal: null,
        stdout: "out\n",
        stderr: "err\n",
      });
      assertEquals((await connection.exec(["echo", "it's"])).stdout, "it's\n");
    },
  );

  contract("says which signal ended a command", async (connection) => {
    const { success, code, signal } = await connection.exec("kill -KILL $$");
    assertEquals([success, code, signal], [false, null, "KILL"]);
  });

  contract(
    "feeds standard input as text, bytes and a stream",
    async (connection) => {
      const bytes = new Uint8Array(100_000).fill(0x62);
      const stream = () =>
        new ReadableStream<Uint8Array>({
          start(controller) {
            controller.enqueue(bytes);
            controller.close();
          },
        });
      assertEquals((await connection.exec("cat", { stdin: "a" })).stdout, "a");
      for (const stdin of [bytes, stream()]) {
        const result = await connection.exec("cat", {
          stdin,
          encoding: "bytes",
        });
        assertEquals(result.stdout, bytes);
      }
      assertEquals((await connection.exec("cat")).stdout, "");
    },
  );

  contract("sends environment variables", async (connection) => {
    const env = { LC_SSHPOOL: "on" };
    const { stdout } = await connection.exec("printenv LC_SSHPOOL", { env });
    assertEquals(stdout, "on\n");
  });

  contract("refuses an empty command", async (connection) => {
    await assertRejects(() => connection.exec(""), TypeError);
    assertEquals(connection.openChannels, 0);
  });

  contract(
    "rejects with reason 2 beyond the server's sessions",
    async (connection) => {
      const held = [
        await connection.spawn("cat"),
        await connection.spawn("cat"),
      ];
      assertEquals(connection.openChannels, 2);
      let opened = false;
      const error = await connection.exec("true", {
        onOpen: () => opened = true,
      })
        .catch((error) => error);
      assertInstanceOf(error, ChannelOpenError);
      assertEquals([error.reason, error.mayHaveRun, opened], [2, false, false]);
      const results = await Promise.all(
        held.map((process) => process.output()),
      );
      assertEquals(results.map(({ code }) => code), [0, 0]);
      assertEquals(connection.openChannels, 0);
    },
  );

  contract("calls onOpen once, before the result", async (connection) => {
    let opened = 0;
    await connection.exec("true", { onOpen: () => void opened++ });
    assertEquals(opened, 1);
  });

  contract(
    "streams both ways, and ends at the end of input",
    async (connection) => {
      const cat = await connection.spawn("cat");
      await disposing(cat, async () => {
        const writer = cat.stdin.getWriter();
        const reader = cat.stdout.getReader();
        await writer.write(new TextEncoder().encode("ping"));
        assertEquals(text((await reader.read()).value), "ping");
        await writer.close();
        assert((await reader.read()).done);
        await cat.stderr.cancel();
        assertEquals((await cat.status).code, 0);
      });
    },
  );

  contract("kills a process by signal", async (connection) => {
    const process = await connection.spawn("sleep 60");
    process.kill("TERM");
    const { success, signal } = await process.output();
    assertEquals([success, signal], [false, "TERM"]);
  });

  contract(
    "rejects at once with the reason of an abort, and frees the slot",
    async (connection) => {
      const controller = new AbortController();
      const { signal } = controller;
      const reason = new Error("enough");
      const running = connection.exec("sleep 60", {
        signal,
        onOpen: () => setTimeout(() => controller.abort(reason)),
      });
      assertStrictEquals(await running.catch((error) => error), reason);
      await assertRejects(
        () => connection.exec("true", { signal }),
        Error,
        "enough",
      );
      assertEquals(connection.isClosed, false);
    },
  );

  contract("times out, with the output so far", async (connection) => {
    // On a busy machine the output may come later than the first deadlines.
    for (let timeoutMs = 300;; timeoutMs *= 4) {
      const error = await connection.exec("echo so far; sleep 60", {
        timeoutMs,
      }).catch((error) => error);
      assertInstanceOf(error, ExecTimeoutError);
      assertEquals([error.timeoutMs, error.mayHaveRun], [timeoutMs, true]);
      const output = text(error.output?.stdout);
      if (output === "" && timeoutMs < 10_000) continue;
      assertEquals(output, "so far\n");
      return;
    }
  });

  contract(
    "stops a command that outgrows maxOutputBytes",
    async (connection) => {
      const error = await connection.exec("cat", {
        stdin: "x".repeat(100_000),
        maxOutputBytes: 1000,
      }).catch((error) => error);
      assertInstanceOf(error, OutputLimitError);
    },
  );

  contract(
    "fails what is in flight when the connection is lost",
    async (connection, rig) => {
      const process = await connection.spawn("echo so far; sleep 60");
      assertEquals(await firstBytes(process.stdout), "so far\n");
      await rig.lose();
      const error = await process.status.catch((error) => error);
      assertInstanceOf(error, ConnectionLostError);
      assertEquals(error.mayHaveRun, true);
      const { kind } = await connection.closed;
      assert(kind === "lost" || kind === "remote", kind);
      assertEquals(connection.isClosed, true);
      const late = await connection.exec("true").catch((error) => error);
      assertInstanceOf(late, ConnectionLostError);
      assertEquals(late.mayHaveRun, false);
    },
  );

  contract(
    "closes: at once, twice, and with what is in flight",
    async (connection) => {
      const process = await connection.spawn("cat");
      const closing = connection.close();
      assertEquals(connection.isClosed, true);
      await Promise.all([closing, connection.close()]);
      assertEquals(await connection.closed, { kind: "local" });
      assertInstanceOf(
        await process.status.catch((error) => error),
        ConnectionLostError,
      );
      assertEquals(connection.openChannels, 0);
    },
  );

  contract(
    "dials no further once its signal has aborted",
    async (_connection, rig) => {
      const reason = new Error("enough");
      const { connector, host } = rig;
      const before = AbortSignal.abort(reason);
      const error = await connector.connect(host, { signal: before })
        .catch((error) => error);
      assertStrictEquals(error, reason);
      const controller = new AbortController();
      const after = await connector.connect(host, {
        signal: controller.signal,
      });
      await disposing(after, async () => {
        controller.abort(reason);
        assertEquals((await after.exec("true")).code, 0);
      });
    },
  );

  contract(
    "forwards bytes both ways until the tunnel is closed",
    async (connection) => {
      const target: Server = createServer((socket) => {
        socket.on("error", () => {});
        socket.pipe(socket);
      });
      await new Promise<void>((resolve) =>
        target.listen(0, "127.0.0.1", resolve)
      );
      const { port } = target.address() as AddressInfo;
      const tunnel = await connection.forwardOut!({
        hostname: "127.0.0.1",
        port,
      });
      assertEquals(connection.openChannels, 0);
      const reader = tunnel.readable.getReader();
      const reading = reader.read();
      await tunnel.writable.getWriter().write(new TextEncoder().encode("ping"));
      assertEquals(text((await reading).value), "ping");
      tunnel.close();
      tunnel.close();
      await tunnel.closed;
      await new Promise((resolve) => target.close(resolve));
    },
    "forwardOut",
  );

  contract(
    "dials through a tunnel, and ends with it",
    async (connection, rig) => {
      const { hostname, port } = rig.host;
      const tunnel = await connection.forwardOut!({ hostname, port });
      const over = await rig.connector.connect(rig.host, { tunnel });
      assertEquals((await over.exec("echo hop")).stdout, "hop\n");
      await connection.close();
      assert((await over.closed).kind !== "local");
      assertEquals(over.isClosed, true);
    },
    "forwardOut",
  );

  contract("gives up at its deadline", async (_connection, rig) => {
    const silent = await rig.silent?.();
    if (silent === undefined) return;
    const error = await rig.connector.connect(silent, { timeoutMs: 300 })
      .catch((error) => error);
    assertInstanceOf(error, DialError);
    assertEquals(error.mayHaveRun, false);
  });
}
