/**
 * Runs on a node: the driver of virtual addresses alone, without agent and decisions. Reads `acquire` and `release`, and prints how many
 * milliseconds each took; announcing is part of the first. Arguments: the plug-in's main file, then the addresses.
 */
import { createInterface } from 'node:readline';
import { type Log, messageOf, type Plugin, type VirtualIp, type VirtualIpDriver } from '@holdfast/sdk';

const [main = '', ...addresses] = process.argv.slice(2);
const LIFETIME_MS = 60_000;
const ignore = (): void => undefined;
const log: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };

async function driver(): Promise<VirtualIp> {
  const { plugin } = (await import(main)) as { readonly plugin: Plugin };
  let made: VirtualIpDriver | undefined;
  const register = { heartbeatTransport: ignore, replicationBackend: ignore, checker: ignore, witness: ignore };
  plugin.register({ ...register, virtualIpDriver: (_type, implementation) => void (made = implementation) });
  if (made === undefined) throw new Error(`${main} registers no driver of virtual addresses`);
  const configuration = { interface: [{ real_interface: [{ virtual_addr: addresses.map((addr) => ({ addr })) }] }] };
  return made.create({ module: 'bench', localNode: 'node', configuration, localAddresses: [], lifetimeMs: LIFETIME_MS, log });
}

const virtualIp = await driver();
const never = new AbortController().signal;
process.stdout.write('ready\n');
for await (const word of createInterface({ input: process.stdin })) {
  const began = performance.now();
  try {
    if (word === 'acquire') await virtualIp.acquire(never);
    else await virtualIp.release(never);
    process.stdout.write(`${word} ${(performance.now() - began).toFixed(3)}\n`);
  } catch (error) {
    process.stdout.write(`failed ${messageOf(error)}\n`);
  }
}
await virtualIp.close();
