import { assertEquals, assertThrows } from "@std/assert";
import {
  OpenSshConnector,
  type OpenSshConnectorOptions,
} from "../../../transport/openssh/mod.ts";

const wrong: readonly [options: object, message: string][] = [
  [{ path: "" }, "path is"],
  [{ path: "-oProxyCommand=x" }, "path is"],
  [{ path: "/opt/my ssh" }, "path is"],
  [{ path: "ssh; rm" }, "path is"],
  [{ folder: "/tmp/'x" }, "folder is"],
  [{ path: "/opt/\udce9" }, "path is"],
  [{ configFile: "/etc/\udce9" }, "configFile is"],
  [{ options: { IdentityAgent: "/\udce9" } }, "options.IdentityAgent is"],
  [{ configFile: true }, "configFile is true"],
  [{ configFile: "" }, "configFile is"],
  [{ askpass: "yes" }, "askpass is"],
  [{ controlPath: "/x" }, 'did you mean "folder"?'],
  [{ options: [] }, "options is an array"],
  [{ options: { Ciphers: 3 } }, "options.Ciphers is 3"],
  [{ options: { Ciphers: "a\nProxyCommand x" } }, "options.Ciphers is"],
  [{ options: { "Ciphers ": "a" } }, "options is an object with the name"],
  [{ options: { StrictHostKeyChecking: "no" } }, "it is hostKey of the host"],
  [{ options: { knownHOSTScommand: "x" } }, "it is hostKey of the host"],
  [{ options: { ProxyJump: "gate" } }, "it is jump of the host"],
  [{ options: { BatchMode: "no" } }, "it is the option askpass"],
  [{ options: { ControlPath: "/x" } }, "the connector sets it itself"],
  [{ options: { LogLevel: "QUIET" } }, "the connector sets it itself"],
];

for (const [options, message] of wrong) {
  Deno.test(`OpenSshConnector refuses ${JSON.stringify(options)}`, () => {
    assertThrows(
      () => new OpenSshConnector(options as OpenSshConnectorOptions),
      TypeError,
      message,
    );
  });
}

Deno.test("OpenSshConnector refuses a persistMs below a second, which ssh would take for ever", () => {
  for (const persistMs of [0, 999]) {
    assertThrows(
      () => new OpenSshConnector({ persistMs }),
      RangeError,
      "persistMs is",
    );
  }
});

Deno.test("OpenSshConnector takes every option that it has", () => {
  const connector = new OpenSshConnector({
    path: "/usr/bin/ssh",
    configFile: false,
    options: { GSSAPIAuthentication: "yes" },
    folder: "/run/user/1000",
    persistMs: 1000,
    askpass: true,
  });
  assertEquals(connector.usesAlias, true);
});
