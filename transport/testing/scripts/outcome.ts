/**
 * Outcomes: how a script answers when a step asks whether it may go on.
 *
 * @module
 */

/**
 * What becomes of one step: it goes on (`"ok"`, or nothing), hangs until it is
 * aborted (`"never"`), fails with an error, or waits `delayMs` and then meets
 * the next outcome. A promise is a gate that the test opens.
 */
export type Outcome =
  | void
  | "ok"
  | "never"
  | Error
  | { readonly delayMs: number; readonly then?: Outcome }
  | PromiseLike<Outcome>;
