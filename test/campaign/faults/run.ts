/**
 * The fault campaign: one cluster, clients that write all the time, one fault after the other until the pair is whole again, and from time
 * to time, and in the end, everything that was promised is looked at.
 */
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '@holdfast/sdk';
import { HOLDFAST } from '../../lab/cluster.js';
import { compareNodes } from '../../demo/still.js';
import { monotonicMs } from '../../lab/workload-report.js';
import { VIRTUAL_IP } from '../../demo/applications.js';
import { ACTS } from './deeds.js';
import { keepEvidence } from './evidence.js';
import { findContradictions, findLost, longestGapMs, type Finding } from './judge.js';
import { type PlannedFault, planFault, titleOf } from './plan.js';
import type { CampaignResult, FaultResult } from './report.js';
import { LEDGER, Stage } from './stage.js';

export interface FaultOptions {
  readonly seed: number;
  readonly faultsMax: number;
  readonly durationMs: number;
  /** Faults between two looks at everything. */
  readonly checkEvery: number;
  /** Number of the first fault, to repeat a part of a plan. */
  readonly first: number;
  readonly onProgress: (text: string) => void;
  readonly say: (text: string) => void;
}

const READ_MS = 60_000;
const VERIFY_MS = 60_000;
const SERVE_MS = 60_000;
const EXAMPLES_MAX = 20;

export async function faultCampaign(options: FaultOptions): Promise<CampaignResult> {
  const campaign = new Campaign(await Stage.create(), options);
  try {
    return await campaign.run();
  } finally {
    await campaign.stage.cluster.close();
  }
}

class Campaign {
  readonly #results: FaultResult[] = [];
  readonly #findings: Finding[] = [];
  /** All places up to here have been looked at. */
  #checked = 0;
  #claims = 0;
  #identical = true;
  #folder: string | undefined;

  constructor(
    readonly stage: Stage,
    readonly options: FaultOptions,
  ) {}

  async run(): Promise<CampaignResult> {
    const { faultsMax, durationMs, checkEvery, first, onProgress } = this.options;
    const beganMs = performance.now();
    let aborted: string | undefined;
    for (let count = 0; count < faultsMax && performance.now() - beganMs < durationMs; count += 1) {
      const fault = planFault(this.options.seed, first + count);
      const result = await this.#play(fault);
      this.#results.push(result);
      const { acknowledged } = this.stage.writing;
      const problems = this.#results.filter(({ problem }) => problem !== undefined).length + this.#findings.length;
      onProgress(
        `${count + 1} faults, ${acknowledged.length} acknowledged, ${problems} problems; ` +
          `last: #${fault.number} ${result.title}, outage ${result.outageMs.toFixed(0)} ms, whole after ${result.recoveryMs.toFixed(0)} ms`,
      );
      if (result.problem !== undefined && !(await this.#recover())) {
        aborted = 'the cluster does not become whole again';
        break;
      }
      if ((count + 1) % checkEvery === 0) await this.#look(fault);
    }
    await this.#lookForTheLastTime();
    const { writing, sniffing } = this.stage;
    return {
      seed: this.options.seed,
      durationMs: performance.now() - beganMs,
      faults: this.#results,
      acknowledged: writing.acknowledged.length,
      unknown: writing.unknown,
      findings: this.#findings,
      identical: this.#identical && aborted === undefined,
      claims: this.#claims,
      framesSeen: sniffing.frames,
      ...(this.#folder === undefined ? {} : { evidence: this.#folder }),
      ...(aborted === undefined ? {} : { aborted }),
    };
  }

  async #play(fault: PlannedFault): Promise<FaultResult> {
    const { stage } = this;
    const title = titleOf(fault);
    const notes: string[] = [];
    const from = Math.max(0, stage.writing.acknowledged.length - 1);
    let beganMs = monotonicMs();
    let healedMs = beganMs;
    let problem: string | undefined;
    try {
      await delay(fault.calmMs);
      const roles = stage.roles;
      beganMs = monotonicMs();
      await Promise.all(
        fault.deeds.map(async (deed) => {
          await delay(deed.startMs);
          const undo = await ACTS[deed.kind](stage, deed, roles);
          await delay(deed.durationMs);
          await undo();
        }),
      );
      await stage.mend();
      healedMs = monotonicMs();
      await stage.settle((note) => notes.push(note));
    } catch (error) {
      problem = messageOf(error);
      await this.#keep(fault, problem);
    }
    const endedMs = monotonicMs();
    this.#noteOwners(notes);
    const times = stage.writing.acknowledged.slice(from).map(({ atMs }) => atMs);
    const outageMs = longestGapMs(times, beganMs, endedMs);
    return {
      number: fault.number,
      title,
      outageMs,
      recoveryMs: endedMs - healedMs,
      durationMs: endedMs - beganMs,
      notes,
      ...(problem === undefined ? {} : { problem }),
    };
  }

  /** What the sniffer saw since the last time. */
  #noteOwners(notes: string[]): void {
    const { acknowledged, claims } = this.stage.sniffing.take();
    this.#claims += claims;
    this.#findings.push(...acknowledged.map((text): Finding => ({ kind: 'dualPrimary', text })));
    if (claims > 0) notes.push(`both nodes claimed the address: ${claims} claims of one among those of the other`);
  }

  /** After a fault that failed: the power of both nodes is cut, and what follows shows the next ones. */
  async #recover(): Promise<boolean> {
    const { stage } = this;
    try {
      await stage.cluster.lab.network.heal();
      await Promise.all(['n1', 'n2'].map((node) => stage.cutPower(node)));
      await stage.mend();
      await stage.settle(() => undefined);
      return true;
    } catch (error) {
      this.options.say(`after a power cut of both nodes: ${messageOf(error)}`);
      return false;
    }
  }

  /** Everything acknowledged since the last look is there, in order; both copies are identical. */
  async #look(fault: PlannedFault): Promise<void> {
    const { writing } = this.stage;
    const found: Finding[] = [];
    try {
      await writing.pause();
      found.push(...(await this.#readBack(this.#checked)));
      await this.#verify();
      writing.resume();
      await writing.waitForMore(1, SERVE_MS);
    } catch (error) {
      writing.resume();
      found.push({ kind: 'unchecked', text: messageOf(error) });
    }
    if (found.length === 0) return;
    this.#findings.push(...found);
    for (const { kind, text } of found.slice(0, EXAMPLES_MAX)) this.options.say(`${kind}: ${text}`);
    await this.#keep(fault, found.map(({ kind, text }) => `${kind}: ${text}`).join('\n'));
  }

  async #readBack(from: number): Promise<Finding[]> {
    const { writing, sniffing } = this.stage;
    const fresh = writing.acknowledged.filter(({ place }) => place > from);
    const present = await this.#entries(from + 1);
    const found = [...findLost(fresh, present), ...findContradictions(fresh)];
    if (!sniffing.running) found.push({ kind: 'unchecked', text: 'the sniffer has ended' });
    this.#checked = Math.max(from, ...fresh.slice(-200).map(({ place }) => place));
    return found;
  }

  /** What the survivor serves, by place. */
  async #entries(from: number): Promise<Map<number, string>> {
    const { client } = this.stage.cluster.lab;
    const url = `http://${VIRTUAL_IP}:8080/entries?from=${from}`;
    // Right after a change of owners the client may not know yet where the address is.
    const retry = ['--connect-timeout', '2', '--retry', '10', '--retry-delay', '1', '--retry-all-errors'];
    const text = await client.run(['curl', '-sS', '--fail', '--max-time', '50', ...retry, url], { timeoutMs: READ_MS });
    const rows = text.split('\n').filter((line) => line !== '');
    return new Map(rows.map((line) => [Number(line.slice(0, line.indexOf('\t'))), line.slice(line.indexOf('\t') + 1)]));
  }

  async #verify(): Promise<void> {
    const { cluster, roles } = this.stage;
    const words = ['verify', '-m', cluster.module, '--json'];
    const { code, stdout, stderr } = await cluster
      .machine(roles.primary)
      .exec([process.execPath, HOLDFAST, ...words], { timeoutMs: VERIFY_MS });
    if (code === 0) return;
    this.#identical = false;
    throw new Error(`holdfast verify ended with ${code}: ${stdout}${stderr}`);
  }

  async #lookForTheLastTime(): Promise<void> {
    const { cluster, writing } = this.stage;
    const last = planFault(this.options.seed, this.options.first + this.#results.length - 1);
    try {
      await writing.pause();
      const found = await this.#readBack(0);
      this.#findings.push(...found);
      for (const { kind, text } of found.slice(0, EXAMPLES_MAX)) this.options.say(`${kind}: ${text}`);
      await this.#verify();
      await writing.end();
      const { identical, differences } = await compareNodes(cluster, LEDGER);
      this.#identical &&= identical;
      for (const difference of differences) this.options.say(`the copies differ: ${difference}`);
      if (!identical) await this.#keep(last, `the copies differ:\n${differences.join('\n')}`);
    } catch (error) {
      this.#findings.push({ kind: 'unchecked', text: messageOf(error) });
      await this.#keep(last, messageOf(error));
    }
  }

  async #keep(fault: PlannedFault, problem: string): Promise<void> {
    this.#folder ??= await mkdtemp(join(tmpdir(), `holdfast-faults-${this.options.seed}-`));
    const folder = join(this.#folder, `fault-${fault.number}`);
    this.options.say(`#${fault.number} ${titleOf(fault)}: ${problem}; kept in ${folder}`);
    await keepEvidence(this.stage, folder, `${JSON.stringify(fault)}\n${problem}`);
  }
}
