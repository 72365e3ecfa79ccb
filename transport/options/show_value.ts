/**
 * Values of a caller in messages.
 *
 * @module
 */

const MAX_LENGTH = 60;

/**
 * Shows a value that is no secret: short, and in one line.
 *
 * @param value The value.
 * @returns Such as `"abc"`, `5` or `an array`.
 */
export function showValue(value: unknown): string {
  switch (typeof value) {
    case "string":
      return showText(value);
    case "number":
    case "boolean":
      return String(value);
    case "bigint":
      return value < 1e20 && value > -1e20 ? `${value}n` : "a bigint";
  }
  return showType(value);
}

/** As of a string "user:password@host", nothing before the last "@" is shown. */
function showText(text: string): string {
  const at = text.lastIndexOf("@");
  const isHidden = text.slice(0, Math.max(at, 0)).includes(":");
  const shown = isHidden ? `…${text.slice(at)}` : text;
  return JSON.stringify(
    shown.length > MAX_LENGTH ? `${shown.slice(0, MAX_LENGTH)}…` : shown,
  );
}

/**
 * Says what kind of value it is, and nothing of what it holds.
 *
 * @param value The value, which may be a secret.
 * @returns Such as `a string`, `null` or `a Map`.
 */
export function showType(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value !== "object") return `a ${typeof value}`;
  if (Array.isArray(value)) return "an array";
  // The tag may be anything that the caller has chosen.
  const tag = Object.prototype.toString.call(value).slice(8, -1);
  if (tag === "Object" || !/^[A-Za-z]\w{0,40}$/.test(tag)) return "an object";
  return `${/^[AEIOU]/i.test(tag) && tag !== "URL" ? "an" : "a"} ${tag}`;
}
