/** For tests: conformance suites of extension points, and implementations in memory. */
export { MemoryRecords } from './memory-witness.js';
export { strongWitnessCases, type ConformanceCase, type WitnessSubject } from './witness.js';
export { Random } from './simulation/random.js';
export { Schedule } from './simulation/schedule.js';
export { FAIR_WEATHER, Network, type Weather } from './simulation/network.js';
