import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Figures } from "../../bench/report/figures.ts";
import { toMarkdown } from "../../bench/report/markdown.ts";
import { toPage } from "../../bench/report/page.ts";
import { drawPicture } from "../../bench/report/picture.ts";
import { timeTicks } from "../../bench/report/plots.ts";
import { summarize } from "../../bench/report/quantiles.ts";
import type { Row } from "../../bench/report/table.ts";
import { Browser, chromiumHint, chromiumPath } from "./_browser.ts";

/** A row whose samples spread around a time. */
function row(
  name: string,
  ms: number,
  n: number,
  more: Partial<Row> = {},
): Row {
  const samples = Array.from({ length: n }, (_, i) => ms * (1 + i / n));
  return {
    name,
    baseline: false,
    batch: 1,
    rate: 1000 / ms,
    rateOf: "operations",
    ...summarize(samples),
    samples,
    ...more,
  };
}

const WARM = 'sshd: warm exec("true")';
const UPLOAD = "upload of 500 MB, chacha20-poly1305@openssh.com";

const figures: Figures = {
  at: "2026-01-02T03:04:05.678Z",
  short: false,
  machine: { processor: "A <fast> one, 2 cores", Deno: "2.9.6 (V8 14)" },
  results: [
    {
      file: "sshd_bench.ts",
      seconds: 12.34,
      failures: ["broken\nError: 1 < 2 & no"],
      findings: {
        title: "a real sshd",
        rows: [
          row("alone, with a name that is long enough to need much room", 5, 1),
          row("sshpool", 2, 300, { group: WARM, baseline: true, dials: 0 }),
          row("ssh2 as in its README", 88, 50, { group: WARM }),
        ],
        facts: [{ text: "memory <each>", value: 26, unit: "KiB" }],
        claims: [
          {
            text: "fast",
            value: 44,
            unit: "x",
            limit: "at least 10 x",
            holds: true,
          },
          {
            text: "faster",
            value: 9,
            unit: "x",
            limit: "at least 10 x",
            holds: false,
          },
        ],
        ignored: ["what needs a server (install it)"],
      },
    },
    {
      file: "files_bench.ts",
      seconds: 1,
      failures: [],
      findings: {
        title: "copies of files",
        rows: [
          row("sshpool upload", 1600, 3, {
            group: UPLOAD,
            baseline: true,
            rate: 3e8,
            rateOf: "bytes",
          }),
          row("sftp", 1500, 3, { group: UPLOAD, rate: 3.3e8, rateOf: "bytes" }),
          row("nanoseconds", 0.00004, 100, { group: "small", baseline: true }),
        ],
        facts: [],
        claims: [],
        ignored: [],
      },
    },
    {
      file: "filtered_bench.ts",
      seconds: 0.1,
      findings: undefined,
      failures: [],
    },
  ],
};

Deno.test("toMarkdown() tells the machine, the rules, each table, the claims and the failures", () => {
  const text = toMarkdown(figures, "picture.svg");
  for (
    const part of [
      "A full run. 2026-01-02 03:04 UTC, 13 s.",
      "![sshpool beside its rivals](picture.svg)",
      "| processor | A <fast> one, 2 cores |",
      "statistics.quantiles",
      "| holds | fast | 44 x | at least 10 x |",
      "| **MISSED** | faster | 9 x | at least 10 x |",
      "Error: 1 < 2 & no",
      "## A real sshd",
      `### ${WARM}`,
      "| sshpool | 300 | 3.00 ms | 3.90 ms | 3.98 ms | 3.99 ms | 500/s | 0 | 1 |",
      "- memory <each>: 26 KiB",
      "- ignored: what needs a server (install it)",
      "| sftp | 3 | 2 s | - | - | 2.50 s | 330 MB/s |",
    ]
  ) assertStringIncludes(text, part);
});

Deno.test("toMarkdown() says that a short run says little", () => {
  assertStringIncludes(
    toMarkdown({ ...figures, short: true }),
    "A short run, to see that everything runs: its figures say little.",
  );
});

Deno.test("drawPicture() compares what was run, and is absent if nothing of it was", () => {
  const picture = drawPicture(figures)!;
  assertStringIncludes(
    picture,
    "A warm exec(&quot;true&quot;): median, less is better",
  );
  assertStringIncludes(picture, "Upload of 500 MB");
  assert(!picture.includes("A cold dial"));
  assert(!/currentColor|<script|href=/.test(picture));
  assertEquals(drawPicture({ ...figures, results: [] }), undefined);
});

Deno.test("timeTicks() gives as many round times within the domain as there is room for", () => {
  assertEquals(timeTicks([0.9, 12], 7), [1, 2, 5, 10]);
  assertEquals(timeTicks([0.9, 12], 3), [1, 3, 10]);
  assertEquals(timeTicks([0.04, 40], 7), [0.1, 0.3, 1, 3, 10, 30]);
  assertEquals(timeTicks([0.00001, 1000], 9).length, 9);
  assertEquals(timeTicks([0.00001, 1000], 5), [1e-5, 1e-3, 0.1, 10, 1000]);
});

interface Box {
  readonly width: number;
  readonly height: number;
}

const BOXES = (selector: string) =>
  `[...document.querySelectorAll(${JSON.stringify(selector)})].map((e) => {
     const { width, height } = e.getBoundingClientRect();
     return { width, height };
   })`;

/** What the headings say, in order. */
const HEADINGS = `[...document.querySelectorAll("h1, h2, h3")].map((e) =>
  e.textContent)`;

/** Labels of plots that stick out of them. */
const CUT = `[...document.querySelectorAll("figure svg")].flatMap((svg) => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter((text) => {
    const { left, right, width } = text.getBoundingClientRect();
    return width > 0 && (left < box.left - 1 || right > box.right + 1);
  }).map((text) => text.textContent);
})`;

Deno.test({
  name: chromiumPath === undefined
    ? `the page of a report can be read in a browser (${chromiumHint})`
    : "the page of a report can be read in a browser, at any width",
  ignore: chromiumPath === undefined,
  async fn() {
    const dir = await Deno.makeTempDir({ prefix: "sshpool-report-" });
    try {
      const path = join(dir, "index.html");
      await Deno.writeTextFile(path, toPage(figures, drawPicture(figures)));
      await using browser = await Browser.start();
      const url = pathToFileURL(path).href;
      for (const [width, height] of [[1280, 900], [390, 800]] as const) {
        await browser.open(url, width, height);
        await assertReadable(browser, width);
      }
      assertEquals(browser.errors, []);
      const asked = browser.requests.filter((url) => !url.startsWith("data:"));
      assertEquals(asked, [url, url]);
      assertEquals((await browser.screenshot()).subarray(1, 4), PNG);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});

const PNG = new TextEncoder().encode("PNG");

async function assertReadable(browser: Browser, width: number): Promise<void> {
  assertEquals(await browser.evaluate(HEADINGS), [
    "sshpool bench",
    "Failures",
    "Claims",
    "How to read it",
    "A real sshd",
    WARM,
    "Copies of files",
    UPLOAD,
    "small",
  ]);
  const text = await browser.evaluate<string>("document.body.innerText");
  assertStringIncludes(text, "A <fast> one, 2 cores");
  assertStringIncludes(text, "memory <each>: 26 KiB");
  const plots = await browser.evaluate<Box[]>(BOXES(".plots svg"));
  // Times of four groups, rates of the two in which there is something to compare.
  assertEquals(plots.length, 6);
  for (const { width: w, height: h } of plots) {
    assert(w >= 420 && w <= 600, `a plot is ${w} pixels wide`);
    assert(h > 40 && h < 250, `a plot is ${h} pixels high`);
  }
  assertEquals(await browser.evaluate(CUT), []);
  // Tables may be scrolled, the page is not.
  const scroll = "document.documentElement.scrollWidth";
  assert(
    await browser.evaluate<number>(scroll) <= width,
    "the page is too wide",
  );
}
