/** Whether another node's agent answers: a TLS handshake with the cluster key and its health route, nothing more. */
import { request } from 'node:https';
import { peerPreSharedKey, peerRequestOptions, type PeerOptions } from './peer-tls.js';

const ANSWER_MS = 1500;

/** @param peer address and port are those of the node asked. */
export function nodeAnswers(peer: PeerOptions): Promise<boolean> {
  const tls = peerRequestOptions(peer, peerPreSharedKey(peer.clusterKey));
  return new Promise((resolve) => {
    const asked = request({ ...tls, host: peer.address, port: peer.port, path: '/api/v1/health', timeout: ANSWER_MS }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.on('timeout', () => asked.destroy());
    asked.on('error', () => {
      resolve(false);
    });
    asked.end();
  });
}
