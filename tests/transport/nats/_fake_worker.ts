/** A worker over a bus in memory that answers with whatever a test says. */

import {
  busFrame,
  Frame,
  jsonBytes,
  newId,
} from "../../../transport/nats/_frames.ts";
import type { BusMessage } from "../../../transport/nats/mod.ts";
import { fleetPool, type FleetPoolOptions } from "../../../pool/nats.ts";
import { MemoryBus } from "./_memory_bus.ts";

/** A frame that it sends: its type, and what it holds. */
export type FakeFrame = readonly [type: number, payload?: Uint8Array];

/** Answers questions, dials and pings as a worker does, and the rest as it is told. */
export class FakeWorker {
  readonly bus = new MemoryBus();
  /** What it answers to a dial. */
  dial: readonly FakeFrame[] = [[Frame.started, jsonBytes({})]];
  /** How it calls each connection. Default: each as nothing else. */
  ticket: string | undefined;
  /** What it answers to anything else that is opened. */
  answer: readonly FakeFrame[] = [];
  /** The kinds of what was opened, but for connections. */
  readonly opened: string[] = [];
  readonly #subject = `ssh.w.fake.${newId()}`;
  readonly #sent = new Map<string, number>();

  constructor() {
    this.bus.subscribe("ssh.dial.default.*", {
      callback: (_error, { respond }) => {
        const offer = { worker: this.#subject, ticket: this.ticket ?? newId() };
        respond(jsonBytes(offer));
      },
    });
    this.bus.subscribe(`${this.#subject}.*`, {
      callback: (_error, message) => this.#take(message),
    });
  }

  /** The pool of a client of it. */
  pool(options: FleetPoolOptions = {}) {
    return fleetPool(this.bus, { dialTimeoutMs: 5_000, ...options });
  }

  #take({ subject, data, reply = "", respond }: BusMessage): void {
    if (subject.endsWith(".ping")) return void respond();
    if (data[0] !== Frame.open) return;
    const { kind } = JSON.parse(new TextDecoder().decode(data.subarray(5)));
    if (kind !== "connection") this.opened.push(kind);
    const frames = kind === "connection" ? this.dial : this.answer;
    for (const [type, payload] of frames) this.send(reply, type, payload);
  }

  /** Sends a frame to a stream of the client, with the number that comes next. */
  send(to: string, type: number, payload?: Uint8Array): void {
    const seq = this.#sent.get(to) ?? 0;
    this.#sent.set(to, seq + 1);
    const reply = `${this.#subject}.${to.split(".").at(-1)}`;
    this.bus.publish(to, busFrame(type, seq, payload), { reply });
  }
}
