import { abortable, onAbort } from "../abort.ts";
import type { Call, Protocol } from "./_protocol.ts";
import type { WriteBehind } from "./_write_behind.ts";

/** Gives the next piece of a source. */
type Next = () => Promise<
  IteratorResult<Uint8Array, unknown> | ReadableStreamReadResult<Uint8Array>
>;

/**
 * Writes what a source gives, to its end. It is waited for no longer than there
 * is a use: an abort, a failed write and the end of the session end the wait,
 * however long the source has nothing to give.
 *
 * @param protocol The session.
 * @param call What it is for.
 * @param writer Where to.
 * @param next Asks the source. It is not told that it is no longer needed.
 */
export async function feed(
  protocol: Protocol,
  { signal, effects }: Call,
  writer: WriteBehind,
  next: Next,
): Promise<void> {
  const { requests } = protocol;
  const stop = new AbortController();
  signal?.throwIfAborted();
  const forgetSignal = onAbort(signal, () => stop.abort(signal?.reason));
  const forgetEnd = requests.onEnd(() =>
    stop.abort(requests.endError(effects?.isDone))
  );
  writer.onFailure = (error) => stop.abort(error);
  try {
    for (;;) {
      const { done, value } = await abortable(next(), stop.signal);
      if (done) return;
      await writer.write(value);
    }
  } finally {
    forgetSignal();
    forgetEnd();
    writer.onFailure = undefined;
  }
}
