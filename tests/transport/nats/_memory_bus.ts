/** A bus in memory, whose breaks and refusals a test decides. */

import type {
  Bus,
  BusMessage,
  BusStatus,
} from "../../../transport/nats/mod.ts";

type Subscription = Parameters<Bus["subscribe"]>[1] & { readonly at: RegExp };

/** A message that was sent. */
export interface Sent {
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly reply: string;
}

/** One connection to a bus that nobody else is on. */
export class MemoryBus implements Bus {
  /** All that was sent, in order. */
  readonly sent: Sent[] = [];
  /** What `flush()` waits for. */
  flushed: Promise<void> = Promise.resolve();
  readonly #subscriptions = new Set<Subscription>();
  readonly #statuses: BusStatus[] = [];
  #wake = () => {};
  #isClosed = false;

  /** How many subscriptions there are. */
  get subscriptions(): number {
    return this.#subscriptions.size;
  }

  publish(
    subject: string,
    payload: Uint8Array = new Uint8Array(),
    { reply = "" }: { readonly reply?: string | undefined } = {},
  ): void {
    this.sent.push({ subject, payload, reply });
    const to = [...this.#subscriptions].filter(({ at }) => at.test(subject));
    const message = (it: Pick<BusMessage, "subject" | "data">): BusMessage => ({
      ...it,
      reply,
      respond: (data) => {
        if (reply !== "") this.publish(reply, data);
        return reply !== "";
      },
    });
    queueMicrotask(() => {
      for (const it of to) {
        if (!this.#subscriptions.has(it)) continue;
        it.callback(null, message({ subject, data: payload }));
      }
      if (to.length === 0 && reply !== "") this.#sayNobody(reply);
    });
  }

  /** As the server does where nobody listens. */
  #sayNobody(subject: string): void {
    for (const { at, callback } of [...this.#subscriptions]) {
      if (!at.test(subject)) continue;
      const headers = { code: 503 };
      const data = new Uint8Array();
      callback(null, { subject, data, headers, respond: () => false });
    }
  }

  subscribe(subject: string, options: Parameters<Bus["subscribe"]>[1]) {
    const text = subject.replaceAll(".", "\\.").replaceAll("*", "[^.]+");
    const subscription = { ...options, at: new RegExp(`^${text}$`) };
    this.#subscriptions.add(subscription);
    return {
      unsubscribe: () => void this.#subscriptions.delete(subscription),
    };
  }

  /** Refuses all subscriptions that there are. */
  refuse(): void {
    for (const { callback } of [...this.#subscriptions]) {
      callback(new Error("permissions violation"), {} as BusMessage);
    }
  }

  request(): Promise<BusMessage> {
    return Promise.reject(new Error("no responders"));
  }

  flush(): Promise<void> {
    return this.flushed;
  }

  isClosed(): boolean {
    return this.#isClosed;
  }

  /** Something happens to it. */
  tell(type: string): void {
    this.#statuses.push({ type });
    this.#wake();
  }

  /** Ends it for good. */
  close(): void {
    this.#isClosed = true;
    this.#wake();
  }

  async *status(): AsyncGenerator<BusStatus> {
    while (!this.#isClosed) {
      const next = this.#statuses.shift();
      if (next !== undefined) yield next;
      else await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}
