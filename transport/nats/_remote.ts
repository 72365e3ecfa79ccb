/**
 * What a peer knows of another one.
 *
 * @module
 */

import type { Stream } from "./_stream.ts";

/** Somebody that there are streams with. */
export class Remote {
  readonly streams: Set<Stream> = new Set();
  /** Streams that are in use. */
  busy = 0;
  misses = 0;
  ticks = 0;
  isAsked = false;
  /** Where the next audit begins. */
  auditAt = 0;
  /** Streams that its pings have named since the last tick. */
  audited = 0;
  /** Whether nobody was found to listen there since then. */
  #hasLeft = false;

  /** Notes that nobody listens there; returns whether that is new. */
  noteLeft(): boolean {
    const isNew = !this.#hasLeft;
    this.#hasLeft = true;
    return isNew;
  }

  beginTick(): void {
    this.audited = 0;
    this.#hasLeft = false;
  }
}
