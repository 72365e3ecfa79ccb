/**
 * One dial: from a host to a connection over `ssh`.
 *
 * @module
 */

import { ChannelConnection } from "../channels/connection.ts";
import { timesFor } from "../channels/times.ts";
import { DIAL_STEPS } from "../connect_options.ts";
import type { Connection, ConnectOptions } from "../connector.ts";
import type { DialPhase } from "../errors.ts";
import type { ResolvedHost } from "../host/host.ts";
import { Folders } from "./_folder.ts";
import { Master } from "./_master.ts";
import { MuxTransport } from "./_packet_transport.ts";
import { Program } from "./_program.ts";
import type { Settings } from "./options.ts";

/** What the connector has to say about a dial. */
export interface DialWatch {
  /** Ends the dial, at its deadline too. */
  readonly signal: AbortSignal;
  /** Gets what tells the step that is under way, in words. */
  onStart(doing: () => string): void;
}

/** Dials with one `ssh`, and one place for its sockets. */
export class Dialler {
  readonly #settings: Settings;
  readonly #program: Program;
  readonly #folders: Folders;

  /** @param settings The options of the connector. */
  constructor(settings: Settings) {
    this.#settings = settings;
    this.#program = new Program(settings.path);
    this.#folders = new Folders(settings.folder);
  }

  /**
   * Opens one connection.
   *
   * @throws {DialError} If it fails.
   * @throws The reason of the signal.
   */
  async dial(
    host: ResolvedHost,
    options: ConnectOptions,
    { signal, onStart }: DialWatch,
  ): Promise<Connection> {
    const parts = {
      host,
      options,
      settings: this.#settings,
      program: this.#program,
      folders: this.#folders,
    };
    const { master, control } = await Master.start(
      parts,
      signal,
      ({ log }) => onStart(() => stepOf(log.phase)),
    );
    return new ChannelConnection({
      host,
      transport: new MuxTransport(master, control),
      // ssh asks the server itself.
      keepalive: { intervalMs: 0, countMax: 0 },
      times: timesFor(options.channelOpenTimeoutMs),
      // The channels to it are served by ssh.
      agent: host.agentForward === true ? {} : undefined,
      onNotice: options.onNotice,
    });
  }
}

function stepOf(phase: DialPhase): string {
  return phase === "config" ? "starting ssh" : DIAL_STEPS[phase];
}
