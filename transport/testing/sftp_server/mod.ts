/**
 * An SFTP server for tests.
 *
 * @module
 */

export * from "./request.ts";
export * from "./served_files.ts";
export * from "./sftp_server.ts";
