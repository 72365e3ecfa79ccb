/**
 * What a session channel is asked for: variables, a terminal, a command.
 *
 * @module
 */

import { ChannelOpenError } from "../errors.ts";
import { EnvironmentRefusedError } from "../session/errors.ts";
import type { ForwardedAgent } from "./_agent_channels.ts";
import type { Channel } from "./_channel.ts";
import type { Lost } from "./_lost.ts";
import type { ChannelTable } from "./_channel_table.ts";
import type { WireField } from "./_wire.ts";
import type { SessionRequest } from "./_session_request.ts";

/** What a command needs of its connection. */
export interface SessionContext {
  /** The channels of the connection. */
  readonly table: ChannelTable;
  /** The name of the host, for messages. */
  readonly name: string;
  /** Variables of every session; the server may refuse them. */
  readonly env: Readonly<Record<string, string>>;
  /** What the server has said of variables, which stays so: by name. */
  readonly acceptedEnv: Map<string, boolean>;
  /** Told of variables of the host that the server refuses. */
  readonly onEnvRefused: (name: string) => void;
  /** See `Times`. */
  readonly stallMs: number;
  /** The agent that is to be forwarded, if one is. */
  readonly agent: ForwardedAgent | undefined;
  /** The error of an operation that the end of the connection broke. */
  readonly lost: Lost;
  /** Whether the server says of each command how it ended. */
  readonly namesStatus: boolean;
  /**
   * Resolves to whether the connection ends, too, within a moment: a server
   * that hangs up may close the channels first, and then say why.
   */
  readonly endsToo: () => Promise<boolean>;
}

/** Told how the requests went. */
export interface RequestListener {
  /** The command was sent: it may run from here on. */
  onSent(): void;
  /** The server has granted it. */
  onGranted(): void;
  /** It does not run, unless it was sent and the error says so. */
  onRefused(error: Error): void;
}

/** Sends the requests of one session, in as few round trips as can be. */
export class CommandRequests {
  readonly #context: SessionContext;
  readonly #request: SessionRequest;
  readonly #channel: Channel;
  readonly #listener: RequestListener;
  /** Answers that must be there before the command is sent. */
  #awaited = 0;
  #isSent = false;
  /** Variables that the server refuses. */
  readonly #refused: string[] = [];
  #isRefused = false;

  constructor(
    context: SessionContext,
    request: SessionRequest,
    channel: Channel,
    listener: RequestListener,
  ) {
    this.#context = context;
    this.#request = request;
    this.#channel = channel;
    this.#listener = listener;
  }

  /** Sends all that needs no answer first, and waits for the rest. */
  send(): void {
    this.#send(() => {
      this.#sendHostEnv();
      this.#sendEnv();
      this.#forwardAgent();
      this.#sendTerminal();
      if (this.#awaited === 0) this.#proceed();
    });
  }

  /** What cannot be sent fails this session alone. */
  #send(write: () => void): void {
    try {
      write();
    } catch (error) {
      this.#refuse(error as Error);
    }
  }

  #refuse(error: Error): void {
    if (this.#isRefused) return;
    this.#isRefused = true;
    this.#listener.onRefused(error);
  }

  /** Without them the command is another one, and must not run. */
  #sendEnv(): void {
    const { acceptedEnv } = this.#context;
    for (const [name, value] of Object.entries(this.#request.env)) {
      const answered = (granted: boolean) => {
        acceptedEnv.set(name, granted);
        if (!granted) this.#refused.push(name);
      };
      const fields = [name, value];
      if (acceptedEnv.get(name) === true) {
        this.#askAlong("env", fields, answered);
      } else this.#ask("env", fields, answered);
    }
  }

  /** Those of the host are set where the server lets them be, as with ssh. */
  #sendHostEnv(): void {
    const { acceptedEnv, env, onEnvRefused } = this.#context;
    for (const [name, value] of Object.entries(env)) {
      if (Object.hasOwn(this.#request.env, name)) continue;
      const known = acceptedEnv.get(name);
      if (known === false) continue;
      if (known === true) {
        this.#channel.tell("env", [name, value]);
        continue;
      }
      this.#channel.request(
        "env",
        [name, value],
        (granted) => {
          if (acceptedEnv.get(name) === granted) return;
          acceptedEnv.set(name, granted);
          if (!granted) onEnvRefused(name);
        },
      );
    }
  }

  #sendTerminal(): void {
    const { pty } = this.#request;
    if (pty === undefined) return;
    const { term = "xterm-256color", columns = 80, rows = 24 } = pty;
    this.#ask(
      "pty-req",
      // No modes: an opcode of 0 ends the list.
      [term, columns, rows, 0, 0, new Uint8Array(1)],
      (granted) => {
        if (granted) return;
        const why = "the server grants no terminal";
        this.#refuse(refusal(this.#context, this.#request, why));
      },
    );
  }

  #ask(
    name: string,
    fields: readonly WireField[],
    answered: (granted: boolean) => void,
  ): void {
    this.#awaited++;
    this.#channel.request(name, fields, (granted) => {
      answered(granted);
      if (--this.#awaited === 0) this.#proceed();
    });
  }

  /** For what was granted before: the command does not wait for the answer. */
  #askAlong(
    name: string,
    fields: readonly WireField[],
    answered: (granted: boolean) => void,
  ): void {
    this.#channel.request(name, fields, (granted) => {
      answered(granted);
      if (!granted && this.#isSent) this.#refuseEnv();
    });
  }

  #refuseEnv(): void {
    this.#refuse(envRefused(this.#context, this.#refused, this.#isSent));
  }

  /** All answers that were awaited are there. */
  #proceed(): void {
    if (this.#isRefused) return;
    if (this.#refused.length === 0) {
      return this.#send(() => this.#sendCommand());
    }
    this.#refuseEnv();
  }

  #sendCommand(): void {
    const { line } = this.#request;
    this.#channel.request(
      line === undefined ? "shell" : "exec",
      line === undefined ? [] : [line],
      (granted) => {
        if (!granted) {
          const why = `the server refused the ${this.#request.what}`;
          return this.#refuse(refusal(this.#context, this.#request, why));
        }
        this.#channel.started();
        this.#listener.onGranted();
      },
    );
    this.#isSent = true;
    this.#listener.onSent();
  }

  #forwardAgent(): void {
    const { agent } = this.#context;
    if (agent === undefined || agent.isForwarded) return;
    // Once for each connection, as sshd keeps one socket for all of them.
    agent.isForwarded = true;
    this.#channel.request(
      "auth-agent-req@openssh.com",
      [],
      (granted) => agent.isForwarded = granted,
    );
  }
}

/** The error for a session that the server does not serve; nothing has run. */
export function refusal(
  { name }: SessionContext,
  request: SessionRequest,
  why: string,
): ChannelOpenError {
  return new ChannelOpenError(
    `Cannot ${doing(request)} on ${JSON.stringify(name)}: ${why}`,
    { host: name, reason: 0 },
  );
}

/** What a session is for, for messages. */
export function doing({ what }: SessionRequest): string {
  return what === "shell" ? "start the shell" : "run the command";
}

function envRefused(
  { name }: SessionContext,
  names: readonly string[],
  mayHaveRun: boolean,
): EnvironmentRefusedError {
  const shown = names.map((it) => JSON.stringify(it)).join(", ");
  return new EnvironmentRefusedError(
    `Cannot run the command on ${JSON.stringify(name)}: the server refuses ` +
      `to set ${shown}`,
    {
      host: name,
      names,
      mayHaveRun,
      hint: "add the names to AcceptEnv of the server's sshd_config, or set " +
        'envMode to "inline"',
    },
  );
}
