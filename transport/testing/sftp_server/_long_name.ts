/** The line of a folder's entry, as `ls -l` prints it. */

import type { FileAttributes } from "./served_files.ts";

const TYPES: Readonly<Record<number, string>> = {
  0o010000: "p",
  0o020000: "c",
  0o040000: "d",
  0o060000: "b",
  0o100000: "-",
  0o120000: "l",
  0o140000: "s",
};
const MONTHS = [
  ...["Jan", "Feb", "Mar", "Apr", "May", "Jun"],
  ...["Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
];

/** Makes the line. The time has its year: this does not depend on today. */
export function longName(name: string, of: FileAttributes): string {
  const fields = [
    modeText(of.mode),
    "   1",
    String(of.uid).padEnd(8),
    String(of.gid).padEnd(8),
    String(of.size).padStart(8),
    dateText(of.mtime),
    name,
  ];
  return fields.join(" ");
}

function modeText(mode: number): string {
  const bits = [6, 3, 0].map((shift, index) => {
    const three = mode >> shift & 7;
    const special = mode >> (11 - index) & 1;
    const x = three & 1
      ? special ? "sst"[index] : "x"
      : special
      ? "SST"[index]
      : "-";
    return `${three & 4 ? "r" : "-"}${three & 2 ? "w" : "-"}${x}`;
  });
  return `${TYPES[mode & 0o170000] ?? "?"}${bits.join("")}`;
}

function dateText(seconds: number): string {
  const date = new Date(seconds * 1000);
  const day = String(date.getUTCDate()).padStart(2);
  return `${MONTHS[date.getUTCMonth()]} ${day}  ${date.getUTCFullYear()}`;
}
