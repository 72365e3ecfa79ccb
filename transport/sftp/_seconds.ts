/**
 * Turns a time into what SFTP version 3 can carry: 32 bits of seconds.
 *
 * @throws {RangeError} If it is before 1970 or after 2106.
 */
export function seconds(name: string, time: number | Date): number {
  const value = Math.floor(
    typeof time === "number" ? time : time.getTime() / 1000,
  );
  if (value >= 0 && value <= 0xffffffff) return value;
  throw new RangeError(
    `Cannot set ${name} to ${value} seconds since 1970: allowed are 0 to ${0xffffffff}`,
  );
}
