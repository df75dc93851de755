/**
 * A lab to look at: `node test/dist/lab/main.js [--json] [node …]` builds one (n1 and n2 by default), says how to enter its machines, and
 * ends it at Ctrl-C or when its standard input ends.
 */
import { Lab } from './lab.js';

const stop = new Promise<void>((resolve) => {
  process.once('SIGINT', resolve).once('SIGTERM', resolve);
  process.stdin.resume().once('end', resolve);
});
const names = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const lab = await Lab.create({ nodes: names.length > 0 ? names : ['n1', 'n2'] });
if (process.argv.includes('--json')) {
  const machines = [...lab.nodes, ...lab.clients].map((machine) => ({ name: machine.name, initHostPid: machine.initHostPid }));
  process.stdout.write(`${JSON.stringify({ supervisorPid: lab.supervisorPid, machines })}\n`);
} else {
  process.stdout.write(`${lab.describe()}\nCtrl-C ends the lab.\n`);
}
await stop;
process.stdin.destroy();
await lab.close();
