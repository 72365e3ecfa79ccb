/**
 * ssh2, as every module here has to import it.
 *
 * @module
 */

// The order matters: see there.
import { restore } from "./_ssh2_ciphers.ts";
// @ts-types="@types/ssh2"
export { default } from "ssh2";

restore();
