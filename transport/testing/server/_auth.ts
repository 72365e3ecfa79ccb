/** Who the embedded server lets in. */

import { Buffer } from "node:buffer";
import { timingSafeEqual } from "node:crypto";
// @ts-types="@types/ssh2"
import type { AuthContext, AuthenticationType } from "ssh2";
import type { EmbeddedServerOptions } from "./embedded_server_options.ts";
import { parse } from "./_keys.ts";

/** What the server accepts, and what it counts. */
export interface ServerAuth {
  readonly user: string;
  readonly options: EmbeddedServerOptions;
  /** Public keys that are let in, as text. */
  readonly keys: readonly (string | Uint8Array)[];
  /** Called with each attempt that counts: publickey probes do, as in OpenSSH. */
  onAttempt(method: string): void;
}

/** Judges one connection's attempts, each method of `requireMethods` in turn. */
export function authenticator(
  auth: ServerAuth,
): (context: AuthContext) => void {
  const passed = new Set<string>();
  const wanted = auth.options.requireMethods;
  return (context) => {
    const methods = methodsLeft(auth, passed);
    if (context.method === "none") return context.reject(methods);
    auth.onAttempt(context.method);
    if (!methods.includes(context.method)) return context.reject(methods);
    judge(auth, context, (ok) => {
      if (!ok) return context.reject(methods);
      // A probe asks whether the key would do: nothing is passed yet.
      if (context.method === "publickey" && !context.signature) {
        return context.accept();
      }
      passed.add(context.method);
      const left = methodsLeft(auth, passed);
      if (wanted === undefined || left.length === 0) return context.accept();
      context.reject(left, true);
    });
  };
}

function methodsLeft(
  { options }: ServerAuth,
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
  auth: ServerAuth,
  context: AuthContext,
  done: (ok: boolean) => void,
): void {
  if (context.username !== auth.user) return done(false);
  switch (context.method) {
    case "publickey":
      return done(auth.keys.some((key) => matches(key, context)));
    case "password":
      return done(context.password === auth.options.password);
    case "keyboard-interactive": {
      const script = auth.options.keyboardInteractive;
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
