/**
 * The one process that a whole lab hangs on: init of a PID namespace with its own mount and network namespace. Every process of the lab
 * is a member of that PID namespace (or of one below it), every mount is in its mount namespace (or a copy), every cable ends in its
 * network namespace. When it dies, the kernel kills the members; with the last member the mounts, loop devices and networks go.
 *
 * It dies with its owner, whatever ends the owner: setpriv asks the kernel for SIGKILL at the parent's death, unshare hands that on to its
 * child, and as a second way the child reads a pipe whose other end only the owner holds. It has no program of its own to go wrong: it is
 * `cat`, with SIGCHLD ignored so that the kernel reaps the orphans that an init inherits.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { HoldfastError } from '@holdfast/sdk';
import { outputOf, runCommand } from './command.js';
import { waitFor } from './deadline.js';
import { enter } from './enter.js';
import { processesIn, sendSignal } from './host-process.js';

/** Inside the lab's private /run; one folder per machine below it. */
export const LAB_FOLDER = '/run/holdfast-lab';

/** The environment of everything in a lab: the host's own variables stay outside, node is found. */
export const LAB_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: `${dirname(process.execPath)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
  HOME: '/root',
  LANG: 'C.UTF-8',
};

const START_TIMEOUT_MS = 10_000;

const INIT = `
echo "ready $(readlink /proc/self/ns/pid)"
exec env --ignore-signal=CHLD cat >/dev/null
`;

/** The host's file systems become read-only for the lab, and /run is new: what a node writes cannot reach the host. */
const FURNISH = `
while read -r _ _ _ _ point _; do
  case "$point" in
    /proc|/proc/*|/sys|/sys/*|/dev|/dev/*) ;;
    *) mount -o remount,bind,ro "$point" 2>/dev/null || : ;;
  esac
done </proc/self/mountinfo
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 holdfast-lab /run
mkdir ${LAB_FOLDER}
ip link set lo up
`;

export class Supervisor {
  /** Number of the init process on the host; killing it ends the lab. */
  readonly hostPid: number;
  readonly #unshare: ChildProcess;
  readonly #ended: Promise<unknown>;

  private constructor(unshare: ChildProcess, hostPid: number) {
    this.#unshare = unshare;
    this.hostPid = hostPid;
    this.#ended = once(unshare, 'close');
  }

  /** @throws HF_LAB_START when the kernel refuses the namespaces */
  static async start(): Promise<Supervisor> {
    const unshare = spawn(
      'setpriv',
      ['--pdeathsig', 'KILL', 'unshare', '--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc', '--', 'sh', '-euc', INIT],
      { env: LAB_ENVIRONMENT, detached: true, stdio: 'pipe' },
    );
    let errors = '';
    unshare.stderr.on('data', (chunk: Buffer) => {
      errors += chunk.toString();
    });
    let pidNamespace: string | undefined;
    let ended = false;
    unshare.once('close', () => {
      ended = true;
    });
    createInterface({ input: unshare.stdout }).on('line', (line) => {
      pidNamespace = /^ready (.+)$/.exec(line)?.[1];
    });
    const hostPid = await waitFor('the lab to start', START_TIMEOUT_MS, () => {
      if (ended) throw new HoldfastError('HF_LAB_START', `the namespaces of the lab cannot be made: ${errors.trim()}`);
      return pidNamespace === undefined ? undefined : processesIn(pidNamespace).find((candidate) => candidate.pid === 1)?.hostPid;
    });
    const supervisor = new Supervisor(unshare, hostPid);
    await supervisor.run('preparing the lab', FURNISH);
    return supervisor;
  }

  /** Arguments that run a command inside the lab, outside of all machines; the command follows. */
  get entry(): string[] {
    return enter(this.hostPid, ['--mount', '--net', '--pid']);
  }

  /** The path on the host of a path in the lab. Valid while the lab lives. */
  pathOnHost(path: string): string {
    return `/proc/${this.hostPid}/root${path}`;
  }

  /**
   * Runs a shell script inside the lab, outside of all machines; stops at the first command that fails.
   * @param descriptor open file that the script finds as descriptor 3
   * @throws HF_LAB_COMMAND_FAILED
   */
  async run(title: string, script: string, args: readonly string[] = [], descriptor?: number): Promise<string> {
    const argv = [...this.entry, 'sh', '-euc', script, 'lab', ...args];
    return outputOf(title, await runCommand(argv, LAB_ENVIRONMENT, {}, descriptor));
  }

  /** Ends the lab. Resolves when the kernel has ended every process in it. */
  async kill(): Promise<void> {
    sendSignal(this.hostPid, 'SIGKILL');
    this.#unshare.stdin?.destroy();
    await this.#ended;
  }
}
