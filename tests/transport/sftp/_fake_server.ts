// A server whose answers a test writes by hand: late, short, out of order or
// malformed.

import { PacketReader, PacketType } from "../../../transport/sftp/packets.ts";
import { PacketSplitter } from "../../../transport/sftp/splitter.ts";
import type { SftpTransport } from "../../../transport/sftp/transport.ts";

/** One request of the client. */
export interface Request {
  readonly type: number;
  readonly id: number;
  /** Stands behind the id. */
  readonly body: PacketReader;
}

export class FakeServer {
  /** What the client has asked, without INIT. */
  readonly requests: Request[] = [];
  /** How often the client has closed the channel. */
  closes = 0;
  /** Set to make every write wait for it. */
  room: Promise<void> | undefined;
  readonly transport: SftpTransport;
  #handles = 0;
  #receive: (bytes: Uint8Array) => void = () => {};
  #ended: (error?: Error) => void = () => {};

  /**
   * @param answer Called with each request.
   * @param version The extensions that VERSION names, as pairs; `undefined` to
   * send no VERSION.
   */
  constructor(
    answer: (request: Request, server: FakeServer) => void = () => {},
    version: readonly (readonly [string, string])[] | undefined = [],
  ) {
    const splitter = new PacketSplitter((packet) => {
      const body = new PacketReader(packet.slice());
      if (body.type === PacketType.INIT) {
        if (version === undefined) return;
        const pairs = version.flatMap(([name, value]) => [
          ...string(name),
          ...string(value),
        ]);
        return queueMicrotask(() => this.packet(2, ...u32(3), ...pairs));
      }
      const request = { type: body.type, id: body.u32(), body };
      this.requests.push(request);
      answer(request, this);
    });
    this.transport = {
      write: (bytes) => {
        splitter.push(bytes);
        return this.room;
      },
      onData: (receive) => void (this.#receive = receive),
      onEnd: (ended) => void (this.#ended = ended),
      close: () => void this.closes++,
    };
  }

  /** Sends bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.#receive(bytes);
  }

  /** Sends a packet: its type, then its content. */
  packet(type: number, ...content: number[]): void {
    this.raw(new Uint8Array([...u32(content.length + 1), type, ...content]));
  }

  status(id: number, code: number, text = ""): void {
    this.packet(
      PacketType.STATUS,
      ...u32(id),
      ...u32(code),
      ...string(text),
      ...string("en"),
    );
  }

  /** Gives out a handle: a new one, if the test names none. */
  handle(id: number, name = `h${++this.#handles}`): void {
    this.packet(PacketType.HANDLE, ...u32(id), ...string(name));
  }

  data(id: number, bytes: Uint8Array): void {
    const packet = new Uint8Array(13 + bytes.length);
    packet.set([...u32(9 + bytes.length), PacketType.DATA, ...u32(id)]);
    packet.set(u32(bytes.length), 9);
    packet.set(bytes, 13);
    this.raw(packet);
  }

  /** Ends the channel. */
  end(error?: Error): void {
    this.#ended(error);
  }
}

export function u32(value: number): number[] {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255);
}

export function string(text: string): number[] {
  const bytes = new TextEncoder().encode(text);
  return [...u32(bytes.length), ...bytes];
}
