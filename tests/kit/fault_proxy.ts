/**
 * A TCP proxy on loopback that does to a connection what networks do.
 *
 * @example
 * ```ts
 * await using proxy = await FaultProxy.start(server.port);
 * const host = server.host({ port: proxy.port });
 * proxy.stall(); // a black hole: no answer, no reset
 * ```
 *
 * @module
 */

import {
  type AddressInfo,
  connect,
  createServer,
  type Server,
  type Socket,
} from "node:net";

/** A cut after so many bytes of one direction. */
export interface Cut {
  /** `"up"` counts what the client sends, `"down"` what the server sends. */
  readonly direction: "up" | "down";
  /** How many bytes still pass; with 0 the next data cuts. */
  readonly bytes: number;
  /**
   * How both sides learn of it: by a reset, by an end of file, or not at all.
   */
  readonly how: "reset" | "end" | "freeze";
}

/** One connection through the proxy. */
export class FaultLink {
  /** Bytes that arrived from the client. */
  bytesUp = 0;
  /** Bytes that arrived from the server. */
  bytesDown = 0;
  /** Whether a cut of {@linkcode FaultLink.cutAfter} has happened. */
  wasCut = false;
  /** Whether the client has ended or closed its side. */
  hasClientLeft = false;
  /** The delay of each chunk, in milliseconds, in each direction. */
  delayMs: number;
  #client: Socket;
  #server: Socket;
  #stalled = false;
  #isHeld = false;
  #cut: Cut | undefined;
  #queues = new Map<Socket, { due: number; data: Uint8Array | null }[]>();
  #timers = new Map<Socket, ReturnType<typeof setTimeout>>();

  constructor(client: Socket, server: Socket, delayMs: number) {
    this.#client = client;
    this.#server = server;
    this.delayMs = delayMs;
    this.#wire(client, server, (n) => this.bytesUp += n);
    this.#wire(server, client, (n) => this.bytesDown += n);
    const left = () => this.hasClientLeft = true;
    client.once("end", left).once("close", left);
  }

  /** Whether both sockets are gone. */
  get isClosed(): boolean {
    return this.#client.destroyed && this.#server.destroyed;
  }

  /**
   * Swallows what comes from now on, ends included: a black hole. What it
   * swallows is kept, and goes on its way on `resume`.
   */
  stall(): void {
    this.#stalled = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  /** Ends a stall. */
  resume(): void {
    this.#stalled = false;
    this.#flush(this.#client);
    this.#flush(this.#server);
  }

  /**
   * Keeps what the client sends from now on, also over a stall. What it has sent
   * before goes on its way, and all that the server sends.
   */
  hold(): void {
    this.#isHeld = true;
  }

  /** Ends both connections with a TCP reset. */
  reset(): void {
    this.#client.resetAndDestroy();
    this.#server.resetAndDestroy();
  }

  /** Sends the client an end of file, and lets its own data through. */
  halfClose(): void {
    this.#client.end();
  }

  /** Resets the connection once the server has sent `bytes` more. */
  dropAfterBytes(bytes: number): void {
    this.cutAfter({ direction: "down", bytes, how: "reset" });
  }

  /** Cuts the connection once so many bytes more have passed. */
  cutAfter(cut: Cut): void {
    this.#cut = cut;
  }

  /** Destroys both sockets; resolves when they are closed. */
  async destroy(): Promise<void> {
    this.stall();
    const closed = [this.#client, this.#server]
      .filter((socket) => !socket.closed)
      .map((socket) => new Promise((done) => socket.once("close", done)));
    this.#client.destroy();
    this.#server.destroy();
    await Promise.all(closed);
  }

  #wire(from: Socket, to: Socket, count: (bytes: number) => void): void {
    this.#queues.set(to, []);
    from.on("data", (data: Uint8Array) => {
      count(data.length);
      this.#push(to, data);
    });
    from.on("end", () => this.#push(to, null));
    from.on("error", () => {});
    // An orderly end comes as "end" first, and waits in the queue behind data.
    from.on("close", (failed: boolean) => {
      if (failed && !this.#stalled) to.resetAndDestroy();
    });
  }

  #push(to: Socket, data: Uint8Array | null): void {
    const isHeld = this.#isHeld && to === this.#server;
    const due = isHeld ? Infinity : Date.now() + this.delayMs;
    this.#queues.get(to)!.push({ due, data });
    this.#flush(to);
  }

  #flush(to: Socket): void {
    const queue = this.#queues.get(to)!;
    while (!this.#stalled && queue.length > 0) {
      const wait = queue[0]!.due - Date.now();
      if (wait === Infinity) return;
      if (wait > 0) return this.#later(to, wait);
      this.#send(to, queue.shift()!.data);
    }
  }

  #later(to: Socket, ms: number): void {
    if (this.#timers.has(to)) return;
    const timer = setTimeout(() => {
      this.#timers.delete(to);
      this.#flush(to);
    }, ms);
    this.#timers.set(to, timer);
  }

  #send(to: Socket, data: Uint8Array | null): void {
    if (to.destroyed) return;
    if (data === null) return void to.end();
    const cut = this.#cut;
    const counts = cut?.direction === (to === this.#client ? "down" : "up");
    if (cut === undefined || !counts) return void to.write(data);
    if (data.length < cut.bytes) {
      this.#cut = { ...cut, bytes: cut.bytes - data.length };
      return void to.write(data);
    }
    // A reset may overtake the last bytes, as on any network.
    to.write(data.subarray(0, cut.bytes), () => this.#end(cut.how));
    this.stall();
  }

  #end(how: Cut["how"]): void {
    this.#cut = undefined;
    this.wasCut = true;
    this.stall();
    if (how === "reset") return this.reset();
    if (how === "freeze") return;
    this.#client.end();
    this.#server.end();
  }
}

/** The proxy; its switches act on every link, and on links to come. */
export class FaultProxy implements AsyncDisposable {
  /** Connections accepted so far, oldest first. */
  readonly links: FaultLink[] = [];
  /** Connections refused so far. */
  refused = 0;
  /** Resets each new connection. */
  refuseNew = false;
  /** Reset each new connection after this many bytes from the server. */
  dropNewAfterBytes = Infinity;
  /** Cut this many new connections so; see {@linkcode FaultLink.cutAfter}. */
  cutNew: { readonly cut: Cut; times: number } | undefined;
  #server: Server;
  #target: { port: number; host: string };
  #delayMs = 0;
  #stalled = false;

  private constructor(target: { port: number; host: string }) {
    this.#target = target;
    this.#server = createServer({ allowHalfOpen: true }, (c) => this.#admit(c));
  }

  /** Starts a proxy to a port. */
  static async start(port: number, host = "127.0.0.1"): Promise<FaultProxy> {
    const proxy = new FaultProxy({ port, host });
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once("error", reject);
      proxy.#server.listen(0, "127.0.0.1", resolve);
    });
    return proxy;
  }

  /** The port that it listens on. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Links that are open. */
  get open(): FaultLink[] {
    return this.links.filter((link) => !link.isClosed);
  }

  /** The delay of each chunk in each direction, in milliseconds. */
  get delayMs(): number {
    return this.#delayMs;
  }

  set delayMs(ms: number) {
    this.#delayMs = ms;
    for (const link of this.links) link.delayMs = ms;
  }

  /** Makes every link a black hole, and those to come. */
  stall(): void {
    this.#stalled = true;
    for (const link of this.open) link.stall();
  }

  /** Ends a stall. */
  resume(): void {
    this.#stalled = false;
    for (const link of this.open) link.resume();
  }

  /** Resets every link. */
  reset(): void {
    for (const link of this.open) link.reset();
  }

  /** Half-closes every link towards the client. */
  halfClose(): void {
    for (const link of this.open) link.halfClose();
  }

  /** Resets every open link after `bytes` more from the server. */
  dropAfterBytes(bytes: number): void {
    for (const link of this.open) link.dropAfterBytes(bytes);
  }

  /** Ends it; no socket is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((done) =>
      this.#server.close(() => done())
    );
    await Promise.all(this.links.map((link) => link.destroy()));
    await closed;
  }

  #admit(client: Socket): void {
    if (this.refuseNew) {
      this.refused++;
      client.on("error", () => {});
      return void client.resetAndDestroy();
    }
    client.setNoDelay(true);
    const server = connect({
      ...this.#target,
      noDelay: true,
      allowHalfOpen: true,
    });
    const link = new FaultLink(client, server, this.#delayMs);
    if (this.#stalled) link.stall();
    if (this.dropNewAfterBytes < Infinity) {
      link.dropAfterBytes(this.dropNewAfterBytes);
    }
    if (this.cutNew !== undefined && this.cutNew.times > 0) {
      this.cutNew.times--;
      link.cutAfter(this.cutNew.cut);
    }
    this.links.push(link);
  }
}
