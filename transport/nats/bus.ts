/**
 * The client of NATS, as far as it is used. A connection of
 * `@nats-io/transport-node` is one; no package is needed here.
 *
 * @module
 */

/** A message of the bus. */
export interface BusMessage {
  /** The subject that it was sent to. */
  readonly subject: string;
  /** What it holds. */
  readonly data: Uint8Array;
  /** Where an answer goes. */
  readonly reply?: string;
  /** Its headers; the server answers with a code where nobody listens. */
  readonly headers?: { readonly code: number };
  /** Sends an answer. */
  respond(payload?: Uint8Array): boolean;
}

/** Something that happened to the connection to the bus. */
export interface BusStatus {
  /** What, such as `"disconnect"`. */
  readonly type: string;
  /** What went wrong. */
  readonly error?: Error;
}

/** A connection to the bus: that of `@nats-io/transport-node`, which is yours. */
export interface Bus {
  /** What the server says of itself. */
  readonly info?: { readonly max_payload: number };
  /** Sends a message. */
  publish(
    subject: string,
    payload?: Uint8Array,
    options?: { readonly reply?: string },
  ): void;
  /** Takes the messages of a subject. */
  subscribe(
    subject: string,
    options: {
      readonly queue?: string;
      callback(error: Error | null, message: BusMessage): void;
    },
  ): { unsubscribe(): void };
  /** Sends a message, and waits for an answer. */
  request(
    subject: string,
    payload?: Uint8Array,
    options?: { timeout: number },
  ): Promise<BusMessage>;
  /** Resolves when the server has taken all that was sent before. */
  flush(): Promise<void>;
  /** Whether it was closed for good. */
  isClosed(): boolean;
  /** Tells what happens to it, until it is closed. */
  status(): AsyncIterable<BusStatus>;
}

/** Told of what happens to a connection to the bus. */
export interface BusListener {
  /** It broke: what was on its way is lost. */
  onDown(): void;
  /** It is there again. */
  onUp(): void;
  /** The server refuses a message to a subject. */
  onRefused(subject: string, error: Error): void;
}

/** One watch for each bus, however many listen: its end is that of the bus. */
const watched = new WeakMap<Bus, Set<BusListener>>();

/**
 * Listens to what happens to the bus.
 *
 * @returns Ends that.
 */
export function watchBus(bus: Bus, listener: BusListener): () => void {
  let listeners = watched.get(bus);
  if (listeners === undefined) {
    watched.set(bus, listeners = new Set());
    void watch(bus, listeners);
  }
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

async function watch(bus: Bus, listeners: Set<BusListener>): Promise<void> {
  try {
    for await (const { type, error } of bus.status()) {
      for (const listener of [...listeners]) {
        if (type === "disconnect" || type === "close") listener.onDown();
        else if (type === "reconnect") listener.onUp();
        else if (type === "error") tellRefused(error, listener);
      }
    }
  } catch {
    // The end of the bus is told below.
  }
  watched.delete(bus);
  for (const listener of [...listeners]) listener.onDown();
}

function tellRefused(error: Error | undefined, listener: BusListener): void {
  const { operation, subject } = (error ?? {}) as Record<string, unknown>;
  if (operation === "publish" && typeof subject === "string") {
    listener.onRefused(subject, error!);
  }
}

/** Tells the first refusal of each kind of operation: there are as many as messages. */
export function oncePerOperation(
  told: (error: Error) => void,
): (error: Error) => void {
  const seen = new Set<unknown>();
  return (error) => {
    const { operation } = error as { operation?: unknown };
    if (!seen.has(operation)) told(error);
    seen.add(operation);
  };
}

/** Whether a request failed because nobody listens: it reached no one. */
export function isNoResponders(error: unknown): boolean {
  const { isNoResponders, name, message } = error as {
    isNoResponders?: unknown;
    name?: string;
    message?: string;
  };
  return name === "NoRespondersError" ||
    (typeof isNoResponders === "function" && isNoResponders.call(error)) ||
    /no responders/i.test(String(message));
}
