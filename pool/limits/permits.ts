/**
 * The cap on connections over all hosts, as permits that one must hold to dial
 * and that travel with the connection.
 *
 * @module
 */

/** Who asks for permits: the lane of a host. */
export interface PermitRequester {
  /** Begins a dial that holds this permit, or gives it back. */
  startDial(permit: Permit): void;
}

/** The right to one connection. Releasing it twice is a no-op. */
export class Permit {
  /** Whether it counts against the cap. */
  readonly isCounted: boolean;
  #release: (() => void) | undefined;

  constructor(release?: () => void) {
    this.isCounted = release !== undefined;
    this.#release = release;
  }

  /** Gives the permit back; the lane that is first in line gets it. */
  release(): void {
    const release = this.#release;
    this.#release = undefined;
    release?.();
  }
}

/** Hands permits out, to starved lanes in the order in which they came. */
export class Permits {
  readonly #max: number;
  readonly #evict: () => boolean;
  // A Set keeps insertion order and forgets in O(1): a queue in which each
  // lane stands once.
  readonly #starved = new Set<PermitRequester>();
  #inUse = 0;
  #serving = false;

  /**
   * @param max How many permits there are.
   * @param evict Ends an idle connection, whose permit comes back at once.
   */
  constructor(max: number, evict: () => boolean) {
    this.#max = max;
    this.#evict = evict;
  }

  /** Whether some lane waits for a permit. */
  get isStarving(): boolean {
    return this.#starved.size > 0;
  }

  /** Whether every permit is out. */
  get isExhausted(): boolean {
    return this.#inUse >= this.#max;
  }

  /** Returns a permit, or puts the lane in line: `startDial()` is called then. */
  request(lane: PermitRequester): Permit | undefined {
    // While the line is served, or room is made for a caller, newcomers go to
    // the end of the line: a permit that comes back then is already reserved.
    if (this.#serving || this.#starved.size > 0 || !this.#hasRoom()) {
      this.#starved.add(lane);
      return undefined;
    }
    const permit = this.#take();
    if (this.#starved.size > 0) this.serve();
    return permit;
  }

  /** Returns a permit beyond the cap, for a hop. */
  uncounted(): Permit {
    return new Permit();
  }

  /** Takes a lane that wants no dial any more out of the line. */
  withdraw(lane: PermitRequester): void {
    this.#starved.delete(lane);
  }

  /** Serves the line as far as permits, or connections to evict, go. */
  serve(): void {
    // Evicting releases a permit, which calls this again: the loop that is
    // already running will see it.
    if (this.#serving) return;
    this.#serving = true;
    try {
      for (const lane of this.#starved) {
        if (!this.#hasRoom()) return;
        this.#starved.delete(lane);
        lane.startDial(this.#take());
      }
    } finally {
      this.#serving = false;
    }
  }

  #hasRoom(): boolean {
    if (this.#inUse < this.#max) return true;
    const wasServing = this.#serving;
    this.#serving = true;
    try {
      return this.#evict();
    } finally {
      this.#serving = wasServing;
    }
  }

  #take(): Permit {
    this.#inUse++;
    if (this.#inUse > this.#max) {
      throw new Error(`Bug: ${this.#inUse} of ${this.#max} permits are out`);
    }
    return new Permit(() => {
      this.#inUse--;
      this.serve();
    });
  }
}
