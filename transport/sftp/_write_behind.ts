import { showType } from "../options/show_value.ts";
import { diagnosed, lookForSpace } from "./_diagnose.ts";
import type { Call, Handle, Protocol } from "./_protocol.ts";

/** What is sent ahead of the answers at most, in bytes. */
const WINDOW_BYTES = 4 * 1024 * 1024;
const MAX_REQUESTS = 128;

/**
 * Writes a file in order, with many requests in flight. The first failure is
 * what every later call throws.
 */
export class WriteBehind {
  readonly #protocol: Protocol;
  readonly #call: Call;
  readonly #handle: Handle;
  #offset: number;
  #bytes = 0;
  #requests = 0;
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;
  /** Told of the first failure. */
  onFailure: ((error: unknown) => void) | undefined;

  /**
   * Begins to write.
   *
   * @param protocol The session.
   * @param call What it is for.
   * @param handle The open file.
   * @param offset Where to begin.
   */
  constructor(protocol: Protocol, call: Call, handle: Handle, offset = 0) {
    this.#protocol = protocol;
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
    for (let at = 0; at < data.length;) {
      while (this.#isFull) await this.#settled();
      this.#check();
      const piece = data.subarray(at, at + this.#protocol.maxWriteBytes);
      this.#send(piece);
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
    if (this.#protocol.keepsOrder) onSent?.();
    while (this.#requests > 0) await this.#settled();
    this.#check();
    if (!this.#protocol.keepsOrder) onSent?.();
  }

  get #isFull(): boolean {
    return this.#failure === undefined &&
      (this.#bytes >= WINDOW_BYTES || this.#requests >= MAX_REQUESTS);
  }

  #check(): void {
    this.#call.signal?.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #send(piece: Uint8Array): void {
    const offset = this.#offset;
    this.#offset += piece.length;
    this.#bytes += piece.length;
    this.#requests++;
    diagnosed(
      this.#protocol,
      this.#call,
      () => this.#protocol.write(this.#call, this.#handle, offset, piece),
      lookForSpace(this.#handle, piece.length),
    ).catch((error) => {
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
