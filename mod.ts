/**
 * An SSH connection pool: one dial per host however many callers ask,
 * thousands of commands over a handful of connections, and every promise
 * settles with the truth.
 *
 * @module
 */

export * from "./transport/mod.ts";
