/**
 * Who listens on a TCP port of this node, for the message about a port that is taken. Best-effort: the kernel's tables tell that somebody
 * does, and the descriptors of the processes that this one may look at tell who.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';

const LISTEN = '0A';

interface Listening {
  readonly inode: string;
  readonly isLoopback: boolean;
}

/** @returns words such as `nginx (process 812)`; undefined: nobody listens, apart from the loopback */
export async function listenerOf(port: number): Promise<string | undefined> {
  const found = (await listening(port)).filter(({ isLoopback }) => !isLoopback);
  if (found.length === 0) return undefined;
  return (await processOf(new Set(found.map(({ inode }) => `socket:[${inode}]`)))) ?? 'a process that this one may not look at';
}

async function listening(port: number): Promise<readonly Listening[]> {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/self/net/${name}`, 'latin1').catch(() => '')));
  return tables.flatMap((table) =>
    table
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === LISTEN && fields[1]?.split(':')[1] === wanted)
      .map((fields) => ({ inode: fields[9] ?? '', isLoopback: /^(0100007F|0{24}01000000):/.test(fields[1] ?? '') })),
  );
}

async function processOf(sockets: ReadonlySet<string>): Promise<string | undefined> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const folder = `/proc/${pid}/fd`;
    for (const descriptor of await readdir(folder).catch(() => [])) {
      const target = await readlink(`${folder}/${descriptor}`).catch(() => '');
      if (!sockets.has(target)) continue;
      const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'ended meanwhile');
      return `${name.trim()} (process ${pid}${Number(pid) === process.pid ? ', this agent itself' : ''})`;
    }
  }
  return undefined;
}
