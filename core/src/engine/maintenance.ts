/**
 * The switches of somebody who works on a module: checkers, the watch over processes, the automatic failover. They are durable, because
 * maintenance does not end with a reboot, and loud, because a switch that was forgotten is a module without protection.
 */
import type { MaintenanceView } from '../api/contract.js';
import type { MirrorState } from '../decide/mirror/types.js';
import type { ModuleConfiguration } from '../model/configuration.js';
import type { ResourceValue } from '../model/resource.js';
import { DurableFile } from './durable-file.js';
import type { ResourceBook } from './resource-book.js';

export type MaintenanceName = MaintenanceView['name'];

const MEANING: Readonly<Record<MaintenanceName, string>> = {
  checker: 'no checker runs, and none of their resources has consequences',
  errd: 'no process is watched',
  failover: 'a secondary that loses its primary does not take over by itself',
};

export const MAINTENANCE_NAMES = Object.keys(MEANING) as MaintenanceName[];

/** Of the switches that are off. */
type Off = Partial<Record<MaintenanceName, { readonly since: string; readonly by: string }>>;

export class Maintenance {
  private work: Promise<void> = Promise.resolve();

  private constructor(private readonly file: DurableFile<Off>) {}

  static async open(path: string, module: string): Promise<Maintenance> {
    return new Maintenance(await DurableFile.open<Off>(path, { module, holds: 'which of its checks and automatic actions are off' }));
  }

  isOff(name: MaintenanceName): boolean {
    return this.file.value?.[name] !== undefined;
  }

  /** What is off, in a fixed order. */
  get off(): readonly MaintenanceView[] {
    return MAINTENANCE_NAMES.flatMap((name) => {
      const found = this.file.value?.[name];
      return found === undefined ? [] : [{ name, ...found, text: `${name} is off: ${MEANING[name]}` }];
    });
  }

  /** Resolves when it survives a power cut. Returns whether anything changed. */
  async set(name: MaintenanceName, on: boolean, by: string): Promise<boolean> {
    let changed = false;
    const turn = this.work.then(async () => {
      if (this.isOff(name) !== on) return;
      changed = true;
      const { [name]: _before, ...others } = this.file.value ?? {};
      await this.file.write(on ? others : { ...others, [name]: { since: new Date().toISOString(), by } });
    });
    this.work = turn.catch(() => undefined);
    await turn;
    return changed;
  }
}

/** The switches of a module as resources, `usersetting.…`. A module without roles has no failover. */
export function noteSwitches(
  resources: ResourceBook,
  maintenance: Maintenance,
  boot: ModuleConfiguration['service']['boot'],
  names: readonly MaintenanceName[] = MAINTENANCE_NAMES,
): void {
  for (const name of names) {
    const off = maintenance.isOff(name);
    resources.set(`usersetting.${name}`, off ? 'down' : 'up', off ? 'off' : 'on');
  }
  resources.set('usersetting.boot', boot === 'on' || boot === 'auto' ? 'up' : 'down', boot);
}

/** What is counted of a module's automatic actions, whatever its architecture. */
interface Counted {
  readonly settings: Pick<MirrorState['settings'], 'maxLoop' | 'loopIntervalMs'>;
  readonly durable: Pick<MirrorState['durable'], 'loop'>;
}

/** The count of automatic actions as the resource `heart.stopstartloop`; it is down when it is used up. */
export function noteLoop(resources: ResourceBook, state: Counted): void {
  const { value, detail } = loopResource(state);
  resources.set('heart.stopstartloop', value, detail);
}

export function loopResource({ settings, durable }: Counted): { readonly value: ResourceValue; readonly detail: string } {
  const { count, sinceWallMs } = durable.loop;
  const isUsedUp = settings.loopIntervalMs > 0 && count >= settings.maxLoop;
  const since = count === 0 ? '' : `, since ${new Date(sinceWallMs).toISOString()}`;
  return { value: isUsedUp ? 'down' : 'up', detail: `${count} of ${settings.maxLoop}${since}` };
}
