/**
 * The page to deploy, whose blocks the tests run.
 *
 * @module
 */

/** Returns the block of the page that has this text. */
export async function blockWith(text: string): Promise<string> {
  const page = await Deno.readTextFile(
    new URL("../../../transport/nats/README.md", import.meta.url),
  );
  const blocks = [...page.matchAll(/^```\w*[ \w]*\n([^]*?)^```$/gm)];
  const block = blocks.find(([, it]) => it!.includes(text))?.[1];
  if (block === undefined) throw new Error(`No block of the page has ${text}`);
  return block;
}
