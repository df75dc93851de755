/** Programs that a benchmark runs, from packages of Debian, installed when they are missing. No service is started by that. */
import { accessSync, constants } from 'node:fs';
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Program and package. */
const PROGRAMS = {
  fio: { file: '/usr/bin/fio', package: 'fio' },
  bindfs: { file: '/usr/bin/bindfs', package: 'bindfs' },
  glusterd: { file: '/usr/sbin/glusterd', package: 'glusterfs-server' },
  git: { file: '/usr/bin/git', package: 'git' },
  sqlite3: { file: '/usr/bin/sqlite3', package: 'sqlite3' },
  postgres: { file: '/usr/lib/postgresql/15/bin/postgres', package: 'postgresql-15' },
  'qemu-img': { file: '/usr/bin/qemu-io', package: 'qemu-utils' },
  rsync: { file: '/usr/bin/rsync', package: 'rsync' },
  keepalived: { file: '/usr/sbin/keepalived', package: 'keepalived' },
  corosync: { file: '/usr/sbin/corosync', package: 'corosync' },
  pacemakerd: { file: '/usr/sbin/pacemakerd', package: 'pacemaker' },
  crm_mon: { file: '/usr/sbin/crm_mon', package: 'pacemaker-cli-utils' },
  IPaddr2: { file: '/usr/lib/ocf/resource.d/heartbeat/IPaddr2', package: 'resource-agents' },
} as const;

export type Program = keyof typeof PROGRAMS;

/** The init system is told that the machine is not in a state to start services; where that is systemd, what came is switched off again. */
const INSTALL = `
apt-get install -y -qq --no-install-recommends "$@" || { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; }
[ ! -d /run/systemd/system ] || for unit in glusterd rsync postgresql keepalived corosync pacemaker; do
  case " $* " in *" $unit"*) systemctl disable --now "$unit" || : ;; esac
done
`;

/**
 * Installs what is missing.
 * @returns the programs that are still missing: there is no network, no apt, no such package
 */
export async function provide(programs: readonly Program[], progress: (text: string) => void): Promise<readonly Program[]> {
  const missing = programs.filter((program) => !isThere(program));
  if (missing.length === 0) return [];
  const packages = missing.map((program) => PROGRAMS[program].package);
  progress(`installing ${packages.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  const child = spawn('sh', ['-c', INSTALL, 'install', ...packages], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  await once(child, 'close');
  return missing.filter((program) => !isThere(program));
}

/** The name under which a person would install it. */
export function packageOf(program: Program): string {
  return PROGRAMS[program].package;
}

function isThere(program: Program): boolean {
  try {
    accessSync(PROGRAMS[program].file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
