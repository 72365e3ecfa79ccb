import { showType } from "../options/show_value.ts";
import { abortable, onAbort } from "../abort.ts";
import { diagnosed, lookForSpace } from "./_diagnose.ts";
import type { Handle, SftpCall } from "./_call.ts";

/** What is sent ahead of the answers at most, however small it is. */
const MAX_REQUESTS = 128;

/**
 * Writes a file in order, with many requests in flight. The first failure is
 * what every later call throws.
 */
export class WriteBehind {
  readonly #call: SftpCall;
  readonly #handle: Handle;
  #offset: number;
  #bytes = 0;
  #requests = 0;
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;
  /** Told of the first failure. */
  onFailure: ((error: unknown) => void) | undefined;
  /** See `SftpWriteFromOptions.onWritten`. */
  onWritten: ((data: Uint8Array) => void) | undefined;

  /**
   * Begins to write.
   *
   * @param call What it is for.
   * @param handle The open file.
   * @param offset Where to begin.
   */
  constructor(call: SftpCall, handle: Handle, offset = 0) {
    this.#call = call;
    this.#handle = handle;
    this.#offset = offset;
  }

  /** Where the next byte goes. */
  get offset(): number {
    return this.#offset;
  }

  /**
   * Sends data, and waits while the window is full. The data must not change
   * before `finish` has resolved.
   */
  async write(data: Uint8Array): Promise<void> {
    if (!(data instanceof Uint8Array)) {
      throw new TypeError(
        `Cannot write a file: the data is ${
          showType(data)
        }, must be a Uint8Array`,
      );
    }
    let left = data.length;
    const written = (bytes: number) => {
      left -= bytes;
      if (left === 0) this.onWritten?.(data);
    };
    for (let at = 0; at < data.length;) {
      while (this.#isFull) await this.#settled();
      this.#check();
      const piece = data.subarray(at, at + this.#call.protocol.maxWriteBytes);
      this.#send(piece, written);
      at += piece.length;
    }
  }

  /**
   * Waits until all is written.
   *
   * @param onSent Called as soon as what is sent from then on is carried out
   * after all writes: see `SftpWriteFromOptions.onSent`.
   */
  async finish(onSent?: () => void): Promise<void> {
    this.#check();
    if (this.#call.protocol.keepsOrder) onSent?.();
    while (this.#requests > 0) await this.#settled();
    this.#check();
    if (!this.#call.protocol.keepsOrder) onSent?.();
  }

  get #isFull(): boolean {
    const { requests } = this.#call.protocol;
    return this.#failure === undefined &&
      (this.#bytes >= requests.windowBytes || this.#requests >= MAX_REQUESTS);
  }

  #check(): void {
    this.#call.signal?.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #send(piece: Uint8Array, written: (bytes: number) => void): void {
    const offset = this.#offset;
    this.#offset += piece.length;
    this.#bytes += piece.length;
    this.#requests++;
    diagnosed(
      this.#call,
      () => this.#call.write(this.#handle, offset, piece),
      lookForSpace(this.#handle, piece.length),
    ).then(() => written(piece.length), (error) => {
      if (this.#failure !== undefined) return;
      this.#failure = { error };
      this.onFailure?.(error);
    }).finally(() => {
      this.#bytes -= piece.length;
      this.#requests--;
      this.#wake?.();
    });
  }

  #settled(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

/** Gives the next piece of a source. */
type Next = () => Promise<
  IteratorResult<Uint8Array, unknown> | ReadableStreamReadResult<Uint8Array>
>;

/**
 * Writes what a source gives, to its end. It is waited for no longer than there
 * is a use: an abort, a failed write and the end of the session end the wait,
 * however long the source has nothing to give.
 *
 * @param call What it is for.
 * @param writer Where to.
 * @param next Asks the source. It is not told that it is no longer needed.
 */
export async function writeSource(
  call: SftpCall,
  writer: WriteBehind,
  next: Next,
): Promise<void> {
  const { signal, effects, protocol: { requests } } = call;
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
