/**
 * One machine of the lab: a node, a client or the router. It is a set of namespaces (network, mounts, host name, IPC, processes) with an
 * init of its own. Killing the init is a power cut: the kernel ends every process of the machine in the same moment and its mounts vanish.
 *
 * File system: /srv, /var/lib/holdfast and /etc/holdfast are folders of the machine's own disk; /etc, /var and /root are the host's with
 * the machine's own changes on top, kept on that disk; /run, /tmp and /dev/shm are in memory; everything else is the host's, read-only.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join, posix } from 'node:path';
import { HoldfastError } from '@holdfast/sdk';
import { type BootedNamespaces, bootNamespaces } from './boot.js';
import { type CommandOptions, type CommandResult, outputOf, runCommand } from './command.js';
import { waitFor } from './deadline.js';
import { Disk, type MachineDisk } from './disk.js';
import { FolderDisk } from './folder-disk.js';
import { enter } from './enter.js';
import { isRunnable, type NamespaceProcess, processesIn, sendSignal } from './host-process.js';
import type { LabNetwork } from './network.js';
import { RunningCommand } from './running-command.js';
import { LAB_ENVIRONMENT, LAB_FOLDER, type Supervisor } from './supervisor.js';
import type { MachineAddress, MachinePlan } from './topology.js';

/** What all machines of one lab share. */
export interface MachineSurroundings {
  readonly supervisor: Supervisor;
  readonly network: LabNetwork;
  readonly routed: boolean;
  /** Content of /etc/hosts. */
  readonly hosts: string;
  /** Folder on the host that stays visible inside, wherever it is. */
  readonly programFolder: string;
  readonly keepLogs?: string;
}

export interface SpawnOptions {
  /** Added to a small fixed environment (PATH, HOME, LANG). */
  readonly env?: Readonly<Record<string, string>>;
  /** Absolute, inside the machine. Default `/`. */
  readonly cwd?: string;
}

export interface PowerCutOptions {
  /** `lost`, as in reality, is the default: what was not synced is gone. `kept` is as if the disk had finished all writes just in time. */
  readonly unsyncedWrites?: 'lost' | 'kept';
}

const STOP_TIMEOUT_MS = 5000;
const NAMESPACES = ['--mount', '--uts', '--ipc', '--net', '--pid'];

/** Folders inside a machine that lie on its disk, and where. */
const DISK_FOLDERS: Readonly<Record<string, string>> = {
  '/srv': 'srv',
  '/var/lib/holdfast': 'var-lib-holdfast',
  '/etc/holdfast': 'etc-holdfast',
};

/** $1 host name, $2 disk, $3 content of /etc/hosts, $4 folder with the programs */
const BOOT = `
echo "$1" >/proc/sys/kernel/hostname
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad # for the machine's own addresses; see the connection to the switch
ip link set lo up
for folder in ${LAB_FOLDER}/*; do # the disks of the others: a copy of their mounts here would keep them busy over there
  [ "$folder" = "$2" ] || umount "$folder" 2>/dev/null || :
done
mkdir -p "$2/programs"
mount --bind "$4" "$2/programs"
for folder in etc var root; do
  mkdir -p "$2/overlay/$folder/upper" "$2/overlay/$folder/work"
  chmod --reference="/$folder" "$2/overlay/$folder/upper"
  mount -t overlay -o "lowerdir=/$folder,upperdir=$2/overlay/$folder/upper,workdir=$2/overlay/$folder/work" overlay "/$folder"
done
echo "$1" >/etc/hostname
printf '%s' "$3" >/etc/hosts
mkdir -p "$2/srv" "$2/var-lib-holdfast" "$2/etc-holdfast" /var/lib/holdfast /etc/holdfast
mount --bind "$2/srv" /srv
mount --bind "$2/var-lib-holdfast" /var/lib/holdfast
mount --bind "$2/etc-holdfast" /etc/holdfast
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /tmp
if [ -e "$4" ]; then umount "$2/programs"; else mkdir -p "$4"; mount --bind "$2/programs" "$4"; fi
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/lock
cat /proc/sys/kernel/random/uuid >/run/boot_id # every power-on is a new boot, as far as anybody inside can tell
mount --bind /run/boot_id /proc/sys/kernel/random/boot_id
echo "ready $(readlink /proc/self/ns/pid)"
exec env --ignore-signal=CHLD sleep infinity </dev/null >/dev/null 2>&1
`;

interface Power extends BootedNamespaces {
  readonly initHostPid: number;
  /** The init's number as the lab sees it. */
  readonly initLabPid: number;
}

export class LabMachine {
  readonly name: string;
  readonly role: MachinePlan['role'];
  /** In the order of the interfaces; the first is on the first network. */
  readonly addresses: readonly MachineAddress[];
  readonly #plan: MachinePlan;
  readonly #lab: MachineSurroundings;
  /** The ends of all commands that are running. */
  readonly #commands = new Set<Promise<unknown>>();
  #disk: MachineDisk | undefined;
  #power: Power | undefined;
  #logs = 0;

  constructor(plan: MachinePlan, lab: MachineSurroundings) {
    this.name = plan.name;
    this.role = plan.role;
    this.addresses = plan.addresses;
    this.#plan = plan;
    this.#lab = lab;
  }

  get powered(): boolean {
    return this.#power !== undefined;
  }

  /** Number of the machine's init on the host. @throws HF_LAB_NODE_OFF */
  get initHostPid(): number {
    return this.#powered().initHostPid;
  }

  /** The command line that opens a shell in the machine from the host. @throws HF_LAB_NODE_OFF */
  get shellCommand(): string {
    return ['nsenter', '--target', String(this.initHostPid), ...NAMESPACES, '--', 'bash'].join(' ');
  }

  /** Boots the machine: its disk as it was left, its addresses, no process but init. Does nothing when it is on. */
  async powerOn(): Promise<void> {
    if (this.#power !== undefined) return;
    const { supervisor, network, routed, hosts, programFolder } = this.#lab;
    const { diskMb, diskFolder } = this.#plan;
    if (diskMb !== undefined) this.#disk ??= await Disk.create(supervisor, this.#diskRoot, diskMb);
    if (diskFolder !== undefined) this.#disk ??= await FolderDisk.create(supervisor, this.#diskRoot, diskFolder);
    const script = ['sh', '-euc', BOOT, 'boot', this.name, this.#diskRoot, hosts, programFolder];
    const boot = await bootNamespaces(this.name, supervisor.entry, NAMESPACES, script);
    const init = processesIn(boot.pidNamespace).find((candidate) => candidate.pid === 1);
    const initLabPid = init?.numbers.at(-2);
    if (init === undefined || initLabPid === undefined) {
      throw new HoldfastError('HF_LAB_START', `${this.name} ended right after it had booted`);
    }
    await network.connect(this.#plan, initLabPid, routed);
    this.#power = { ...boot, initHostPid: init.hostPid, initLabPid };
  }

  /** The power goes: every process is killed at once, nothing is flushed. Does nothing when it is off. */
  async powerCut(options: PowerCutOptions = {}): Promise<void> {
    const power = this.#power;
    if (power === undefined) return;
    const disk = options.unsyncedWrites === 'kept' ? undefined : this.#disk;
    if (disk?.isShared === true) throw new HoldfastError('HF_LAB_OPTION', `${this.name} has no disk of its own that could lose writes`);
    this.#power = undefined;
    if (disk === undefined) sendSignal(power.initHostPid, 'SIGKILL');
    else await disk.losePower(power.initLabPid);
    await power.ended;
    await Promise.all(this.#commands); // their waiters hold the machine's mounts
    await this.#lab.network.disconnect(this.#plan);
    await disk?.recover();
  }

  /**
   * The disk fails: every write is an I/O error, what was not synced is lost. A power cut brings a good disk back.
   * @throws HF_LAB_NODE_OFF
   */
  async failDisk(): Promise<void> {
    this.#powered();
    await this.#disk?.fail();
  }

  /** Runs a command to its end; a failure is a result, not an error. @throws HF_LAB_NODE_OFF */
  exec(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return this.#track(runCommand(this.#argv(argv, options.cwd), { ...LAB_ENVIRONMENT, ...options.env }, options));
  }

  /** Runs a command that must succeed and gives its standard output. @throws HF_LAB_COMMAND_FAILED, HF_LAB_NODE_OFF */
  async run(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
    return outputOf(`${this.name}: ${argv.join(' ')}`, await this.exec(argv, options));
  }

  /** Starts a command that keeps running; it ends with the machine's power at the latest. @throws HF_LAB_NODE_OFF */
  spawn(argv: readonly string[], options: SpawnOptions = {}): RunningCommand {
    const title = basename(argv[0] ?? '');
    this.#logs += 1;
    const log = this.#lab.keepLogs === undefined ? undefined : join(this.#lab.keepLogs, `${this.name}-${this.#logs}-${title}.log`);
    const environment = { ...LAB_ENVIRONMENT, ...options.env };
    const command = new RunningCommand(`${this.name}: ${title}`, this.#argv(argv, options.cwd), environment, log);
    void this.#track(command.finished);
    return command;
  }

  /** Processes of the machine except its init. Empty without power. */
  pids(): NamespaceProcess[] {
    return this.#power === undefined ? [] : processesIn(this.#power.pidNamespace).filter((candidate) => candidate.pid !== 1);
  }

  /**
   * Stops every process in one moment (SIGSTOP), as a hypervisor that pauses a virtual machine: the network stack stays alive, nobody is at
   * home.
   */
  async pause(): Promise<void> {
    await this.#signalAll('STOP');
    // Each stops on its own way out of the kernel; none of them gets to run its own code before.
    await waitFor(`${this.name} to stop`, STOP_TIMEOUT_MS, () => !this.pids().some(({ hostPid }) => isRunnable(hostPid)));
  }

  async resume(): Promise<void> {
    await this.#signalAll('CONT');
  }

  /**
   * Path on the host of a path as the machine sees it, with everything that is mounted there. Valid until the power goes.
   * @throws HF_LAB_NODE_OFF
   */
  path(path: string): string {
    return `/proc/${this.#powered().initHostPid}/root${posix.resolve('/', path)}`;
  }

  /**
   * Path on the host of a path below /srv, /var/lib/holdfast or /etc/holdfast as it is on the machine's disk, below anything mounted over
   * it. Also valid without power.
   * @throws HF_LAB_OPTION for another path
   */
  diskPath(path: string): string {
    const absolute = posix.resolve('/', path);
    for (const [folder, place] of Object.entries(DISK_FOLDERS)) {
      if (absolute === folder || absolute.startsWith(`${folder}/`)) {
        return this.#lab.supervisor.pathOnHost(`${this.#diskRoot}/${place}${absolute.slice(folder.length)}`);
      }
    }
    throw new HoldfastError('HF_LAB_OPTION', `${absolute} is not on the disk of ${this.name}; ${Object.keys(DISK_FOLDERS).join(', ')} are`);
  }

  /** @throws HF_LAB_NODE_OFF */
  readFile(path: string): Promise<string> {
    return readFile(this.path(path), 'utf8');
  }

  /** Writes a file, making its folders. @throws HF_LAB_NODE_OFF */
  async writeFile(path: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
    await mkdir(dirname(this.path(path)), { recursive: true });
    await writeFile(this.path(path), content, { mode });
  }

  /** Lets go of the disk image, after the lab has ended. */
  async release(): Promise<void> {
    this.#power = undefined;
    await this.#disk?.released();
    this.#disk?.close();
    this.#disk = undefined;
  }

  get #diskRoot(): string {
    return `${LAB_FOLDER}/${this.name}`;
  }

  #powered(): Power {
    if (this.#power === undefined) throw new HoldfastError('HF_LAB_NODE_OFF', `${this.name} has no power`);
    return this.#power;
  }

  #argv(argv: readonly string[], cwd: string | undefined): string[] {
    return [...enter(this.initHostPid, NAMESPACES), ...(cwd === undefined ? [] : [`--chdir=${cwd}`]), ...argv];
  }

  /** kill(-1) reaches every process of the machine but init and the sender, in one step that no fork can slip through. */
  async #signalAll(signal: 'STOP' | 'CONT'): Promise<void> {
    await this.run(['sh', '-c', `kill -${signal} -1`]);
  }

  #track<T>(command: Promise<T>): Promise<T> {
    const end: Promise<unknown> = command.catch(() => undefined).then(() => this.#commands.delete(end)); // the caller gets the error
    this.#commands.add(end);
    return command;
  }
}
