/**
 * Connections over a message bus (NATS): what clients and workers share.
 *
 * @module
 */

export type { Bus, BusMessage, BusStatus } from "./bus.ts";
export { NatsConnector } from "./connector.ts";
export {
  type LeaseBucket,
  type LeaseEntry,
  Leases,
  type LeasesOptions,
  type LeaseStore,
} from "./leases.ts";
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
