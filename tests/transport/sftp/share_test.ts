import { assertEquals } from "@std/assert";
import { shareSftp } from "../../../transport/sftp/share.ts";
import type { Sftp } from "../../../transport/sftp/sftp.ts";

/** A session that counts who waits for its end. */
function countingSession() {
  let end!: () => void;
  let waiting = 0;
  const closed = new Promise<void>((resolve) => end = resolve);
  const then = closed.then.bind(closed);
  closed.then = ((...args: Parameters<typeof then>) => {
    waiting++;
    return then(...args);
  }) as typeof closed.then;
  const sftp = { isClosed: false, closed, close() {} };
  return {
    sftp: sftp as unknown as Sftp,
    waiting: () => waiting,
    end() {
      sftp.isClosed = true;
      end();
    },
  };
}

Deno.test("shareSftp() leaves nothing on the session for a handle that was closed", () => {
  const session = countingSession();
  for (let i = 0; i < 100; i++) shareSftp(session.sftp, () => {}).close();
  assertEquals(session.waiting(), 1);
});

Deno.test("shareSftp() ends every open handle with the session, and one that comes later", async () => {
  const session = countingSession();
  const handles = [1, 2].map(() => shareSftp(session.sftp, () => {}));
  session.end();
  await Promise.all(handles.map(({ closed }) => closed));
  await shareSftp(session.sftp, () => {}).closed;
  assertEquals(handles.map(({ isClosed }) => isClosed), [true, true]);
});
