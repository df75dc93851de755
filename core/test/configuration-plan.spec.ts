/** What a running module takes of a new configuration, and in which words the rest is refused. */
import assert from 'node:assert/strict';
import { planChanges } from '../src/decide/configuration-plan.js';
import type { PlannedConfiguration } from '../src/model/configuration-change.js';
import { HEART, parse } from './config-fixtures.js';

const VIP =
  '<vip><interface_list><interface><real_interface><virtual_addr addr="10.0.0.9"/></real_interface></interface></interface_list></vip>';
const TCP = '<check><tcp ident="web"><to addr="127.0.0.1" port="80"/></tcp></check>';
const RFS = '<rfs async="second"><replicated dir="/srv/a"/></rfs>';

function plan(xml: string, scripts: Readonly<Record<string, string>> = {}): PlannedConfiguration {
  const { configuration, lines } = parse(xml);
  return { configuration, lines, scripts };
}

function service(content: string, attributes = '', heart = HEART): string {
  return `<safe>\n<service mode="mirror"${attributes}>\n${heart}\n${content}\n</service>\n</safe>`;
}

function changes(before: string, after: string): readonly string[] {
  const found = planChanges(plan(before), plan(after), { replicationLive: () => ['reitimeout'] });
  return found.map(({ live, text }) => `${live ? 'live' : 'stop'} ${text}`);
}

describe('the plan of a new configuration', () => {
  it('has nothing for what means the same', () => {
    assert.deepEqual(changes(service(`<user/>${TCP}`), service(`<!-- a comment -->\n\n<user></user>\n${TCP}`)), []);
  });

  it('takes what only later decisions read', () => {
    assert.deepEqual(
      changes(service('<user/>'), service('<user/>', ' maxloop="5" boot="on" boot_delay="3s" loop_interval="1h" failover="off"')),
      [
        'live boot of <service>: "ignore" -> "on", line 2',
        'live boot_delay of <service>: 0 -> 3000, line 2',
        'live failover of <service>: true -> false, line 2',
        'live maxloop of <service>: 3 -> 5, line 2',
        'live loop_interval of <service>: 86400000 -> 3600000, line 2',
      ],
    );
  });

  it('takes checks that come, go and change', () => {
    const other = '<check><tcp ident="db"><to addr="127.0.0.1" port="5432"/></tcp></check>';
    assert.deepEqual(changes(service(`<user/>\n${TCP}`), service(`<user/>\n${other}`)), [
      'live <tcp ident="db"> added in line 5',
      'live <tcp ident="web"> removed, was in line 5',
    ]);
    assert.deepEqual(changes(service(`<user/>\n${TCP}`), service(`<user/>\n${TCP.replace('"80"', '"81"')}`)), [
      'live <tcp ident="web"> changed in line 5',
    ]);
  });

  it('takes failover rules that come, change and go', () => {
    const rules = (action: string): string => `<failover>a: if (tcp.web == down) then ${action}();</failover>`;
    const [none, one, other] = ['', rules('stop'), rules('wait')].map((text) => service(`<user/>\n${TCP}\n${text}`));
    assert.deepEqual(changes(none ?? '', one ?? ''), ['live <failover> changed in line 6']);
    assert.deepEqual(changes(one ?? '', other ?? ''), ['live <failover> changed in line 6']);
    assert.deepEqual(changes(one ?? '', none ?? ''), ['live <failover> changed in line 6']);
  });

  it('takes no other virtual host name: the application runs under that of before', () => {
    const of = (name: string): string => service(`<user/>\n<vhost><virtualhostname name="${name}"/></vhost>`);
    assert.deepEqual(changes(of('books'), of('shelves')), [
      'stop <vhost> changed in line 5: the application runs under the name of before; stop the module on both nodes',
    ]);
  });

  it('names a virtual address and what must be stopped', () => {
    assert.deepEqual(changes(service(`<user/>\n${VIP}`), service(`<user/>\n${VIP.replace('0.9', '0.8')}`)), [
      'stop <vip> changed in line 5: stop the module on both nodes',
    ]);
  });

  it('takes another tcpreset of the virtual addresses: it is read when they leave', () => {
    assert.deepEqual(changes(service(`<user/>\n${VIP}`), service(`<user/>\n${VIP.replace('<vip>', '<vip tcpreset="off">')}`)), [
      'live tcpreset of <vip>: true -> false, line 5',
    ]);
  });

  it('tells the attributes of a replication that its backend takes from the others', () => {
    const after = RFS.replace('async="second"', 'async="none" reitimeout="99"').replace('/srv/a', '/srv/b');
    assert.deepEqual(changes(service(`<user/>\n${RFS}`), service(`<user/>\n${after}`)), [
      'stop async of <rfs>: "second" -> "none", line 5: stop the module on both nodes',
      'stop <replicated> of <rfs> in line 5 changed: stop the module on both nodes',
      'live reitimeout of <rfs>: 150 -> 99, line 5',
    ]);
  });

  it('takes a longer timeout of the heartbeats, and a shorter one only without virtual addresses', () => {
    const heart = (timeout: number): string => `<heart timeout="${timeout}"><heartbeat name="default"/></heart>`;
    const of = (content: string, timeout: number): string => service(content, '', heart(timeout));
    assert.deepEqual(changes(of(VIP, 2000), of(VIP, 5000)), ['live timeout of <heart>: 2000 -> 5000, line 3']);
    assert.match(
      changes(of(VIP, 5000), of(VIP, 2000))[0] ?? '',
      /^stop timeout .*would outlive a shorter timeout; stop the module on both nodes$/,
    );
    assert.deepEqual(changes(of('', 5000), of('', 2000)), ['live timeout of <heart>: 5000 -> 2000, line 3']);
    const fast = (pulse: number): string => service('', '', `<heart timeout="400" pulse="${pulse}"><heartbeat name="default"/></heart>`);
    assert.match(changes(fast(50), fast(100))[0] ?? '', /^stop pulse .*no time to reopen/);
  });

  it('refuses to take scripts away from what they have started', () => {
    assert.match(
      changes(service('<user/>'), service(''))[0] ?? '',
      /^stop <user> changed in line 4: removed, and what runs could not be stopped/,
    );
    const xml = service('<user/>');
    const found = planChanges(plan(xml, { start_prim: 'a', stop_prim: 'b', update: 'c' }), plan(xml, { start_prim: 'A', report: 'd' }), {
      replicationLive: () => [],
    });
    assert.deepEqual(
      found.map(({ live, text }) => `${live ? 'live' : 'stop'} ${text}`),
      [
        'live bin/report added',
        'live bin/start_prim changed',
        'stop bin/stop_prim removed: what runs could not be stopped without it; stop the module on this node',
        'live bin/update removed',
      ],
    );
  });

  it('never shows the value of a variable, which may be a password', () => {
    const of = (value: string): string => service(`<user><var name="PASSWORD" value="${value}"/></user>`);
    assert.deepEqual(changes(of('one'), of('two')), ['live <var name="PASSWORD"> changed']);
  });
});
