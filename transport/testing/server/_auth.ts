/** Who the embedded server lets in. */

import { Buffer } from "node:buffer";
import { timingSafeEqual } from "node:crypto";
// @ts-types="@types/ssh2"
import type { AuthContext, AuthenticationType } from "ssh2";
import {
  type EmbeddedServerOptions,
  SERVER_USER,
} from "./embedded_server_options.ts";
import { keyPair, parse } from "./_keys.ts";

/**
 * Judges one connection's attempts, each method of `requireMethods` in turn.
 *
 * @param onAttempt Called with each that counts: publickey probes do, as in OpenSSH.
 */
export function authenticator(
  options: EmbeddedServerOptions,
  onAttempt: () => void,
): (context: AuthContext) => void {
  const passed = new Set<string>();
  return (context) => {
    const methods = methodsLeft(options, passed);
    if (context.method === "none") return context.reject(methods);
    onAttempt();
    if (!methods.includes(context.method)) return context.reject(methods);
    judge(options, context, (ok) => {
      if (!ok) return context.reject(methods);
      // A probe asks whether the key would do: nothing is passed yet.
      if (context.method === "publickey" && !context.signature) {
        return context.accept();
      }
      passed.add(context.method);
      const left = methodsLeft(options, passed);
      if (!options.requireMethods || left.length === 0) return context.accept();
      context.reject(left, true);
    });
  };
}

function methodsLeft(
  options: EmbeddedServerOptions,
  passed: ReadonlySet<string>,
): AuthenticationType[] {
  if (options.requireMethods !== undefined) {
    return options.requireMethods.filter((m) => !passed.has(m)).slice(0, 1);
  }
  const methods: AuthenticationType[] = ["publickey"];
  if (options.keyboardInteractive) methods.push("keyboard-interactive");
  if (options.password !== undefined) methods.push("password");
  return methods;
}

function judge(
  options: EmbeddedServerOptions,
  context: AuthContext,
  done: (ok: boolean) => void,
): void {
  const { user = SERVER_USER, publicKeys = [] } = options;
  if (context.username !== user) return done(false);
  switch (context.method) {
    case "publickey": {
      const keys = [keyPair("client").publicKey, ...publicKeys];
      return done(keys.some((key) => matches(key, context)));
    }
    case "password":
      return done(context.password === options.password);
    case "keyboard-interactive": {
      const script = options.keyboardInteractive;
      if (!script) return done(false);
      const prompts = script.questions.map(({ prompt, echo }) => ({
        prompt,
        echo: echo ?? false,
      }));
      return context.prompt(
        prompts,
        (answers) =>
          done(script.questions.every((q, i) => q.answer === answers[i])),
      );
    }
  }
  done(false);
}

function matches(
  key: string | Uint8Array,
  context: AuthContext & { method: "publickey" },
): boolean {
  const parsed = parse(key);
  const blob = parsed.getPublicSSH();
  if (
    blob.length !== context.key.data.length ||
    !timingSafeEqual(blob, context.key.data)
  ) return false;
  if (!context.signature) return true;
  const { blob: signed = Buffer.alloc(0), signature, hashAlgo } = context;
  return parsed.verify(signed, signature, hashAlgo) === true;
}
