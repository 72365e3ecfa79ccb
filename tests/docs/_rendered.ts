/** The docs as readers see them: the pages of `deno doc --html`, and their data. */

import { join } from "node:path";
import config from "../../deno.json" with { type: "json" };
import { pathOf } from "./_readme.ts";

/** The modules that the package exports. */
export const entryPoints: string[] = Object.values(config.exports).map(pathOf);

/** Runs `deno doc`. */
export async function denoDoc(
  ...args: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", ...args],
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const [out, err] = [stdout, stderr].map((it) => new TextDecoder().decode(it));
  return { code, stdout: out!, stderr: err! };
}

/** The pages of the main entry point; dispose of it to remove them. */
export class Pages implements AsyncDisposable {
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /** Renders them. */
  static async render(): Promise<Pages> {
    const dir = await Deno.makeTempDir({ prefix: "sshpool-docs-" });
    const { code, stderr } = await denoDoc(
      "--html",
      `--output=${dir}`,
      "--name=sshpool",
      pathOf("mod.ts"),
    );
    if (code !== 0) throw new Error(stderr);
    return new Pages(dir);
  }

  /** The text of the page of a symbol, such as `ConnectionPool.prototype.exec`. */
  async text(symbol: string): Promise<string> {
    const file = join(this.#dir, "~", `${symbol}.html`);
    const page = await Deno.readTextFile(file);
    return page
      .replaceAll(/<(script|style)\b[^]*?<\/\1>/g, "")
      .replaceAll(/<[^>]+>/g, " ")
      .replaceAll("&lt;", "<")
      .replaceAll("&gt;", ">")
      .replaceAll("&quot;", '"')
      .replaceAll("&amp;", "&")
      .replaceAll(/\s+/g, " ");
  }

  /** Removes them. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#dir, { recursive: true });
  }
}

/** A class or function that the package exports. */
export interface ExportedSymbol {
  readonly name: string;
  readonly kind: string;
  readonly hasExample: boolean;
}

/** All that the entry points export. */
export async function exportedSymbols(): Promise<ExportedSymbol[]> {
  const { stdout } = await denoDoc("--json", ...entryPoints);
  const { nodes }: DocOutput = JSON.parse(stdout);
  return Object.values(nodes).flatMap(({ symbols }) =>
    symbols.flatMap(({ name, declarations }) =>
      declarations.map(({ kind, jsDoc }) => ({
        name,
        kind,
        hasExample: jsDoc?.tags?.some((tag) => tag.kind === "example") ?? false,
      }))
    )
  );
}

/** What is read of the output of `deno doc --json`. */
interface DocOutput {
  readonly nodes: Readonly<
    Record<string, {
      readonly symbols: readonly {
        readonly name: string;
        readonly declarations: readonly {
          readonly kind: string;
          readonly jsDoc?: { readonly tags?: readonly { kind: string }[] };
        }[];
      }[];
    }>
  >;
}
