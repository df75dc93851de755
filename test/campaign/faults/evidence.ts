/** What a fault that failed leaves behind: a folder with everything that both nodes say about it. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HOLDFAST } from '../../lab/cluster.js';
import { NODES, type Stage } from './stage.js';

const QUESTIONS: Readonly<Record<string, readonly string[]>> = {
  'log.txt': ['log', '-s', '500'],
  'why.txt': ['why'],
  'state.txt': ['state', '-v'],
  'resources.txt': ['resources'],
};
const ANSWER_MS = 10_000;
const ACKNOWLEDGEMENTS = 2000;

/** Best-effort: a node that does not answer says so in its file. */
export async function keepEvidence(stage: Stage, folder: string, title: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const { cluster, writing } = stage;
  await writeFile(join(folder, 'fault.txt'), `${title}\n`);
  const last = writing.acknowledged.slice(-ACKNOWLEDGEMENTS);
  const rows = last.map(({ entry, place, node, sentMs, atMs }) => `${atMs.toFixed(1)}\t${sentMs.toFixed(1)}\t${node}\t${place}\t${entry}`);
  await writeFile(join(folder, 'acknowledgements.txt'), `${rows.join('\n')}\n`);
  for (const node of NODES) {
    const machine = cluster.machine(node);
    await writeFile(join(folder, `${node}-view.json`), `${JSON.stringify(cluster.view(node) ?? null, undefined, 2)}\n`);
    const output = cluster.agent(node)?.lines.map(({ text }) => text) ?? [];
    await writeFile(join(folder, `${node}-agent.txt`), `${output.join('\n')}\n`);
    for (const [file, words] of Object.entries(QUESTIONS)) {
      const ask = async (): Promise<string> => {
        const { stdout, stderr } = await machine.exec([process.execPath, HOLDFAST, ...words, '-m', cluster.module], {
          timeoutMs: ANSWER_MS,
        });
        return `${stdout}${stderr}`;
      };
      await writeFile(join(folder, `${node}-${file}`), await ask().catch(String));
    }
    await writeFile(
      join(folder, `${node}-processes.txt`),
      machine
        .pids()
        .map(({ pid, command }) => `${pid} ${command}\n`)
        .join(''),
    );
  }
}
