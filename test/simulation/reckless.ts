/**
 * What may befall a pair whose operators do not look: copies are declared good or given up at any moment, disks are exchanged for empty
 * ones or put back to what they were, the witness is restored from a backup. Each of these takes something away that the decisions rest
 * on, and the world knows what is promised then (`World.isOverridden`).
 */
import type { Command } from '@holdfast/core/decide';
import type { Deed } from './deeds.js';
import { copyOfDisk, type Disk, type SimulatedNode } from './node.js';
import type { World } from './world.js';

const overriding = (weight: number, command: Command): Deed => ({
  weight,
  run: (world, node) => {
    if (world.command(node.name, command) === undefined) world.isOverridden = true;
  },
});

export const RECKLESS: readonly Deed[] = [
  overriding(2, { verb: 'prim' }),
  overriding(1, { verb: 'prim', force: true }),
  overriding(2, { verb: 'prim', image: true }),
  overriding(1, { verb: 'prim', image: true, force: true }),
  { weight: 1, run: (world, node) => void world.command(node.name, { verb: 'second', fullsync: true }) },
  { weight: 3, run: (_world, node) => void (node.backup = copyOfDisk(node.disk)) },
  { weight: 1, run: restore },
  {
    weight: 1,
    run: (world, node) => {
      world.powerCut(node.name);
      world.tell(node.name, 'gets an empty disk');
      world.exchangeDisk(node.name, world.emptyDisk());
    },
  },
  { weight: 2, run: (world) => void (world.witness.backup = world.witness.record) },
  {
    weight: 1,
    run: (world) => {
      world.witness.record = world.witness.backup;
      world.isOverridden = true;
      world.tell('witness', `is restored from a backup: ${world.witness.record?.generation ?? 'nothing'}`);
    },
  },
];

/** In which it is, or may be. */
function generationsOf({ durable: { lineage, before, claim } }: Disk): string[] {
  return [lineage.current, before?.lineage.current, claim?.generation].filter((generation) => generation !== undefined);
}

/**
 * From a backup of another generation than those in which the nodes are now, or to which the other was put back. Within one generation
 * nothing tells an old state of a disk from a new one, so this is not promised.
 */
function restore(world: World, node: SimulatedNode): void {
  const { backup } = node;
  if (backup === undefined) return;
  const other = world.other(node);
  const present = [...generationsOf(other.disk), ...generationsOf(node.disk), ...(other.disk.setBack ?? [])];
  // An agent that sleeps, or was busy until it lost its power, has a copy of a generation that its disk does not name yet.
  if (
    other.asleep !== 'no' ||
    other.disk.unrecorded !== undefined ||
    generationsOf(backup).some((generation) => present.includes(generation))
  )
    return;
  world.powerCut(node.name);
  world.tell(node.name, `is restored from a backup: ${backup.durable.lineage.current}`);
  world.exchangeDisk(node.name, { ...backup, setBack: [...(backup.setBack ?? []), ...generationsOf(backup)] });
  node.isRestored = true;
}
