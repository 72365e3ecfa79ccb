/** A home directory with a configuration, for tests. */

import type { Notice } from "../../../transport/connector.ts";
import {
  type SshConfigOptions,
  SshConfigResolver,
  type SshConfigResolverOptions,
} from "../../../transport/ssh_config/mod.ts";

/** A home directory with files in it, gone at the end. */
export class Home implements AsyncDisposable {
  readonly path: string;
  private constructor(path: string) {
    this.path = path;
  }
  static async with(files: Record<string, string>): Promise<Home> {
    const home = new Home(await Deno.makeTempDir({ prefix: "sshpool-home-" }));
    await Deno.mkdir(`${home.path}/.ssh`);
    for (const [name, text] of Object.entries(files)) {
      await home.write(name, text);
    }
    return home;
  }
  /** Writes a file below `.ssh`. */
  async write(name: string, text: string): Promise<void> {
    const path = this.file(name);
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await Deno.writeTextFile(path, text);
    await Deno.chmod(path, 0o600);
  }
  file(name: string): string {
    return `${this.path}/.ssh/${name}`;
  }
  options(): SshConfigOptions {
    return { home: this.path, files: [this.file("config")] };
  }
  resolver(options: SshConfigResolverOptions = {}): SshConfigResolver {
    return new SshConfigResolver({
      ...this.options(),
      recheckMs: 0,
      ...options,
    });
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

/** Resolves a name by a configuration. */
export async function hostOf(
  text: string,
  name = "h",
  options: SshConfigOptions = {},
) {
  await using home = await Home.with({ config: text });
  const notices: Notice[] = [];
  const onNotice = (n: Notice) => void notices.push(n);
  const host = await home.resolver(options).resolve(name, { onNotice });
  return { host, notices, home: home.path };
}
