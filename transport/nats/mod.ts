/**
 * Connections over a message bus (NATS): what clients and workers share.
 *
 * @module
 */

export type { Bus, BusMessage, BusStatus } from "./bus.ts";
export { NatsConnector } from "./connector.ts";
export type { LeaseBucket, LeaseEntry, LeaseStore } from "./lease_store.ts";
export { Leases, type LeasesOptions } from "./leases.ts";
export type {
  FleetRequest,
  FleetWorkerOptions,
  NatsConnectorOptions,
  RouteSource,
} from "./options.ts";
export type { ShardOwner, ShardSource, StaticShards } from "./shards.ts";
export {
  type FleetCloseOptions,
  FleetWorker,
  type FleetWorkerStats,
} from "./worker.ts";
