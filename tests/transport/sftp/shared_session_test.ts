import { assertEquals } from "@std/assert";
import { shareSftp } from "../../../transport/sftp/shared_session.ts";
import { CountedPromise } from "../../kit/counted_promise.ts";
import type { Sftp } from "../../../transport/sftp/sftp.ts";

/** A session that counts who waits for its end. */
function countingSession() {
  const closed = new CountedPromise();
  const sftp = { isClosed: false, closed: closed.promise, close() {} };
  return {
    sftp: sftp as unknown as Sftp,
    waiting: () => closed.waiting,
    end() {
      sftp.isClosed = true;
      closed.resolve();
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

Deno.test("shareSftp() tells once that a handle was closed, however often it is", async () => {
  const session = countingSession();
  let closings = 0;
  const handle = shareSftp(session.sftp, () => void closings++);
  handle.close();
  handle.close();
  await handle[Symbol.asyncDispose]();
  session.end();
  assertEquals(closings, 1);
});
