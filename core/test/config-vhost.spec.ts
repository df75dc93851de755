import assert from 'node:assert/strict';
import { mirror, parse, refuses } from './config-fixtures.js';

const vhost = (attributes: string): string => mirror(`<vhost>\n  <virtualhostname ${attributes}/>\n</vhost>`);

describe('<vhost>', () => {
  it('is read with its defaults', () => {
    assert.equal(parse(mirror('')).configuration.virtualHost, undefined);
    assert.deepEqual(parse(vhost('name="ledger"')).configuration.virtualHost, { name: 'ledger', when: 'prim' });
    const all = vhost('name="ledger-1.example.org" envfile="vhostenv" when="both"');
    assert.deepEqual(parse(all).configuration.virtualHost, { name: 'ledger-1.example.org', envFile: 'vhostenv', when: 'both' });
    assert.equal(parse(vhost('name="a" envfile="/run/a.env"')).configuration.virtualHost?.envFile, '/run/a.env');
  });

  it('refuses names that are none, each at its place', () => {
    for (const name of ['', '-a', 'a-', 'a_b', 'a b', 'a..b', '.a', 'a.', 'ä', 'a;reboot', 'x'.repeat(65), `${'x'.repeat(64)}.a`]) {
      refuses(() => parse(vhost(`name="${name}"`)), 'HF_CONFIG_VALUE', '4:20', /name/);
    }
    parse(vhost(`name="${'x'.repeat(63)}"`));
  });

  it('refuses files elsewhere than in bin/, unknown words and a second name', () => {
    refuses(() => parse(vhost('name="a" envfile="../x"')), 'HF_CONFIG_VALUE', '4:29', /envfile/);
    refuses(() => parse(vhost('name="a" envfile="a/b"')), 'HF_CONFIG_VALUE', '4:29', /envfile/);
    refuses(() => parse(vhost('name="a" when="alone"')), 'HF_CONFIG_VALUE', '4:29', /prim/);
    refuses(() => parse(vhost('envfile="a"')), 'HF_CONFIG_ATTRIBUTE_MISSING', '4:3', /name/);
    refuses(() => parse(mirror('<vhost/>')), 'HF_CONFIG_ELEMENT_MISSING', '3:1', /virtualhostname/);
    refuses(() => parse(mirror('<virtualhostname name="a"/>')), 'HF_CONFIG_ELEMENT_MISPLACED', '3:1', /inside <vhost>/);
  });

  it('warns when there are no scripts to see the name', () => {
    const { warnings } = parse(mirror('<vhost><virtualhostname name="a"/></vhost>').replace('<user/>', ''));
    assert(
      warnings.some((warning) => /:3:1: <vhost> names the host for scripts/.test(warning)),
      warnings.join(),
    );
  });
});
