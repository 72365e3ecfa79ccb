/**
 * What `ssh -v` says, as the step of a dial, its error and its notices.
 *
 * `ssh` writes the banner of a server between its own lines, line breaks and
 * all, so that any line may be the server's. But no banner comes before the
 * first keys are in use: what is known of the server is read by then. Later
 * lines make no more than the text and the details of an error.
 *
 * @module
 */

import type { ConnectionAlgorithms, Notice } from "../connector.ts";
import {
  AuthenticationError,
  DialError,
  type DialPhase,
  HostKeyError,
} from "../errors.ts";
import { serverText } from "../session/server_text.ts";

/** How many lines are kept that are no debugging. */
const MAX_SAID = 50;
const MAX_LINE = 300;
/** How much is kept of what came in place of SSH. */
const MAX_GREETING = 1000;
/** How many attempts to log in and how many key files are kept. */
const MAX_KEPT = 200;
/** More than any dial has, with all the hosts that it goes through. */
const MAX_NOTICES = 20;
const THROTTLING = /maxstartups|not allowed at this time|too many/i;
/** The end of a master that went as it should. */
const CHATTER = /^(Authenticated (to|using) |Transferred: |Bytes per second: )/;

type HostKeyReason = HostKeyError["reason"];

/** Reads the log of one connection, line by line. */
export class DialLog {
  readonly #host: string;
  readonly #onNotice: (notice: Notice) => void;
  #phase: DialPhase = "config";
  /** How many ssh write here: one for each host of a ProxyJump, too. */
  #writers = 0;
  /** How many of them have said that they use the keys of the server. */
  #keyed = 0;
  #software = "";
  readonly #algorithms: Record<string, string> = {};
  #keyType = "";
  #fingerprint = "";
  #offered: string[] = [];
  readonly #tried: string[] = [];
  /** The files that may hold a key. */
  readonly #keyFiles = new Set<string>();
  /** A key that is sent without asking first; the server's answer follows. */
  #unasked: string | undefined;
  /** What came before the banner, in place of SSH. */
  #greeting = "";
  #said: string[] = [];
  #location: string | undefined;
  #hostKey: HostKeyReason | undefined;
  #notices = 0;

  /**
   * @param host The name of the host, for messages.
   * @param onNotice Gets what is worth a line in a log.
   */
  constructor(host: string, onNotice: (notice: Notice) => void = () => {}) {
    this.#host = host;
    this.#onNotice = onNotice;
  }

  /** The step that is under way. */
  get phase(): DialPhase {
    return this.#phase;
  }

  /**
   * How the server calls itself, such as `OpenSSH_9.2p1`; `""` if unknown, as
   * behind a ProxyJump: no line says which ssh wrote it.
   */
  get software(): string {
    return this.#writers > 1 ? "" : this.#software;
  }

  /** What the key exchange agreed on; `undefined` before, and if unknown. */
  get algorithms(): ConnectionAlgorithms | undefined {
    const { kex, hostKey, cipher, mac } = this.#algorithms;
    return this.#writers > 1 || kex === undefined || hostKey === undefined ||
        cipher === undefined || mac === undefined
      ? undefined
      : { kex, hostKey, cipher, mac };
  }

  /** The last thing that was said and is no debugging; `""` for nothing. */
  get lastWords(): string {
    return this.#said.at(-1) ?? "";
  }

  /** The key that the server showed: its type and its `SHA256:...`; empty before. */
  get shownKey(): { readonly type: string; readonly fingerprint: string } {
    return { type: this.#keyType, fingerprint: this.#fingerprint };
  }

  /** From here on a line can be the server's. */
  get #isKeyed(): boolean {
    return this.#keyed > 0 && this.#keyed >= this.#writers;
  }

  /** What the log said until the login does not explain a later end. */
  forgetLogin(): void {
    this.#said = [];
    this.#keyFiles.clear();
  }

  /**
   * Reads the next line.
   *
   * @returns Whether ssh says that it is ready: so does a banner, but not before
   *   all that is known of the server was read.
   */
  read(line: string): boolean {
    if (!line.startsWith("debug1: ")) {
      if (line.trim() !== "" && !CHATTER.test(line)) this.#hear(line.trim());
      return false;
    }
    const text = line.slice("debug1: ".length);
    if (text.startsWith("Entering interactive session")) return true;
    if (!this.#isKeyed) {
      this.#advance(text);
      this.#learn(text);
    }
    this.#note(text);
    return false;
  }

  /** What ssh says through the helper, as no server can. */
  tell(text: string): void {
    const line = text.trim();
    this.#keep(line);
    if (/^Confirm user presence for key /.test(line)) {
      this.#onNotice({
        code: "touch-security-key",
        message: `${this.lastWords} for ${JSON.stringify(this.#host)}`,
      });
    }
  }

  #advance(text: string): void {
    if (text.startsWith("Connecting to ")) this.#phase = "tcp";
    else if (text.startsWith("Executing proxy command")) this.#phase = "proxy";
    else if (text.startsWith("Connection established")) this.#phase = "banner";
    else if (text.startsWith("SSH2_MSG_NEWKEYS received")) {
      this.#keyed++;
      this.#phase = "auth";
    } else if (text.startsWith("Local version string ")) {
      // All of them say so before a server says a word.
      if (this.#software === "") this.#writers++;
    } else if (text.startsWith("Remote: ") && this.#writers < 2) {
      // A message of the server, with line breaks of its own. From now on
      // nothing is known, and no warning is held back.
      this.#writers = Infinity;
    }
    const version =
      /^Remote protocol version [\d.]+, remote software version (\S.*)$/
        .exec(text)?.[1];
    if (version !== undefined) {
      this.#software = serverText(version, 255);
      this.#phase = "kex";
    }
    const shown = /^Server host key: (\S+) (\S+)/.exec(text);
    if (shown !== null) {
      [, this.#keyType = "", this.#fingerprint = ""] = shown;
      this.#phase = "hostkey";
    }
    const banner = /^kex_exchange_identification: banner line \d+: (.*)/
      .exec(text)?.[1];
    if (banner !== undefined) {
      this.#greeting = `${this.#greeting}${banner} `.slice(0, MAX_GREETING);
    }
  }

  /** Algorithms, and files of keys. */
  #learn(text: string): void {
    const agreed = /^kex: (algorithm|host key algorithm): (\S+)/.exec(text);
    if (agreed !== null) {
      const name = agreed[1] === "algorithm" ? "kex" : "hostKey";
      this.#algorithms[name] = agreed[2]!;
    }
    const cipher = /^kex: client->server cipher: (\S+) MAC: (\S+)/.exec(text);
    if (cipher !== null) {
      this.#algorithms.cipher = cipher[1]!;
      this.#algorithms.mac = cipher[2]!;
    }
    const file = /^identity file (.+) type -?\d+$/.exec(text)?.[1];
    if (file !== undefined && this.#keyFiles.size < MAX_KEPT) {
      this.#keyFiles.add(file);
    }
  }

  /** What was tried to log in. */
  #note(text: string): void {
    const offered = /^Authentications that can continue: (.*)/.exec(text)?.[1];
    if (offered !== undefined) {
      this.#offered = offered.split(",").map((it) => serverText(it, 64));
      if (this.#unasked !== undefined) this.#try(this.#unasked);
      this.#unasked = undefined;
    }
    const key = /^(Offering public|Trying private) key: (\S+)/.exec(text);
    if (key !== null) {
      const tried = `publickey ${key[2]}`;
      if (key[1] === "Offering public") this.#try(tried);
      this.#unasked = key[1] === "Offering public" ? undefined : tried;
    }
    const method = /^Next authentication method: (\S+)/.exec(text)?.[1];
    if (method !== undefined && method !== "publickey") this.#try(method);
  }

  #try(what: string): void {
    if (this.#tried.length < MAX_KEPT) {
      this.#tried.push(serverText(what, MAX_LINE));
    }
  }

  #keep(line: string): void {
    this.#said.push(serverText(line, MAX_LINE));
    if (this.#said.length > MAX_SAID) this.#said.shift();
  }

  /** A line that is meant for a person. */
  #hear(line: string): void {
    this.#keep(line);
    const open = /^Permissions \d+ for '(.+)' are too open/.exec(line)?.[1];
    // A banner can say it, too, but only once of each file that ssh would use.
    if (open !== undefined && this.#keyFiles.delete(open)) {
      this.#give(
        "key-not-used",
        `A private key is not used: ${this.lastWords}`,
      );
    }
    if (!this.#isKeyed) this.#hearOfKey(line);
  }

  #hearOfKey(line: string): void {
    if (/HOST IDENTIFICATION HAS CHANGED/.test(line)) {
      this.#hostKey = "mismatch";
    } else if (/REVOKED HOST KEY|revoked/.test(line)) this.#hostKey = "revoked";
    else if (/^No \S+ host key is known/.test(line)) this.#hostKey = "unknown";
    const place = /^Offending \S+ key in (.+:\d+)$/.exec(line)?.[1];
    if (place !== undefined) this.#location = place;
    const added = /^Warning: Permanently added '([^']+)' \((\S+)\)/.exec(line);
    if (added !== null) {
      this.#give(
        "host-key-accepted",
        `ssh added the host key ${added[2]} ${this.#fingerprint} of ` +
          `${JSON.stringify(added[1])} to known_hosts`,
      );
    } else if (/^Failed to add the host to the list of known/.test(line)) {
      this.#give(
        "host-key-not-stored",
        `${serverText(line, MAX_LINE)} The host key ` +
          `${this.#fingerprint} of ${JSON.stringify(this.#host)} was ` +
          "accepted, and will be new at the next dial",
      );
    }
  }

  #give(code: string, message: string): void {
    if (this.#notices++ < MAX_NOTICES) this.#onNotice({ code, message });
  }

  /**
   * Makes the error of a dial that failed.
   *
   * @param code The exit code of ssh, if there was one.
   */
  failure(code: number | null): DialError {
    const last = this.lastWords.replace(/^ssh: /, "") ||
      `ssh ended${code === null ? "" : ` with code ${code}`} and said nothing`;
    const message = `Cannot connect to ${JSON.stringify(this.#host)}: ${last}`;
    const options: NonNullable<ConstructorParameters<typeof DialError>[2]> = {
      host: this.#host,
      cause: new Error(this.#said.join("\n") || last),
    };
    if (
      !this.#isKeyed &&
      /^Host key verification failed|host key is known for /.test(last)
    ) {
      return this.#refusedKey(options);
    }
    if (
      /Permission denied|Too many authentication fail|No more authenticat/
        .test(last)
    ) {
      const list = /Permission denied \((.*)\)/.exec(last)?.[1];
      return new AuthenticationError(message, {
        ...options,
        tried: this.#tried,
        offered: list?.split(",") ?? this.#offered,
      });
    }
    return this.#plain(last, message, options);
  }

  #plain(
    last: string,
    message: string,
    options: NonNullable<ConstructorParameters<typeof DialError>[2]>,
  ): DialError {
    if (/Could not resolve hostname/.test(last)) {
      return new DialError("dns", message, options);
    }
    if (
      /^(command-line|\S+:?) line \d+:|Bad configuration|terminating,/.test(
        last,
      )
    ) {
      return new DialError("config", message, options);
    }
    if (/^connect to host /.test(last)) {
      return new DialError("tcp", message, options);
    }
    // Its own clock has the same deadline as ours, and may be the first.
    if (/^Connection (to \S+ port \d+ )?timed out/.test(last)) {
      return new DialError("timeout", message, options);
    }
    // Not what speaks another protocol: waiting does not make it an sshd.
    const throttled = this.#phase === "banner" &&
      !/invalid format|unexpected|banner line/i.test(last) &&
      (this.#greeting === "" || THROTTLING.test(this.#greeting));
    // A connection that ends while its key is judged says nothing of the key.
    const phase = this.#phase === "hostkey" ? "kex" : this.#phase;
    return new DialError(phase, message, { ...options, throttled });
  }

  #refusedKey(
    options: NonNullable<ConstructorParameters<typeof DialError>[2]>,
  ): HostKeyError {
    const why = this.#said.findLast((it) => /host key is known/.test(it)) ??
      (this.#hostKey === "mismatch"
        ? "it has changed. Either somebody is on the path, or the key was " +
          "replaced: then remove the line"
        : this.#hostKey === "revoked"
        ? "it is revoked"
        : "ssh does not trust it");
    const at = this.#location === undefined ? "" : ` (${this.#location})`;
    return new HostKeyError(
      `Cannot trust the host key ${this.#fingerprint} of ` +
        `${JSON.stringify(this.#host)}: ${why.replace(/\.$/, "")}${at}`,
      {
        ...options,
        fingerprint: this.#fingerprint,
        reason: this.#hostKey ?? "refused",
        location: this.#location,
      },
    );
  }
}
