/**
 * The KV store of NATS, as far as it is used: as `bus.ts` for the bus.
 *
 * @module
 */

/** An entry of a bucket. */
export interface LeaseEntry {
  /** Its key. */
  readonly key: string;
  /** What happened to it: `"PUT"`, or it is gone. */
  readonly operation: string;
  /** Its number; each change has a higher one. */
  readonly revision: number;
  /** Its value as text. */
  string(): string;
}

/** A bucket of a KV store: that of `@nats-io/kv`. */
export interface LeaseBucket {
  /** Sets a value. */
  put(key: string, value: string): Promise<number>;
  /** Sets a value that there is not. */
  create(key: string, value: string): Promise<number>;
  /** Sets a value, if nobody else has since this revision. */
  update(key: string, value: string, revision: number): Promise<number>;
  /** Deletes a value, if nobody else has changed it since. */
  delete(
    key: string,
    options?: { readonly previousSeq?: number },
  ): Promise<void>;
  /** Gives what there is, and then each change. */
  watch(): Promise<AsyncIterable<LeaseEntry> & { stop(): void }>;
}

/** A KV store: a `Kvm` of `@nats-io/kv`. */
export interface LeaseStore {
  /** Opens a bucket, and makes it if there is none. */
  create(
    name: string,
    options?: { readonly ttl?: number; readonly replicas?: number },
  ): Promise<LeaseBucket>;
}
