/**
 * HAProxy. A node that is down is asked every 200 ms, so clients are on the other node some tenths of a second after it is ready; one that
 * is lost is out after two unanswered questions, one slow answer alone takes no node out.
 */
import { type BalancedModule, commented, type Example, headOf, nameOf, place } from './example.js';

const TIMING = 'inter 1s fastinter 200ms downinter 200ms fall 2 rise 1 on-marked-down shutdown-sessions';

export function haproxyExample(balanced: BalancedModule): Example {
  const lines = [
    ...commented('#', headOf(balanced, 'HAProxy')),
    '',
    'defaults',
    '    mode tcp',
    '    # A node that is gone does not answer: the other one is tried soon.',
    '    timeout connect 250ms',
    '    timeout check 500ms',
    '    retries 2',
    '    option redispatch 1',
    '    # For connections that are idle for long, as those of databases; make it shorter for others.',
    '    timeout client 1h',
    '    timeout server 1h',
    ...balanced.ports.flatMap((port) => proxyOf(balanced, port)),
  ];
  return { text: `${lines.join('\n')}\n`, isTried: true };
}

function proxyOf(balanced: BalancedModule, port: number): readonly string[] {
  const { nodes, addresses, probe } = balanced;
  const name = nameOf(balanced, port);
  const binds = addresses.length === 0 ? [`    bind :${port}`] : addresses.map((address) => `    bind ${place(address, port)}`);
  return [
    '',
    `frontend ${name}-in`,
    ...binds,
    `    default_backend ${name}`,
    '',
    `backend ${name}`,
    ...checkOf(balanced),
    // After a failed check the next one comes sooner: `fall 2` then costs little, and one slow answer takes no node out.
    `    default-server check port ${probe.port}${probe.protocol === 'https' ? ' check-ssl verify none' : ''} ${TIMING}`,
    ...nodes.map(({ name: node, address }) => `    server ${node} ${place(address, port)}`),
  ];
}

function checkOf({ probe }: BalancedModule): readonly string[] {
  switch (probe.protocol) {
    case 'tcp':
      return ['    # The probe port accepts connections only where the application is ready.'];
    case 'https':
      return [
        '    # "verify none": write "verify required ca-file FILE" where the certificate of the probe is to be checked.',
        ...httpCheck(probe.path),
      ];
    case 'http':
      return httpCheck(probe.path);
  }
}

function httpCheck(path: string): readonly string[] {
  return [`    option httpchk GET ${path}`, '    http-check expect status 200'];
}
