import type { SftpFile } from "../file.ts";
import type { SourceInfo } from "./_plan.ts";
import { remoteInfo } from "./_remote.ts";

/**
 * One run through a file on the server. It begins at once: its requests go out
 * behind the one for what the file is, whose answer is compared with what the
 * file was when it was found. The request for what it is afterwards goes out
 * behind the last one to read. So neither costs a round trip of its own.
 */
export class Reading {
  readonly #file: SftpFile;
  readonly #signal: AbortSignal;
  readonly #pieces: AsyncIterator<Uint8Array, void>;
  readonly #first: Promise<IteratorResult<Uint8Array, void>>;
  #after: Promise<SourceInfo> | undefined;

  /**
   * Begins to read.
   *
   * @param offset Where.
   * @param info How long the file is; 0 if only its end can tell, as in /proc.
   */
  constructor(
    file: SftpFile,
    offset: number,
    { size }: SourceInfo,
    signal: AbortSignal,
  ) {
    this.#file = file;
    this.#signal = signal;
    this.#pieces = file.readRange({
      offset,
      end: size === 0 ? undefined : size,
      reuse: true,
      signal,
      onSent: () => this.#lookAgain(),
    });
    this.#first = this.#pieces.next();
    this.#first.catch(() => {}); // seen when it is waited for
  }

  /** The content, in order. A piece must be used up when the next is wanted. */
  async *pieces(): AsyncGenerator<Uint8Array, void, undefined> {
    for (
      let step = await this.#first;
      !step.done;
      step = await this.#pieces.next()
    ) yield step.value;
  }

  /** What the file is when all has been read. */
  infoAfter(): Promise<SourceInfo> {
    return this.#after ?? this.#lookAgain();
  }

  /** Gives up what is under way. */
  async stop(): Promise<void> {
    await this.#pieces.return?.().catch(() => {});
  }

  #lookAgain(): Promise<SourceInfo> {
    const after = this.#file.stat({ signal: this.#signal }).then(remoteInfo);
    after.catch(() => {}); // seen when it is waited for
    return this.#after = after;
  }
}

export function isSameSource(a: SourceInfo, b: SourceInfo): boolean {
  return a.size === b.size && a.mtime === b.mtime;
}
