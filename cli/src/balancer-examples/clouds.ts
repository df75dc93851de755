/** Balancers that are not on this machine: their parameters as commands, from their documentation. None was tried on the real thing. */
import { type BalancedModule, commented, type Example, headOf, nameOf, place } from './example.js';

const UNTRIED = 'From the documentation; not yet tried on the real';

function exampleOf(balanced: BalancedModule, what: string, real: string, lines: readonly string[]): Example {
  const head = commented('#', [...headOf(balanced, what), `${UNTRIED} ${real}: read it, fill in what is in capitals, and try it first.`]);
  return { text: `${[...head, ...lines].join('\n')}\n`, isTried: false };
}

export function azureExample(balanced: BalancedModule): Example {
  const { module, probe, ports, nodes } = balanced;
  const path = probe.protocol === 'tcp' ? '' : ` --path ${probe.path}`;
  return exampleOf(balanced, 'Azure Load Balancer (Standard)', 'cloud', [
    '# Azure asks every 5 s at the soonest, and a node is out after two answers: reckon with 10 s and the failover of Holdfast.',
    '# "All probes down" lets established connections live on: the node that stops ends them itself (tcpreset).',
    `az network lb probe create --resource-group GROUP --lb-name BALANCER --name ${module} \\`,
    `    --protocol ${probe.protocol} --port ${probe.port}${path} --interval 5 --probe-threshold 2`,
    ...ports.flatMap((port) => [
      `az network lb rule create --resource-group GROUP --lb-name BALANCER --name ${nameOf(balanced, port)} --protocol Tcp \\`,
      `    --frontend-ip-name FRONTEND --frontend-port ${port} --backend-pool-name ${module} --backend-port ${port} \\`,
      `    --probe-name ${module} --enable-tcp-reset true --idle-timeout 30`,
    ]),
    `# The pool ${module} has the network interfaces of the nodes, or their addresses:`,
    ...nodes.map(
      ({ name, address }) =>
        `az network lb address-pool address add --resource-group GROUP --lb-name BALANCER --pool-name ${module} \\\n` +
        `    --name ${name} --vnet VNET --ip-address ${address}`,
    ),
    `# Network security group: the service tag AzureLoadBalancer to TCP ${probe.port} of the nodes, the clients to ${ports.join(', ')}.`,
  ]);
}

export function awsExample(balanced: BalancedModule): Example {
  const { probe, ports, nodes } = balanced;
  const check =
    probe.protocol === 'tcp'
      ? `--health-check-protocol TCP --health-check-port ${probe.port}`
      : `--health-check-protocol ${probe.protocol.toUpperCase()} --health-check-port ${probe.port} --health-check-path ${probe.path} \\\n` +
        '    --matcher HttpCode=200';
  return exampleOf(balanced, 'AWS Network Load Balancer', 'cloud', [
    '# When no target is healthy, AWS sends clients to all of them: a node that is not ready refuses the service ports.',
    ...ports.flatMap((port) => {
      const name = nameOf(balanced, port).slice(0, 32);
      return [
        `aws elbv2 create-target-group --name ${name} --protocol TCP --port ${port} --target-type ip --vpc-id VPC \\`,
        `    ${check} \\`,
        '    --health-check-interval-seconds 5 --health-check-timeout-seconds 2 --healthy-threshold-count 2 --unhealthy-threshold-count 2',
        `aws elbv2 register-targets --target-group-arn ARN-OF-${name} \\`,
        `    --targets ${nodes.map(({ address }) => `Id=${address},Port=${port}`).join(' ')}`,
        `aws elbv2 modify-target-group-attributes --target-group-arn ARN-OF-${name} --attributes \\`,
        '    Key=target_health_state.unhealthy.connection_termination.enabled,Value=true \\',
        '    Key=deregistration_delay.connection_termination.enabled,Value=true Key=preserve_client_ip.enabled,Value=false',
        `aws elbv2 create-listener --load-balancer-arn BALANCER --protocol TCP --port ${port} \\`,
        `    --default-actions Type=forward,TargetGroupArn=ARN-OF-${name}`,
      ];
    }),
    `# Security groups: the balancer's addresses to TCP ${probe.port} and ${ports.join(', ')} of the nodes.`,
  ]);
}

export function gcpExample(balanced: BalancedModule): Example {
  const { module, probe, ports, nodes, addresses } = balanced;
  const path = probe.protocol === 'tcp' ? '' : ` --request-path=${probe.path}`;
  const address = addresses[0] === undefined ? '' : ` --address=${addresses[0]}`;
  return exampleOf(balanced, 'Google Cloud internal passthrough Network Load Balancer', 'cloud', [
    '# The probe comes to the address of the balancer: name it (<virtual_addr addr="…"/>), so that each node listens on it.',
    `gcloud compute health-checks create ${probe.protocol} ${module} --region=REGION --port=${probe.port}${path} \\`,
    '    --check-interval=1s --timeout=1s --unhealthy-threshold=2 --healthy-threshold=1',
    `gcloud compute backend-services create ${module} --load-balancing-scheme=INTERNAL --protocol=TCP --region=REGION \\`,
    `    --health-checks=${module} --health-checks-region=REGION --connection-persistence-on-unhealthy-backends=NEVER_PERSIST`,
    ...nodes.map(
      ({ name }) =>
        `gcloud compute backend-services add-backend ${module} --region=REGION \\\n` +
        `    --instance-group=GROUP-OF-${name} --instance-group-zone=ZONE-OF-${name}`,
    ),
    `gcloud compute forwarding-rules create ${module} --region=REGION --load-balancing-scheme=INTERNAL \\`,
    `    --network=NETWORK --subnet=SUBNET --ip-protocol=TCP --ports=${ports.join(',')} --backend-service=${module}${address}`,
    `# Firewall: 35.191.0.0/16 and 130.211.0.0/22 ask the probe, TCP ${probe.port} of the nodes.`,
  ]);
}

export function f5Example(balanced: BalancedModule): Example {
  const { module, probe, ports, nodes, addresses } = balanced;
  const question = `send "GET ${probe.path} HTTP/1.0\\r\\n\\r\\n" recv "^HTTP/1\\.[01] 200"`;
  const monitor = `destination *:${probe.port} interval 1 timeout 3`;
  const members = (port: number): string => nodes.map(({ address }) => f5Place(address, port)).join(' ');
  return exampleOf(balanced, 'F5 BIG-IP (tmsh)', 'device', [
    `create ltm monitor ${probe.protocol} ${module} { ${monitor}${probe.protocol === 'tcp' ? '' : ` ${question}`} }`,
    ...ports.flatMap((port) => {
      const name = nameOf(balanced, port);
      const to = f5Place(addresses[0] ?? 'ADDRESS', port);
      return [
        `create ltm pool ${name} { members add { ${members(port)} } monitor ${module} service-down-action reset }`,
        `create ltm virtual ${name} { destination ${to} ip-protocol tcp pool ${name} profiles add { tcp } \\`,
        '    source-address-translation { type automap } }',
      ];
    }),
    'save sys config',
  ]);
}

/** IPv6 addresses have the port behind a dot. */
function f5Place(address: string, port: number): string {
  return address.includes(':') ? `${address}.${port}` : place(address, port);
}
