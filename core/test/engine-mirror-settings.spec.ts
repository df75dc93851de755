/** What a node tells its peer of its witnesses: whatever both must have alike makes a difference, however many there are. */
import assert from 'node:assert/strict';
import { WITNESSES_LENGTH_MAX, witnessesOf } from '../src/engine/mirror-settings.js';
import type { ContributedConfiguration, ModuleConfiguration } from '../src/model/configuration.js';

type Value = ContributedConfiguration['value'];

function of(...contributed: readonly (readonly [point: string, type: string, value: Value])[]): string {
  const entries = contributed.map(([point, type, value]) => ({ point, type, value }));
  return witnessesOf({ contributed: entries } as unknown as ModuleConfiguration);
}

const http = (server: string): readonly [string, string, Value] => ['witness', 'http', { server }];

describe('the witnesses that a node tells its peer of', () => {
  it('are named with everything that is configured of them, in their order, and nothing else of the module is', () => {
    assert.equal(of(), 'none');
    assert.equal(of(['checker', 'tcp', { ident: 'door' }]), 'none');
    assert.equal(
      of(http('10.0.0.9:9600'), ['checker', 'tcp', { ident: 'door' }], ['witness', 'ping', { arg: '10.0.0.1' }]),
      'http {"server":"10.0.0.9:9600"}, ping {"arg":"10.0.0.1"}',
    );
    assert.notEqual(of(http('10.0.0.9:9600')), of(http('10.0.0.9:9601')));
  });

  it('are told by number and digest from the first character that is too many', () => {
    const frame = of(http('')).length;
    const longest = of(http('x'.repeat(WITNESSES_LENGTH_MAX - frame)));
    assert.equal(longest.length, WITNESSES_LENGTH_MAX);
    assert.match(longest, /^http /);
    assert.match(of(http('x'.repeat(WITNESSES_LENGTH_MAX - frame + 1))), /^1 witnesses \([0-9a-f]{12}\)$/);
  });

  it('differ in their digest when the last of many differs, and only then', () => {
    const many = (last: string): string => of(...Array.from({ length: 40 }, (_, index) => http(`10.0.0.${index}:9600`)), http(last));
    assert.match(many('10.0.1.1:9600'), /^41 witnesses \([0-9a-f]{12}\)$/);
    assert.equal(many('10.0.1.1:9600'), many('10.0.1.1:9600'));
    assert.notEqual(many('10.0.1.1:9600'), many('10.0.1.2:9600'));
  });
});
