/**
 * What `partition()` of a NATS server makes of a host.
 *
 * @module
 */

/**
 * Returns the shard of a host: FNV-1a of 32 bits over the group and the name.
 *
 * @param shards How many there are.
 * @param group The group, as it is in the subject.
 * @param token The name of the host, as it is in the subject.
 */
export function shardOf(shards: number, group: string, token: string): number {
  let hash = 0x811c9dc5;
  const text = group + token;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  }
  return hash % shards;
}
