/** Open nginx: it cannot ask the probe, and sees by a failed connection that a node is not to be used. */
import { type BalancedModule, commented, type Example, headOf, nameOf, place } from './example.js';

export function nginxExample(balanced: BalancedModule): Example {
  const lines = [
    ...commented('#', [
      ...headOf(balanced, 'nginx (stream)'),
      'Belongs beside http { }, not inside it. Debian: packages nginx and libnginx-mod-stream.',
      '',
      'Open nginx has no active health checks (they are in NGINX Plus): it never asks the probe. It tries a node with a real',
      'connection, and takes the next one when that is refused or not answered. That works because a node that is not ready refuses',
      'the service ports, and needs port="…" in <loadbalancer>. It does not end the connections to a node that has stopped; the node',
      'does (tcpreset).',
    ]),
    'stream {',
    ...balanced.ports.flatMap((port) => serverOf(balanced, port)),
    '}',
  ];
  return { text: `${lines.join('\n')}\n`, isTried: true };
}

function serverOf(balanced: BalancedModule, port: number): readonly string[] {
  const { nodes, addresses } = balanced;
  const name = nameOf(balanced, port);
  const listens = addresses.length === 0 ? [String(port)] : addresses.map((address) => place(address, port));
  return [
    `    upstream ${name} {`,
    ...nodes.map(({ address }) => `        server ${place(address, port)} max_fails=1 fail_timeout=1s;`),
    '    }',
    '    server {',
    ...listens.map((listen) => `        listen ${listen};`),
    `        proxy_pass ${name};`,
    '        proxy_connect_timeout 250ms;',
    '        proxy_next_upstream on;',
    '        proxy_next_upstream_tries 4;',
    '        proxy_next_upstream_timeout 2s;',
    '        proxy_timeout 1h;',
    '    }',
  ];
}
