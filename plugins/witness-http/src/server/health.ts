/** How the server is, for clusters over their connections and for monitoring: as JSON, and as text for Prometheus. Names no cluster. */
import { createServer, type Server } from 'node:http';

export interface Health {
  readonly status: 'ok' | 'degraded';
  readonly version: string;
  readonly uptimeSeconds: number;
  readonly clusters: number;
  readonly connections: number;
  readonly handshakes: { readonly underWay: number; readonly refused: number };
  readonly requests: { readonly total: number; readonly refused: number; readonly failed: number };
  readonly claims: { readonly granted: number; readonly refused: number };
}

const REQUEST_TIMEOUT_MS = 5_000;
const CONNECTIONS_MAX = 64;

/** Plain HTTP, for a monitoring system; says nothing that a stranger must not know. */
export function createHealthServer(health: () => Health): Server {
  const server = createServer(
    {
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: REQUEST_TIMEOUT_MS,
      maxHeaderSize: 4 * 1024,
    },
    (request, response) => {
      request.resume();
      const now = health();
      const plain = request.url === '/metrics';
      const known = request.method === 'GET' && (plain || request.url === '/v1/health');
      response.writeHead(known ? (now.status === 'ok' ? 200 : 503) : 404, {
        'content-type': plain ? 'text/plain; version=0.0.4' : 'application/json',
      });
      response.end(known ? (plain ? metrics(now) : `${JSON.stringify(now)}\n`) : '');
    },
  );
  server.maxConnections = CONNECTIONS_MAX;
  return server;
}

function metrics(now: Health): string {
  const lines: string[] = [];
  const metric = (name: string, kind: 'gauge' | 'counter', help: string, value: number): void => {
    lines.push(`# HELP holdfast_witness_${name} ${help}`, `# TYPE holdfast_witness_${name} ${kind}`, `holdfast_witness_${name} ${value}`);
  };
  metric('up', 'gauge', '1 while all records can be read and written', now.status === 'ok' ? 1 : 0);
  metric('uptime_seconds', 'gauge', 'Time since the server started', now.uptimeSeconds);
  metric('clusters', 'gauge', 'Clusters that may ask', now.clusters);
  metric('connections', 'gauge', 'Open connections', now.connections);
  metric('handshakes_under_way', 'gauge', 'Connections that have proved no key yet', now.handshakes.underWay);
  metric('handshakes_refused_total', 'counter', 'Handshakes with an unknown name or a wrong key', now.handshakes.refused);
  metric('requests_total', 'counter', 'Questions of clusters', now.requests.total);
  metric('requests_refused_total', 'counter', 'Questions that were wrong or too many', now.requests.refused);
  metric('requests_failed_total', 'counter', 'Questions that could not be answered', now.requests.failed);
  metric('claims_granted_total', 'counter', 'Claims that were granted', now.claims.granted);
  metric('claims_refused_total', 'counter', 'Claims that were refused', now.claims.refused);
  return `${lines.join('\n')}\n`;
}
