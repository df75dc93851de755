/** The crash campaign of the file replication: its program belongs to the plug-in's own tests, which know its parts. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { CampaignOptions, CampaignOutcome } from './power-cuts.js';

const PROGRAM = fileURLToPath(new URL('../../../plugins/replication-files/dist/test/crash-campaign.js', import.meta.url));

export async function crashCampaign({ rounds, seed, progress }: CampaignOptions, all: number | undefined): Promise<CampaignOutcome> {
  const options = { rounds, seed, ...(all === undefined ? {} : { all }) };
  const child = spawn(process.execPath, ['--enable-source-maps', PROGRAM, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let last = '';
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (last !== '') progress(last);
    last = line;
  });
  await new Promise((resolve) => child.once('close', resolve));
  return JSON.parse(last) as CampaignOutcome;
}
