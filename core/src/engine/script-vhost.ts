/**
 * The virtual host name of a module: some of its scripts, and so everything that they start, run in a UTS namespace of the module's own in
 * which the host has that name. gethostname, uname, `hostname` and /proc/sys/kernel/hostname all tell it, to programs of every kind; a
 * preloaded library would reach only dynamically linked programs that were not started with privileges.
 *
 * The namespace is kept by a bind mount of it on a file, not by a process: nothing can end it by accident, start and stop scripts share it,
 * and an agent that starts anew finds it.
 */
import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { HoldfastError } from '@holdfast/sdk';
import type { VirtualHostConfiguration } from '../model/configuration.js';

/** First line of a written envfile; such a file is no part of the module. */
export const ENV_FILE_MARK = '# written by Holdfast: the virtual host name';

const COMMAND_TIMEOUT_MS = 5000;
const SET_NAME = 'echo "$1" >/proc/sys/kernel/hostname 2>/dev/null || hostname "$1"';
const GROUPS: Readonly<Record<VirtualHostConfiguration['when'], readonly string[]>> = {
  prim: ['prim'],
  second: ['second'],
  both: ['both', 'prim', 'second', 'sec'],
};

export class VirtualHost {
  private constructor(
    private readonly configuration: VirtualHostConfiguration,
    private readonly file: string,
  ) {}

  /** @throws HoldfastError HF_VHOST_NAMESPACE, HF_VHOST_ENVFILE */
  static async open(configuration: VirtualHostConfiguration, file: string, bin: string): Promise<VirtualHost> {
    const { name, envFile } = configuration;
    if (envFile !== undefined) await writeEnvFile(isAbsolute(envFile) ? envFile : join(bin, envFile), name, file);
    const host = new VirtualHost(configuration, file);
    const found = await run('nsenter', [`--uts=${file}`, 'cat', '/proc/sys/kernel/hostname']).catch(() => '');
    if (found.trim() === name) return host;
    await host.close();
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, '');
    await run('unshare', [`--uts=${file}`, '--', 'sh', '-c', SET_NAME, 'sh', name]).catch(async (error: unknown) => {
      await host.close();
      const why = error instanceof Error ? error.message : String(error);
      const message = `no UTS namespace for virtualhostname "${name}": ${why}; it needs root, and unshare and nsenter of util-linux`;
      throw new HoldfastError('HF_VHOST_NAMESPACE', message, { name });
    });
    return host;
  }

  /** What a script is run through; nothing for those that see the machine's own name. */
  through(script: string): readonly string[] {
    return this.throughGroup(/^(?:start|stop)_(.+)$/.exec(script)?.[1] ?? '');
  }

  /** What an executable of a check is run through: it sees what the scripts of its group see. */
  throughGroup(group: string): readonly string[] {
    return GROUPS[this.configuration.when].includes(group) ? ['nsenter', `--uts=${this.file}`, '--'] : [];
  }

  /** What runs in the namespace keeps it, and its name. */
  async close(): Promise<void> {
    await run('umount', ['--lazy', this.file]).catch(() => undefined);
    await rm(this.file, { force: true });
  }
}

/** For scripts that source it, as the reference product has them; never over a file of somebody else. */
async function writeEnvFile(path: string, name: string, file: string): Promise<void> {
  const before = await readFile(path, 'utf8').catch(() => undefined);
  if (before !== undefined && !before.startsWith(ENV_FILE_MARK)) {
    throw new HoldfastError('HF_VHOST_ENVFILE', `envfile ${path} exists and was not written by Holdfast: choose another name`, { path });
  }
  const text = [
    ENV_FILE_MARK,
    '# The scripts of the role run under the name already; anything else does by: nsenter --uts="$HOLDFAST_VIRTUAL_HOST" COMMAND',
    `export HOLDFAST_VIRTUAL_HOSTNAME='${name}'`,
    `export HOLDFAST_VIRTUAL_HOST='${file}'`,
    `export HOSTNAME='${name}'`,
    '',
  ];
  await writeFile(path, text.join('\n'), { mode: 0o644 });
}

function run(file: string, words: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(file, words, { timeout: COMMAND_TIMEOUT_MS, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(stderr.trim() || error.message));
    });
  });
}
