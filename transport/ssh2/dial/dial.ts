/**
 * One dial over ssh2, from the socket to an authenticated connection.
 *
 * @module
 */

import type { Duplex } from "node:stream";
// @ts-types="@types/ssh2"
import ssh2, { type Client } from "ssh2";
import { onAbort } from "../../abort.ts";
import type { ConnectOptions } from "../../connector.ts";
import { DialError } from "../../errors.ts";
import { serverError } from "../../session/server_text.ts";
import { hostLabel, type ResolvedHost } from "../../host/host.ts";
import { prepareHostKeyCheck } from "../../host_key/policy.ts";
import type { HostKeyCheck } from "../../host_key/check.ts";
import { endCiphers, prepareCiphers } from "../cipher/ciphers.ts";
import { isTooLong, LongPackets } from "../cipher/long_packets.ts";
import {
  algorithmsFor,
  type OfferedAlgorithms,
  publicKeyAlgorithms,
  ssh2Algorithms,
} from "./_algorithms.ts";
import { DialProgress } from "./_dial_progress.ts";
import { Exchanges } from "./_exchanges.ts";
import { HybridOffer, type LoadedHybrid } from "./_hybrid_kex.ts";
import { HYBRIDS } from "./_kem.ts";
import type { KeyCache } from "../auth/key_cache.ts";
import { Authenticator } from "../auth/authenticator.ts";
import { Greeting, parseHostKey } from "./_greeting.ts";
import { ChannelConnection } from "../../channels/connection.ts";
import { type Times, timesFor } from "../../channels/times.ts";
import { Ssh2Transport } from "../_packet_transport.ts";
import { KeyExchangeGuard } from "./_key_exchange.ts";
import { REKEY_LIMITS, Rekeying, type RekeyLimits } from "./_rekey.ts";
import { socketError, startSocket, untilConnected } from "./_socket.ts";
import { internalsOf } from "../fence/version_check.ts";

/** What tests set, and the connector for a further dial. */
export interface DialTuning {
  /** The algorithms of host keys to ask for. */
  readonly hostKey?: readonly string[];
  /** When to exchange keys again. */
  readonly rekeyLimits?: RekeyLimits;
  /** How long the connection waits for what. */
  readonly times?: Partial<Times>;
}

/** The code of the notice that a later quantum computer could read it all. */
export const NOT_POST_QUANTUM = "not-post-quantum";
const POST_QUANTUM = /^(mlkem|sntrup)/;

/** One dial, which settles once and leaves nothing behind when it fails. */
export class Dial {
  readonly #host: ResolvedHost;
  readonly #options: ConnectOptions;
  readonly #progress: DialProgress;
  readonly #auth: Authenticator;
  readonly #stop = new AbortController();
  #socket: Duplex | undefined;

  readonly #guard = new KeyExchangeGuard({
    judge: (key) => this.#judge(key),
    onViolation: (violation) => this.#progress.violation ??= violation,
  });
  readonly #tuning: DialTuning;
  #check: HostKeyCheck | undefined;
  #algorithms: OfferedAlgorithms | undefined;
  #offeredHostKeys: readonly string[] = [];
  #shownHostKey: string | undefined;
  #hybrids: readonly LoadedHybrid[] = [];
  #longPackets: LongPackets | undefined;

  /**
   * @param host The host.
   * @param options The signal, the deadline, keepalive, and a tunnel.
   * @param keys Private keys that were read before.
   * @param tuning For tests.
   */
  constructor(
    host: ResolvedHost,
    options: ConnectOptions,
    keys?: KeyCache,
    tuning: DialTuning = {},
  ) {
    this.#host = host;
    this.#options = options;
    this.#tuning = tuning;
    this.#progress = new DialProgress(hostLabel(host));
    this.#auth = new Authenticator(host, {
      signal: this.#stop.signal,
      onNotice: options.onNotice,
      keys,
      accepted: publicKeyAlgorithms(host),
    });
  }

  /**
   * Runs the dial, raced against abort and deadline.
   *
   * @param spentMs How much of the time it has is gone already.
   */
  async run(spentMs = 0): Promise<ChannelConnection> {
    const { signal, timeoutMs = 20_000 } = this.#options;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let stop = () => {};
    const ended = new Promise<never>((_, reject) => {
      stop = onAbort(signal, () => reject(signal?.reason));
      timer = setTimeout(
        () => reject(this.#progress.timedOut(timeoutMs)),
        // A negative one is warned of by Node.
        Math.max(0, timeoutMs - spentMs),
      );
    });
    try {
      signal?.throwIfAborted();
      return await Promise.race([this.#steps(), ended]);
    } catch (error) {
      this.#stop.abort(error);
      this.#socket?.destroy();
      this.#options.tunnel?.close();
      throw error;
    } finally {
      clearTimeout(timer);
      stop();
      this.#auth.dispose();
    }
  }

  /**
   * The algorithms by which the server shows the keys that it has not shown, as
   * far as they were offered to it. For a dial that failed over the host key.
   */
  get otherHostKeys(): readonly string[] {
    const typeOf = (name: string) =>
      name.startsWith("rsa-sha2-") ? "ssh-rsa" : name;
    return this.#algorithms?.hostKey.filter((name) =>
      this.#offeredHostKeys.includes(name) &&
      typeOf(name) !== this.#shownHostKey
    ) ?? [];
  }

  async #steps(): Promise<ChannelConnection> {
    this.#check = await prepareHostKeyCheck(
      this.#host,
      this.#options.onNotice,
    );
    await this.#auth.prepare();
    this.#stop.signal.throwIfAborted();
    const ciphers = prepareCiphers();
    ciphers.catch(() => {}); // said below
    const { hostKey } = this.#tuning;
    const offered = algorithmsFor(this.#host, this.#check.hostKeyAlgorithms);
    this.#algorithms = hostKey === undefined
      ? offered
      : { ...offered, hostKey };
    const hybrids = this.#loadHybrids(this.#algorithms);
    hybrids.catch(() => {}); // said below
    const socket = await this.#openSocket();
    this.#hybrids = await hybrids;
    await ciphers;
    this.#stop.signal.throwIfAborted();
    const transport = await this.#handshake(socket);
    const {
      keepaliveIntervalMs = 15_000,
      keepaliveCountMax = 3,
      channelOpenTimeoutMs,
    } = this.#options;
    return new ChannelConnection({
      host: this.#host,
      transport,
      keepalive: {
        intervalMs: keepaliveIntervalMs,
        countMax: keepaliveCountMax,
      },
      agent: this.#auth.forwardedAgent,
      times: { ...timesFor(channelOpenTimeoutMs), ...this.#tuning.times },
      onNotice: this.#options.onNotice,
    });
  }

  /** Beside looking up the host and connecting. */
  #loadHybrids({ kex }: OfferedAlgorithms): Promise<LoadedHybrid[]> {
    const offered = HYBRIDS.filter(({ name }) => kex.includes(name));
    return Promise.all(offered.map(async (hybrid) => {
      try {
        return { ...hybrid, kem: await hybrid.load() };
      } catch (cause) {
        throw new DialError(
          "config",
          `${this.#progress.cannot()}: what ${hybrid.name} needs cannot be loaded: ` +
            firstLine(cause),
          {
            host: this.#progress.name,
            cause,
            hint: "Install the dependencies of @sshpool/sshpool; " +
              "@noble/post-quantum is one of them. Without post-quantum key " +
              `exchange: algorithms: { kex: "-${hybrid.name}" }`,
          },
        );
      }
    }));
  }

  async #openSocket(): Promise<Duplex> {
    const socket = startSocket(
      this.#host,
      this.#options.tunnel,
      (phase) => this.#progress.phase = phase,
    );
    this.#socket = socket;
    // For good: an error that nobody listens to would end the process, and
    // errors do come late.
    socket.on("error", (error) => this.#progress.lastError ??= error);
    try {
      await untilConnected(socket);
    } catch (error) {
      throw socketError(this.#host, this.#progress.phase, error);
    }
    if (this.#progress.phase !== "proxy") this.#progress.phase = "banner";
    return socket;
  }

  /** Decides on `ready` or the end of the socket, never on an `error`. */
  #handshake(socket: Duplex): Promise<Ssh2Transport> {
    return new Promise((resolve, reject) => {
      const client = new ssh2.Client();
      let transport: Ssh2Transport;
      const fail = () => reject(this.#progress.failure(this.#auth));
      // It has hung up while the rest was loaded, and tells nobody once more.
      if (socket.closed) return fail();
      const onEnd = () => {
        // A server that hangs up while its key is judged may have shown a
        // wrong one, and that is then the error.
        const { judgement } = this.#guard;
        if (judgement === undefined || this.#progress.violation !== undefined) {
          fail();
        } else judgement.then(fail);
      };
      client.on("error", (error) => {
        // What ssh2 makes of the rest of the packet says nothing.
        const { lastError } = this.#progress;
        if (lastError !== undefined && isTooLong(lastError)) return;
        this.#progress.lastError = serverError(error);
      });
      client.once("handshake", ({ kex }) => {
        this.#progress.phase = "auth";
        if (!POST_QUANTUM.test(kex)) this.#tellClassical(kex);
      });
      client.once("ready", () => {
        this.#guard.ready();
        this.#longPackets?.end();
        socket.off("close", onEnd);
        resolve(transport);
      });
      socket.once("close", onEnd);
      // A peer that hung up takes nothing more. A TCP socket then closes of
      // itself, a tunnel or a proxy command does not.
      socket.once("end", () => socket.destroy());
      // ssh2 hangs up by ending the stream and waits for the peer, which may
      // never answer.
      socket.once("finish", () => socket.destroy());
      try {
        transport = this.#connect(client, socket);
      } catch (error) {
        reject(this.#progress.configError(error));
      }
    });
  }

  #tellClassical(kex: string): void {
    this.#options.onNotice?.({
      code: NOT_POST_QUANTUM,
      message:
        `The keys for ${
          JSON.stringify(this.#progress.name)
        } were agreed on with ` +
        `${kex}: who records the connection can read it once there are ` +
        "quantum computers",
    });
  }

  #connect(client: Client, socket: Duplex): Ssh2Transport {
    const algorithms = this.#algorithms!;
    client.connect({
      ...this.#auth.connectConfig,
      sock: socket,
      readyTimeout: 0, // the deadline is ours
      keepaliveInterval: 0, // and so is the keepalive
      algorithms: ssh2Algorithms(algorithms),
      authHandler: (methods, partial, next) =>
        this.#auth.handler(methods, partial, (attempt) => {
          this.#guard.credentialSent();
          next(attempt);
        }),
      hostVerifier: this.#guard.verifier,
    });
    const raw = internalsOf(client);
    endCiphers(raw._protocol);
    const hybrids = this.#hybrids.length === 0
      ? undefined
      : new HybridOffer(raw._protocol, algorithms.kex, this.#hybrids);
    const { readFirst } = new Exchanges(raw._protocol, {
      onViolation: (violation) => this.#progress.violation ??= violation,
      onMismatch: (mismatch) => this.#progress.mismatch = mismatch,
      onOffer: ({ hostKey }) => this.#offeredHostKeys = hostKey,
    }, hybrids);
    this.#auth.attach(client);
    const transport = new Ssh2Transport(client, raw, socket);
    const { rekeyLimits = REKEY_LIMITS } = this.#tuning;
    const rekeying = new Rekeying(raw._protocol, rekeyLimits);
    const longPackets = this.#longPackets = new LongPackets(raw._protocol);
    client.on("handshake", (negotiated) => {
      rekeying.renewed();
      longPackets.renewed(negotiated);
    });
    this.#guard.attach(
      raw,
      socket,
      (onPayload) => readFirst(longPackets.readFirst(onPayload)),
    );
    this.#progress.greeting = new Greeting(
      socket,
      () => this.#progress.phase = "kex",
    );
    return transport;
  }

  async #judge(key: Uint8Array): Promise<void> {
    this.#progress.phase = "hostkey";
    try {
      const shown = parseHostKey(this.#host, this.#progress.name, key);
      this.#shownHostKey = shown.type;
      await this.#check?.verify(shown);
    } catch (error) {
      this.#progress.hostKeyError = error instanceof Error
        ? error
        : new Error(String(error));
      throw error;
    }
    this.#progress.phase = "kex";
  }
}

function firstLine(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : String(cause);
  return message.split("\n", 1)[0]!;
}
