/**
 * An sshd for programs that cannot start one themselves: it is asked for by
 * HTTP.
 *
 * @module
 */

import { startSshd } from "../kit/sshd.ts";

/**
 * Hands out one sshd, started again after it was killed: `POST /start` answers
 * with its host, `POST /kill` kills it.
 */
export async function serveSshd(): Promise<AsyncDisposable & { url: string }> {
  const sshd = await startSshd({ maxSessions: 2 });
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      if (request.url.endsWith("/kill")) await sshd.kill();
      else if (sshd.pid === 0) await sshd.restart();
      return Response.json(sshd.host());
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      await sshd[Symbol.asyncDispose]();
    },
  };
}
