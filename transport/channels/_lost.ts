/**
 * What an operation is told whose connection has ended.
 *
 * @module
 */

import type { ConnectionLostError } from "../errors.ts";

/** Makes the error of an operation that the end of the connection broke. */
export type Lost = (
  doing: string,
  details?: LostDetails,
) => ConnectionLostError;

/** What such an error says of a command. */
export interface LostDetails extends
  Pick<
    NonNullable<ConstructorParameters<typeof ConnectionLostError>[1]>,
    "mayHaveRun" | "output"
  > {
  /** What is wrong with a connection that has not ended. */
  readonly why?: string;
}
