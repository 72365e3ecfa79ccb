/** What `Ssh2Transport` does with messages while ssh2 is at something else. */

import { assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import { PassThrough } from "node:stream";
import { setImmediate } from "node:timers";
import {
  HEAD,
  type TransportListener,
} from "../../../transport/channels/packet_transport.ts";
import { Ssh2Transport } from "../../../transport/ssh2/_packet_transport.ts";

/** A client of ssh2, as far as the transport looks at it. */
function playedClient() {
  const socket = new PassThrough().resume();
  const client = new EventEmitter();
  const protocol = {
    _kexinit: undefined as Buffer | undefined,
    _cipher: {
      allocPacket: (bytes: number) => Buffer.alloc(HEAD + bytes),
      encrypt: (packet: Buffer) => protocol._onWrite(packet),
    },
    _destruct: () => {},
    _onPayload: (_payload: Uint8Array): unknown => undefined,
    _onWrite: (bytes: Uint8Array) => void socket.write(bytes),
  };
  const transport = new Ssh2Transport(
    client as never,
    { _protocol: protocol } as never,
    socket,
  );
  const heard: number[] = [];
  const listener: TransportListener = {
    onPayload: (payload) => void heard.push(payload[1]!),
    onData() {},
    onDrain() {},
    onEnd: () => void heard.push(-1),
  };
  return { socket, client, protocol, transport, listener, heard };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

Deno.test("Ssh2Transport.unsentBytes has what waits for the end of a key exchange, and forgets it then", async () => {
  const { client, protocol, transport, socket } = playedClient();
  const negotiated = {
    kex: "",
    serverHostKey: "",
    cs: { cipher: "", mac: "" },
  };
  const sent: number[] = [];
  socket.on("data", (chunk: Buffer) => sent.push(chunk.length));
  for (let round = 0; round < 3; round++) {
    protocol._kexinit = Buffer.alloc(1);
    for (const bytes of [10, 20]) transport.send(transport.alloc(bytes));
    assertEquals([transport.unsentBytes, sent], [30, []]);
    protocol._kexinit = undefined;
    client.emit("handshake", negotiated);
    await turn();
    await turn();
    assertEquals([transport.unsentBytes, sent.splice(0)], [0, [30 + 2 * HEAD]]);
  }
  await transport.close();
});

Deno.test("Ssh2Transport gives what came before start() first, and nothing after the end", async () => {
  const { protocol, transport, listener, heard } = playedClient();
  const payload = Uint8Array.of(94, 1);
  protocol._onPayload(payload);
  // Whoever reads the socket may use its buffer again.
  payload.fill(0);
  transport.start(listener);
  protocol._onPayload(Uint8Array.of(94, 2));
  transport.destroy(new Error("enough"));
  await turn();
  protocol._onPayload(Uint8Array.of(94, 3));
  assertEquals(heard, [1, 2, -1]);
  await transport.close();
});
