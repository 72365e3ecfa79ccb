/**
 * The multiplexing protocol of OpenSSH (PROTOCOL.mux), from the client's side.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { onAbort } from "../abort.ts";
import {
  type FrameField,
  frameOf,
  type FrameParts,
  FrameSplitter,
} from "./_frames.ts";

export const HELLO = 1;
export const ALIVE_CHECK = 0x10000004;
export const TERMINATE = 0x10000005;
export const OPEN_FORWARD = 0x10000006;
export const CLOSE_FORWARD = 0x10000007;
export const PROXY = 0x1000000f;
export const PROXIED = 0x8000000f;
const PERMISSION_DENIED = 0x80000002;
const FAILURE = 0x80000003;

/** The version of the protocol, the same since OpenSSH 5. */
export const MUX_VERSION = 4;
/** In a request to forward: the far side listens. */
export const REMOTE = 2;
/** Stands for a port where the name before it is the path of a unix socket. */
export const IS_PATH = 0xfffffffe;

/** As much as is read from a socket at once. */
const READ_BYTES = 64 * 1024;

/** How long a master may take to answer, in milliseconds. */
const ANSWER_MS = 10_000;

/** What a master answered: its type, and what follows the number of the request. */
export interface ControlAnswer {
  readonly type: number;
  readonly rest: Buffer;
}

type Waiter = (answer: Buffer | Error) => void;

/** Options of {@linkcode Control.open}. */
export interface ControlOptions {
  /**
   * How long the master may take to answer, in milliseconds.
   *
   * @default {10_000}
   */
  readonly answerMs?: number;
  /** Ends the connection. */
  readonly signal?: AbortSignal;
}

/** One control connection to a master. */
export class Control {
  /** The connection. Whoever sets `onFrame` owns it. */
  readonly socket: Socket;
  /**
   * Gets each frame, once answers are waited for no more. It must copy what it
   * keeps: all is read into the same memory, since 500 MB of fresh memory would
   * be as much work for the garbage collector as all the rest.
   */
  onFrame: ((frame: Buffer) => void) | undefined;
  /** Gets those that do not come in one piece, if it wants them. */
  parts: FrameParts | undefined;
  readonly #splitter = new FrameSplitter();
  readonly #waiting: Waiter[] = [];
  readonly #answerMs: number;

  /**
   * Connects to a master and greets it.
   *
   * @param path The path of its socket.
   */
  static async open(
    path: string,
    options: ControlOptions = {},
  ): Promise<Control> {
    const control = new Control(path, options);
    try {
      const hello = control.#next();
      control.socket.write(frameOf(HELLO, MUX_VERSION));
      const version = numberAt(await hello, 4);
      if (version === MUX_VERSION) return control;
      throw new Error(
        `ssh speaks version ${version} of its control protocol, must be ` +
          `${MUX_VERSION}`,
      );
    } catch (error) {
      control.close();
      throw error;
    }
  }

  private constructor(
    path: string,
    { answerMs = ANSWER_MS, signal }: ControlOptions,
  ) {
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    const socket = this.socket = connect({
      path,
      onread: {
        buffer,
        callback: (length) => this.#read(buffer.subarray(0, length)),
      },
    });
    this.#answerMs = answerMs;
    const unwatch = onAbort(signal, () => socket.destroy());
    socket.once("close", unwatch);
    const fail = (error: Error) => {
      for (const waiter of this.#waiting.splice(0)) waiter(error);
    };
    socket.on("error", fail);
    socket.on("close", () => fail(new Error("ssh closed its control socket")));
  }

  /** @returns Whether to go on reading. */
  #read(chunk: Buffer): boolean {
    try {
      this.#splitter.push(chunk, (frame) => {
        if (this.onFrame !== undefined) this.onFrame(frame);
        else this.#waiting.shift()?.(Buffer.from(frame));
      }, this.parts);
    } catch (error) {
      this.socket.destroy(error as Error);
    }
    return true;
  }

  /**
   * Asks, and waits for the answer.
   *
   * @throws {Error} With the text of the master if it refuses.
   */
  async ask(
    type: number,
    ...fields: readonly FrameField[]
  ): Promise<ControlAnswer> {
    const answer = this.#next();
    this.socket.write(frameOf(type, 0, ...fields));
    const frame = await answer;
    const got = numberAt(frame, 0);
    const rest = frame.subarray(8);
    if (got === FAILURE || got === PERMISSION_DENIED) {
      throw new Error(rest.subarray(4).toString() || "ssh refused");
    }
    return { type: got, rest };
  }

  /** Ends the connection. */
  close(): void {
    this.socket.destroy();
  }

  #next(): Promise<Buffer> {
    const ms = this.#answerMs;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => waiter(new Error(`ssh did not answer in ${ms} ms`)),
        ms,
      );
      const waiter: Waiter = (answer) => {
        clearTimeout(timer);
        if (answer instanceof Error) reject(answer);
        else resolve(answer);
      };
      this.#waiting.push(waiter);
    });
  }
}

/**
 * Reads a number of a frame.
 *
 * @throws {Error} If the frame is too short.
 */
export function numberAt(frame: Buffer, at: number): number {
  if (frame.length >= at + 4) return frame.readUInt32BE(at);
  throw new Error(`ssh sent a frame of ${frame.length} bytes, too short`);
}
