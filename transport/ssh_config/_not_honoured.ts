/**
 * What is lost where a keyword of OpenSSH has no effect here.
 *
 * @module
 */

import type { Notice } from "../connector.ts";
import type { Evaluation } from "./_evaluate.ts";
import type { Setting } from "./_parser.ts";

/** What a keyword would have done. */
interface Loss {
  readonly code: string;
  /** What does not happen. It ends the message. */
  readonly what: string;
  /**
   * Values, in lower case, with which nothing is lost.
   *
   * @default {["no", "none", "false", "off"]}
   */
  readonly unless?: readonly string[];
}

const FORWARD: Loss = {
  code: "ssh-config-forward",
  what: "is not opened: forwards are opened by the program",
};

/** All other keywords make no difference to what a program sees. */
const LOSSES: Readonly<Record<string, Loss>> = {
  bindinterface: {
    code: "ssh-config-network",
    what: "is not honoured: the system chooses the interface",
  },
  canonicalizehostname: {
    code: "ssh-config-canonicalize",
    what: "is not honoured: host names are looked up as they are",
  },
  channeltimeout: {
    code: "ssh-config-channel-timeout",
    what: "is not honoured: idle channels stay open",
  },
  dynamicforward: FORWARD,
  forwardx11: {
    code: "ssh-config-x11",
    what: "is not honoured: no display is forwarded",
  },
  hostbasedauthentication: {
    code: "ssh-config-authentication",
    what: "is not honoured: this method is never tried",
  },
  knownhostscommand: {
    code: "ssh-config-host-keys",
    what: "is not run: the host keys that it knows are not trusted",
  },
  localcommand: {
    code: "ssh-config-local-command",
    what: "is not run",
  },
  localforward: FORWARD,
  nohostauthenticationforlocalhost: {
    code: "ssh-config-stricter",
    what: "is not honoured: the host key of localhost is checked",
  },
  pkcs11provider: {
    code: "ssh-config-authentication",
    what: "is not honoured: use an agent for the keys of the token",
  },
  proxyusefdpass: {
    code: "ssh-config-proxy",
    what: "is not honoured: the ProxyCommand has to carry the data itself",
  },
  rekeylimit: {
    code: "ssh-config-rekey",
    what: "is not honoured: keys are exchanged again at other limits",
    unless: ["default", "none"],
  },
  remotecommand: {
    code: "ssh-config-remote-command",
    what: "is not run: commands are those of the program",
  },
  remoteforward: FORWARD,
  requesttty: {
    code: "ssh-config-tty",
    what: "is not honoured: the program asks for a terminal where it needs one",
    unless: ["auto", "no", "false"],
  },
  requiredrsasize: {
    code: "ssh-config-algorithms",
    what: "is not honoured: shorter RSA keys are accepted",
    unless: ["1024"],
  },
  securitykeyprovider: {
    code: "ssh-config-authentication",
    what: "is not honoured: use an agent for the keys of the token",
    unless: ["internal", "none"],
  },
  sessiontype: {
    code: "ssh-config-session",
    what: "is not honoured: sessions are those of the program",
    unless: ["default"],
  },
  tunnel: FORWARD,
  verifyhostkeydns: {
    code: "ssh-config-stricter",
    what: "is not honoured: host keys in DNS are not trusted",
    unless: ["ask", "no", "false"],
  },
};

const OFF = ["no", "none", "false", "off"];

/**
 * Lists what the settings in force would have changed.
 *
 * @param evaluation The settings.
 * @returns A notice for each. What makes no difference has none.
 */
export function notHonoured(evaluation: Evaluation): Notice[] {
  return [...evaluation.ignored.values()].flatMap((setting) => {
    const loss = lossOf(setting, evaluation);
    return loss === undefined ? [] : [noticeAt(setting, loss.code, loss.what)];
  });
}

function lossOf(
  setting: Setting,
  { ignored }: Evaluation,
): Loss | undefined {
  const loss = LOSSES[setting.name];
  if (loss === undefined) return undefined;
  const value = setting.values[0]!.toLowerCase();
  if ((loss.unless ?? OFF).includes(value)) return undefined;
  if (setting.name === "localcommand") {
    // Without PermitLocalCommand OpenSSH does not run it either.
    const permit = ignored.get("permitlocalcommand")?.values[0];
    return permit === "yes" ? loss : undefined;
  }
  return loss;
}

/** Makes a notice about a line. */
export function noticeAt(setting: Setting, code: string, what: string): Notice {
  const { file, line, keyword } = setting;
  return { code, message: `${file}:${line}: ${keyword.name} ${what}` };
}
