/** Configurations of what stands before a cluster, by the word that `holdfast vip example --for` takes. */
import { awsExample, azureExample, f5Example, gcpExample } from './clouds.js';
import type { BalancedModule, Example } from './example.js';
import { haproxyExample } from './haproxy.js';
import { nginxExample } from './nginx.js';

export { balancedModule } from './example.js';

export const BALANCERS: Readonly<Record<string, (balanced: BalancedModule) => Example>> = {
  haproxy: haproxyExample,
  nginx: nginxExample,
  azure: azureExample,
  aws: awsExample,
  gcp: gcpExample,
  f5: f5Example,
};
