/** Asks the witness of an element once, in whatever network this process is, and prints the answer. */
import assert from 'node:assert/strict';
import type { ElementValue, Log, WeakWitness, WitnessProvider } from '@holdfast/sdk';
import { plugin } from '../src/index.js';

const nothing = (): void => undefined;
const log: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing };

export function witnessOf(type: string, configuration: ElementValue): WeakWitness {
  const providers = new Map<string, WitnessProvider>();
  const refuse = (): never => assert.fail('registers witnesses only');
  plugin.register({
    heartbeatTransport: refuse,
    virtualIpDriver: refuse,
    replicationBackend: refuse,
    checker: refuse,
    witness: (each, implementation) => void providers.set(each, implementation),
  });
  const witness = providers
    .get(type)
    ?.create({ cluster: 'site', module: 'm', localNode: 'north', configurationDirectory: '/nonexistent', configuration, log });
  assert.ok(witness?.grade === 'weak');
  return witness;
}

const [type, element] = process.argv.slice(2);
if (type !== undefined && element !== undefined && process.argv[1]?.endsWith('probe.js') === true) {
  const witness = witnessOf(type, JSON.parse(element) as ElementValue);
  const outcome = await witness.reaches().then(
    (reach): unknown => reach,
    (error: unknown) => ({ code: (error as { readonly code?: unknown }).code }),
  );
  process.stdout.write(JSON.stringify(outcome));
  await witness.close();
}
