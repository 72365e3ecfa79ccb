/**
 * How far a dial has come, and the error of one that goes no further.
 *
 * @module
 */

import { DIAL_STEPS } from "../../connect_options.ts";
import { DialError, type DialPhase } from "../../errors.ts";
import type { ProtocolViolation } from "../../channels/packet_transport.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import { isTooLong, MAX_LOGIN_PACKET_BYTES } from "../cipher/long_packets.ts";
import { Ssh2VersionError } from "../fence/version_check.ts";
import { mismatchHint } from "./_algorithms.ts";
import type { Greeting } from "./_greeting.ts";
import type { NoCommonAlgorithm } from "./_kex_init.ts";

/** What a dial has met so far; an error comes of the first that explains it. */
export class DialProgress {
  /** The name of the host, for messages. */
  readonly name: string;
  phase: DialPhase = "config";
  greeting: Greeting | undefined;
  hostKeyError: Error | undefined;
  violation: ProtocolViolation | undefined;
  mismatch: NoCommonAlgorithm | undefined;
  lastError: (Error & { level?: string }) | undefined;

  /** @param name The name of the host. */
  constructor(name: string) {
    this.name = name;
  }

  /**
   * Makes the error of a dial whose server or socket has ended.
   *
   * @param auth What knows how the login went.
   */
  failure(auth: Pick<Authenticator, "error">): Error {
    if (this.hostKeyError !== undefined) return this.#refusedKey();
    const violation = this.violation;
    if (violation !== undefined) {
      return this.#error("kex", violation.message, violation);
    }
    const mismatch = this.mismatch;
    if (mismatch !== undefined) {
      return new DialError("kex", `${this.cannot()}: ${mismatch.message}`, {
        host: this.name,
        cause: mismatch,
        hint: mismatchHint(mismatch),
      });
    }
    const cause = this.lastError;
    switch (this.phase) {
      case "proxy":
      case "banner":
        return this.#lostBeforeBanner();
      case "auth":
        return this.#failedToAuthenticate(auth);
      default:
        return this.#error(
          this.phase,
          cause?.message ?? "the server closed the connection",
        );
    }
  }

  #refusedKey(): Error {
    const error = this.hostKeyError;
    if (error instanceof DialError || error instanceof TypeError) return error;
    return this.#error("hostkey", error?.message ?? "not verified", error);
  }

  #lostBeforeBanner(): DialError {
    const cause = this.lastError;
    const said = this.greeting?.text;
    // Of a proxy command, unless the server has said what is wrong.
    if (cause instanceof DialError && !said) return cause;
    const why = said
      ? `the server said ${JSON.stringify(said)}`
      : "the connection was closed before the server's banner";
    // Through a hop or a proxy command, too: it was connected, or it would have
    // failed in another way. But not what speaks another protocol: waiting does
    // not make it an sshd.
    const throttled = this.greeting?.isThrottling ?? true;
    return this.#error(this.phase, why, cause, throttled);
  }

  #failedToAuthenticate(auth: Pick<Authenticator, "error">): Error {
    const cause = this.lastError;
    if (cause !== undefined && isTooLong(cause)) return this.#tooLong(cause);
    const refused = cause?.level === "client-authentication" ||
      /too many auth|authentication/i.test(cause?.message ?? "");
    return refused ? auth.error(cause) : this.#error(
      "auth",
      cause?.message ?? "the server closed the connection",
    );
  }

  /** What is sent before the login is short, but for a banner. */
  #tooLong(cause: Error): DialError {
    return new DialError(
      "auth",
      `${this.cannot()}: the server sent a message that is too long, as a ` +
        `login banner of more than ${MAX_LOGIN_PACKET_BYTES} bytes is`,
      {
        host: this.name,
        cause,
        hint: "shorten the text that Banner of its sshd_config names",
      },
    );
  }

  /** Makes the error of a dial that ssh2 or its options do not allow. */
  configError(error: unknown): Error {
    if (error instanceof DialError) return error;
    if (error instanceof Ssh2VersionError) {
      return new DialError("config", error.message, {
        host: this.name,
        cause: error,
      });
    }
    const why = error instanceof Error ? error.message : String(error);
    return this.#error("config", why, error);
  }

  /** Makes the error of a dial whose time is up. */
  timedOut(timeoutMs: number): DialError {
    return new DialError(
      "timeout",
      `${this.cannot()}: no success within ` +
        `${Math.round(timeoutMs)} ms, while ${DIAL_STEPS[this.phase]}`,
      { host: this.name, cause: this.lastError },
    );
  }

  #error(
    phase: DialPhase,
    why: string,
    cause: unknown = this.lastError,
    throttled = false,
  ): DialError {
    return new DialError(
      phase,
      `${this.cannot()}: ${why}`,
      { host: this.name, cause, throttled },
    );
  }

  /** Begins each message. */
  cannot(): string {
    return `Cannot connect to ${JSON.stringify(this.name)}`;
  }
}
