/** Starts the agent of a node: identity, plug-ins, modules, API, in this order; stops them in reverse. */
import { mkdir } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { createApi } from './api/server.js';
import { Diagnostics } from './engine/diagnostics.js';
import { readFencingSettings } from './engine/fencing-settings.js';
import { NodeFiles } from './engine/node-files.js';
import { composeAgent } from './host/composition.js';
import { discoverPlugins, PluginHost } from './host/index.js';
import { PEER_PORT_DEFAULT } from './model/configuration.js';

export interface RunAgentOptions {
  /** Absolute paths. */
  readonly configDirectory: string;
  readonly stateDirectory: string;
  /** Folders that contain plug-in folders. */
  readonly pluginDirectories: readonly string[];
  /** The local API. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Folder with the helpers of scripts; absent: there are none. */
  readonly toolDirectory?: string;
  /** pino level of the diagnostics on stderr; default `info`. */
  readonly logLevel?: string;
}

export interface RunningAgent {
  readonly node: string;
  readonly port: number;
  /** Stops the modules in good order, so that the peer takes over at once; then everything else. */
  close(): Promise<void>;
}

/** @throws HoldfastError when the node has no identity, or the API's address is taken. */
export async function runAgent(options: RunAgentOptions): Promise<RunningAgent> {
  const files = new NodeFiles(options.configDirectory, options.stateDirectory);
  const identity = await files.identity();
  const fencing = await readFencingSettings(options.configDirectory);
  await mkdir(files.stateDirectory, { recursive: true, mode: 0o750 });
  const token = await files.token();
  const diagnostics = new Diagnostics(identity.node, options.logLevel ?? 'info');
  const pluginHost = new PluginHost({ stateDirectory: files.stateDirectory, logOf: (plugin) => diagnostics.of({ plugin }) });
  await pluginHost.load(await discoverPlugins(options.pluginDirectories));
  await pluginHost.start();

  const { host, port } = options.listen;
  const tools = {
    ...(options.toolDirectory === undefined ? {} : { directory: options.toolDirectory }),
    ...(port === 0 ? {} : { api: `http://${isIPv6(host) ? `[${host}]` : host}:${port}` }),
  };
  const { agent, log } = composeAgent({ files, identity, pluginHost, diagnostics, fencing, tools });
  for (const plugin of pluginHost.describe()) {
    if (plugin.error !== undefined)
      log.write('C', '', 'host', `plug-in ${plugin.id} is ${plugin.state}: ${plugin.error}`, { plugin: plugin.id });
  }
  const lan = identity.cluster.lans.find(({ command }) => command) ?? identity.cluster.lans[0];
  const own = lan?.nodes.find(({ name }) => name === identity.node);
  const peers = (lan?.nodes ?? []).filter(({ name }) => name !== identity.node);
  // First the modules, then the API: who can ask gets the answer of a node that knows its modules.
  await agent.start();
  agent.bootFinished();
  const api = await createApi({
    service: agent,
    token,
    log: diagnostics.logger.child({ component: 'api' }),
    loopback: options.listen,
    ...(own === undefined
      ? {}
      : {
          peer: {
            address: own.localAddress ?? own.address,
            port: PEER_PORT_DEFAULT,
            localNode: identity.node,
            clusterKey: identity.clusterKey,
            peers,
          },
        }),
  }).catch(async (error: unknown) => {
    await agent.stop();
    await pluginHost.stop();
    throw error;
  });
  log.write('I', '', 'agent', `agent of ${identity.node} listens on ${options.listen.host}:${api.port}`);
  return {
    node: identity.node,
    port: api.port,
    close: async () => {
      await agent.stop();
      await api.close();
      await pluginHost.stop();
    },
  };
}
