/** Runs fio on a machine of the lab and reads its report. */
import type { LabMachine } from '../lab/index.js';

/** The part of fio's JSON report that is used. */
export interface FioJob {
  readonly error: number;
  /** Milliseconds from the first operation to the end of the job, its final fsync included. */
  readonly job_runtime: number;
  readonly read: FioDirection;
  readonly write: FioDirection;
}

interface FioDirection {
  readonly io_bytes: number;
  readonly bw_bytes: number;
  readonly iops: number;
}

/**
 * @param options of fio, without the leading dashes
 * @throws Error with fio's own words
 */
export async function fio(machine: LabMachine, folder: string, options: Readonly<Record<string, string | number>>): Promise<FioJob> {
  const words = Object.entries({ name: 'job', directory: folder, fallocate: 'none', invalidate: 0, ...options });
  const argv = ['fio', '--output-format=json', '--group_reporting', ...words.map(([name, value]) => `--${name}=${value}`)];
  return parseFio(await machine.run(argv, { timeoutMs: 600_000 }));
}

/** @throws Error when the report is not one, or tells of an error */
export function parseFio(output: string): FioJob {
  // Remarks of fio stand in front of the report.
  const start = output.indexOf('{');
  const report = start < 0 ? undefined : (JSON.parse(output.slice(start)) as { jobs?: readonly FioJob[] });
  const job = report?.jobs?.[0];
  if (job === undefined) throw new Error(`fio gave no report: ${output.slice(0, 200)}`);
  if (job.error !== 0) throw new Error(`fio failed with error ${job.error}`);
  return job;
}
