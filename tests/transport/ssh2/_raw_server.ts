/**
 * A server of ssh2 that lets anybody in and hands out its protocol object, to
 * do what no server should.
 *
 * @module
 */

// @ts-types="@types/ssh2"
import ssh2, { type ServerChannel } from "ssh2";
import {
  endCiphers,
  prepareCiphers,
} from "../../../transport/ssh2/cipher/ciphers.ts";
import { keyPair, parse } from "../../../transport/testing/server/_keys.ts";
import { type Listening, listenOn } from "../../kit/ssh2_server.ts";

/** What the tests use of a server's protocol object. */
export interface RawServerProtocol {
  _hostKeys: Record<string, unknown>;
  _decipher: { _onPayload(payload: Uint8Array): unknown };
  readonly _kex: unknown;
  /** While keys are exchanged. */
  readonly _kexinit: unknown;
  readonly _cipher: { encrypt(packet: Uint8Array): void };
  readonly _packetRW: {
    readonly write: {
      readonly allocStartKEX: number;
      alloc(bytes: number, force: boolean): Uint8Array;
      finalize(packet: Uint8Array, force: boolean): Uint8Array;
    };
  };
  rekey(): void;
  channelData(id: number, data: Uint8Array): void;
  channelExtData(id: number, data: Uint8Array, type: number): void;
  channelOpenConfirm(
    id: number,
    sender: number,
    window: number,
    packet: number,
  ): void;
  channelSuccess(id: number): void;
  channelFailure(id: number): void;
  channelEOF(id: number): void;
  channelClose(id: number): void;
  exitStatus(id: number, status: number): void;
  exitSignal(id: number, name: string, core: boolean, message: string): void;
  readonly _handlers: {
    CHANNEL_OPEN: (
      protocol: RawServerProtocol,
      info: { readonly type: string; readonly sender: number },
    ) => void;
    CHANNEL_REQUEST: (
      protocol: RawServerProtocol,
      id: number,
      type: string,
      wantReply: boolean,
      data: unknown,
    ) => void;
    CHANNEL_DATA: (
      protocol: RawServerProtocol,
      id: number,
      data: Uint8Array,
    ) => void;
    CHANNEL_EOF: (protocol: RawServerProtocol, id: number) => void;
    CHANNEL_CLOSE: (protocol: RawServerProtocol, id: number) => void;
    CHANNEL_WINDOW_ADJUST: (
      protocol: RawServerProtocol,
      id: number,
      amount: number,
    ) => void;
  };
}

/** Sends a message that ssh2 cannot write, or will not write now. */
export function sendRaw(
  { _packetRW: { write }, _cipher }: RawServerProtocol,
  message: ArrayLike<number>,
): void {
  const packet = write.alloc(message.length, true);
  packet.set(message, write.allocStartKEX);
  _cipher.encrypt(write.finalize(packet, true));
}

/** A command on such a server. */
export interface RawCommand {
  /** The channel, by ssh2's own rules. */
  readonly channel: ServerChannel;
  /** The client's number of the channel. */
  readonly id: number;
  /** Sends on it whatever the window says. */
  readonly protocol: RawServerProtocol;
}

/** A running server; dispose of it to stop it. */
export interface RawServer extends Listening {
  /** The protocol object of the latest connection. */
  protocol(): RawServerProtocol;
}

/**
 * Starts it on a free port of 127.0.0.1.
 *
 * @param onCommand Runs each command.
 * @param onConnection Given the protocol object of each connection, to replace
 *   its handlers.
 */
export async function startRawServer(
  onCommand: (command: RawCommand) => void = () => {},
  onConnection: (protocol: RawServerProtocol) => void = () => {},
): Promise<RawServer> {
  await prepareCiphers();
  const key = keyPair("raw");
  let latest: RawServerProtocol | undefined;
  const ssh = new ssh2.Server({ hostKeys: [key.privateKey] }, (client) => {
    const protocol = (client as unknown as { _protocol: RawServerProtocol })
      ._protocol;
    endCiphers(protocol);
    latest = protocol;
    onConnection(protocol);
    client.on("error", () => {});
    client.on("authentication", (context) => context.accept());
    client.on("session", (accept) => {
      accept().on("exec", (accept) => {
        const channel = accept();
        channel.on("error", () => {});
        const { id } =
          (channel as unknown as { outgoing: { id: number } }).outgoing;
        onCommand({ channel, id, protocol });
      });
    });
  });
  const listening = await listenOn(ssh, key.fingerprint);
  return {
    ...listening,
    protocol() {
      if (latest === undefined) throw new Error("Nobody has connected");
      return latest;
    },
  };
}

/** A parsed host key of another name, to put in the place of the server's. */
export function otherHostKey(): Record<string, unknown> {
  return { "ssh-ed25519": parse(keyPair("another host").privateKey) };
}
