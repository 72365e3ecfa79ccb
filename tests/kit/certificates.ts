/**
 * An authority of certificates that nobody else trusts, and one of its
 * certificates for this machine.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { join } from "node:path";

/** Whether tests with certificates have to be ignored. */
export const noOpenssl: boolean = !existsSync("/usr/bin/openssl");

/** What to tell whoever sees such a test ignored. */
export const opensslHint = "install openssl to run this test";

/** The files of {@linkcode makeCertificates}. */
export interface Certificates {
  /** Who is trusted. */
  readonly ca: string;
  /** The certificate, for 127.0.0.1 and localhost. */
  readonly cert: string;
  /** Its key. */
  readonly key: string;
}

/** Makes both in a folder, by openssl. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  const path = (name: string) => join(folder, name);
  const [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(path) as [
    string,
    string,
    string,
  ];
  const make = async (name: string, to: [string, string], more: string[]) => {
    const { success, stderr } = await new Deno.Command("openssl", {
      args: [
        ...["req", "-x509", "-nodes", "-days", "2", "-subj", `/CN=${name}`],
        ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        ...["-keyout", to[0], "-out", to[1], ...more],
      ],
      stdin: "null",
    }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
  };
  await make("sshpool test authority", [path("ca.key"), ca], []);
  await make("bus", [key, cert], [
    ...["-CA", ca, "-CAkey", path("ca.key")],
    ...["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"],
    ...["-addext", "basicConstraints=critical,CA:false"],
  ]);
  return { ca, cert, key };
}
