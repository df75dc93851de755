/**
 * Which differences between two configurations a running module can take. What only later decisions and scripts read is live; what was
 * opened, mounted or agreed upon with the peer is not, and says why. Pure: both nodes make the same plan from the same files.
 */
import type { ConfigurationChange, PlannedConfiguration } from '../model/configuration-change.js';
import type { ConfigurationValue, ContributedConfiguration, ContributedPoint } from '../model/configuration.js';

const STOP_BOTH = 'stop the module on both nodes';
const STOP_HERE = 'stop the module on this node';
/** Reopening the heartbeats takes a moment in which nothing is sent: it must be far shorter than the timeout. */
const REOPENED_TIMEOUT_MS_MIN = 1000;
const STOP_SCRIPT = /^(stop_[a-z]+|poststop)$/;
const SCRIPT = /^(prestart|poststop|transition|update|start_[a-z]+|stop_[a-z]+)$/;

export interface PlanOptions {
  /** Attributes of a replication element that its backend takes while it runs. */
  readonly replicationLive: (type: string) => readonly string[];
}

type Change = Omit<ConfigurationChange, 'text'> & { readonly text?: string };

/** Each rule must hold its handle time anew; while the nodes differ for a moment, neither knows resources of the other. */
function ruleChanges(from: PlannedConfiguration, to: PlannedConfiguration): Change[] {
  const line = to.lines['failover'] ?? from.lines['failover'];
  if (JSON.stringify(from.configuration.failover) === JSON.stringify(to.configuration.failover)) return [];
  return [{ element: 'failover', ...at(line), live: true }];
}

/** The element's name as operators know it, for what is configured below a container. */
const CONTAINER: Partial<Record<ContributedPoint, string>> = { virtualIpDriver: 'vip', witness: 'witness' };

/** In the order of the file: service, heart, user, witness, vip, what plug-ins serve, scripts. */
export function planChanges(from: PlannedConfiguration, to: PlannedConfiguration, options: PlanOptions): readonly ConfigurationChange[] {
  return [
    ...serviceChanges(from, to),
    ...heartChanges(from, to),
    ...userChanges(from, to),
    ...virtualHostChanges(from, to),
    ...arbitrationChanges(from, to),
    ...ruleChanges(from, to),
    ...vipChanges(from, to),
    ...contributedChanges(from, to, options),
    ...scriptChanges(from, to),
  ].map((change) => ({ ...change, text: change.text ?? textOf(change) }));
}

/** Of a light or farm module: it takes nothing while it runs. */
export function changesAtRest(
  { configuration: from }: PlannedConfiguration,
  { configuration: to, lines }: PlannedConfiguration,
  changes: readonly ConfigurationChange[],
): readonly ConfigurationChange[] {
  const reason = to.service.mode === 'light' ? 'stop the module' : 'stop the module on every node';
  const isFarmChanged = JSON.stringify(from.farm) !== JSON.stringify(to.farm);
  const farm = isFarmChanged ? [{ element: 'farm', ...at(lines['farm']), text: '<farm> changed', live: true }] : [];
  const found = [...changes, ...farm];
  const isOther = found.length === 0 && from.digest !== to.digest;
  const all = isOther ? [{ element: 'service', text: 'the configuration changed', live: true }] : found;
  return all.map((change) => (change.live ? { ...change, live: false, reason, text: `${change.text}: ${reason}` } : change));
}

function textOf({ element, attribute, line, reason }: Change): string {
  const what = attribute === undefined ? `<${element}>` : `${attribute} of <${element}>`;
  return `${what} changed${line === undefined ? '' : ` in line ${line}`}${reason === undefined ? '' : `: ${reason}`}`;
}

/** An attribute with both values. */
function attributeChange(
  element: string,
  attribute: string,
  line: number | undefined,
  values: readonly [unknown, unknown],
  reason?: string,
): Change[] {
  const [before, after] = values.map((value) => JSON.stringify(value));
  if (before === after) return [];
  const place = line === undefined ? '' : `, line ${line}`;
  const why = reason === undefined ? '' : `: ${reason}`;
  const text = `${attribute} of <${element}>: ${before ?? 'unset'} -> ${after ?? 'unset'}${place}${why}`;
  return [{ element, attribute, ...at(line), live: reason === undefined, text, ...(reason === undefined ? {} : { reason }) }];
}

function at(line: number | undefined): { readonly line?: number } {
  return line === undefined ? {} : { line };
}

function serviceChanges(from: PlannedConfiguration, to: PlannedConfiguration): Change[] {
  const line = to.lines['service'];
  const [before, after] = [from.configuration.service, to.configuration.service];
  const change = (attribute: string, key: keyof typeof before, reason?: string): Change[] =>
    attributeChange('service', attribute, line, [before[key], after[key]], reason);
  return [
    ...change('mode', 'mode', STOP_BOTH),
    ...change('boot', 'boot'),
    ...change('boot_delay', 'bootDelayMs'),
    ...change('failover', 'failover'),
    ...change('defaultprim', 'defaultPrimary'),
    ...change('maxloop', 'maxLoop'),
    ...change('loop_interval', 'loopIntervalMs'),
    ...change('splitbrain', 'splitBrain'),
    ...change('automatic_reboot', 'automaticReboot', STOP_BOTH),
  ];
}

function heartChanges(from: PlannedConfiguration, to: PlannedConfiguration): Change[] {
  const line = to.lines['heart'] ?? from.lines['heart'];
  const [before, after] = [from.configuration.heart, to.configuration.heart];
  if (before === undefined || after === undefined) {
    return before === after ? [] : [{ element: 'heart', ...at(line), live: false, reason: STOP_BOTH }];
  }
  const networks = JSON.stringify(before.heartbeats) === JSON.stringify(after.heartbeats);
  // What ends by itself when an agent hangs was begun with the timeout of before.
  const endsByItself = ({ point }: ContributedConfiguration): boolean => point === 'virtualIpDriver' || point === 'replicationBackend';
  const shorter = after.timeoutMs < before.timeoutMs && from.configuration.contributed.some(endsByItself);
  const tooShort = Math.min(before.timeoutMs, after.timeoutMs) < REOPENED_TIMEOUT_MS_MIN;
  return [
    ...(networks ? [] : [{ element: 'heart', ...at(line), live: false, reason: `the networks differ; ${STOP_BOTH}` }]),
    ...attributeChange('heart', 'port', line, [before.port, after.port], STOP_BOTH),
    ...attributeChange(
      'heart',
      'pulse',
      line,
      [before.pulseMs, after.pulseMs],
      tooShort ? `a timeout below ${REOPENED_TIMEOUT_MS_MIN} ms leaves no time to reopen the heartbeats; ${STOP_BOTH}` : undefined,
    ),
    ...attributeChange(
      'heart',
      'timeout',
      line,
      [before.timeoutMs, after.timeoutMs],
      shorter ? `the virtual addresses and the writes of a node that hangs would outlive a shorter timeout; ${STOP_BOTH}` : undefined,
    ),
  ];
}

function userChanges(from: PlannedConfiguration, to: PlannedConfiguration): Change[] {
  const line = to.lines['user'] ?? from.lines['user'];
  const [before, after] = [from.configuration.scripts, to.configuration.scripts];
  if (before === undefined || after === undefined) {
    if (before === after) return [];
    const what = after === undefined ? 'removed, and what runs could not be stopped' : 'added, and nothing was started by it';
    return [{ element: 'user', ...at(line), live: false, reason: `${what}; ${STOP_BOTH}` }];
  }
  const names = [...new Set([...Object.keys(before.variables), ...Object.keys(after.variables)])].sort();
  return [
    ...attributeChange('user', 'nicestoptimeout', line, [before.niceStopTimeoutMs, after.niceStopTimeoutMs]),
    ...attributeChange('user', 'forcestoptimeout', line, [before.forceStopTimeoutMs, after.forceStopTimeoutMs]),
    ...attributeChange('user', 'logging', line, [before.logging, after.logging]),
    ...attributeChange('user', 'userlogsize', line, [before.logBytesMax, after.logBytesMax]),
    // A variable may be a password: its value is shown nowhere.
    ...names
      .filter((name) => before.variables[name] !== after.variables[name])
      .map((name) => ({ element: 'var', attribute: name, ...at(line), live: true, text: `<var name="${name}"> changed` })),
  ];
}

function virtualHostChanges(from: PlannedConfiguration, to: PlannedConfiguration): Change[] {
  const line = to.lines['vhost'] ?? from.lines['vhost'];
  if (JSON.stringify(from.configuration.virtualHost) === JSON.stringify(to.configuration.virtualHost)) return [];
  return [{ element: 'vhost', ...at(line), live: false, reason: `the application runs under the name of before; ${STOP_BOTH}` }];
}

function arbitrationChanges(from: PlannedConfiguration, to: PlannedConfiguration): Change[] {
  const line = to.lines['witness'] ?? from.lines['witness'];
  const [before, after] = [from.configuration.arbitration, to.configuration.arbitration];
  return [
    ...attributeChange('witness', 'limit', line, [before.undecidedLimitMs, after.undecidedLimitMs]),
    ...attributeChange('witness', 'undecided', line, [before.undecided, after.undecided]),
  ];
}

/** What `<vip>` says of itself is read when the addresses leave. What is below it belongs to drivers, and is planned with them. */
function vipChanges(from: PlannedConfiguration, to: PlannedConfiguration): Change[] {
  const [before, after] = [from.configuration.vip, to.configuration.vip];
  if (before === undefined || after === undefined) return [];
  return attributeChange('vip', 'tcpreset', to.lines['vip'], [before.tcpReset, after.tcpReset]);
}

/** By name where an element has one, else by order: what was moved in the file is not a change. */
function keyed(elements: readonly ContributedConfiguration[]): ReadonlyMap<string, ContributedConfiguration> {
  const counts = new Map<string, number>();
  return new Map(
    elements.map((contributed) => {
      const { point, element, value } = contributed;
      const base = `${point} ${element} ${typeof value['ident'] === 'string' ? value['ident'] : ''}`;
      const count = counts.get(base) ?? 0;
      counts.set(base, count + 1);
      return [`${base} ${count}`, contributed] as const;
    }),
  );
}

function contributedChanges(from: PlannedConfiguration, to: PlannedConfiguration, options: PlanOptions): Change[] {
  const before = keyed(from.configuration.contributed);
  const after = keyed(to.configuration.contributed);
  return [...new Set([...after.keys(), ...before.keys()])].flatMap((key) => {
    const [old, now] = [before.get(key), after.get(key)];
    if (old !== undefined && now !== undefined) {
      return JSON.stringify(old.value) === JSON.stringify(now.value) ? [] : elementChanges(old.value, now, options);
    }
    const one = now ?? old;
    return one === undefined ? [] : [wholeChange(one, now === undefined ? 'removed' : 'added')];
  });
}

function wholeChange(contributed: ContributedConfiguration, verb: 'added' | 'removed' | 'changed'): Change {
  const { point, element, line, value } = contributed;
  const ident = typeof value['ident'] === 'string' ? ` ident="${value['ident']}"` : '';
  const name = CONTAINER[point] ?? element;
  const shown = `<${name}${name === element ? ident : ''}> ${verb}${verb === 'removed' ? `, was in line ${line}` : ` in line ${line}`}`;
  if (point === 'checker') return { element: name, line, live: true, text: shown };
  const why = point === 'witness' ? `the nodes have agreed to ask the witnesses of now; ${STOP_BOTH}` : STOP_BOTH;
  return { element: name, line, live: false, text: `${shown}: ${why}`, reason: why };
}

function elementChanges(old: ConfigurationValue, now: ContributedConfiguration, options: PlanOptions): Change[] {
  if (now.point !== 'replicationBackend') return [wholeChange(now, 'changed')];
  const live = options.replicationLive(now.type);
  return [...new Set([...Object.keys(old), ...Object.keys(now.value)])].flatMap((name) => {
    const values = [old[name], now.value[name]] as const;
    if (values.some((value) => Array.isArray(value))) {
      if (JSON.stringify(values[0]) === JSON.stringify(values[1])) return [];
      return [
        {
          element: name,
          line: now.line,
          live: false,
          text: `<${name}> of <${now.element}> in line ${now.line} changed: ${STOP_BOTH}`,
          reason: STOP_BOTH,
        },
      ];
    }
    return attributeChange(now.element, name, now.line, values, live.includes(name) ? undefined : STOP_BOTH);
  });
}

function scriptChanges(from: PlannedConfiguration, to: PlannedConfiguration): Change[] {
  return [...new Set([...Object.keys(from.scripts), ...Object.keys(to.scripts)])].sort().flatMap((name): Change[] => {
    const [before, after] = [from.scripts[name], to.scripts[name]];
    if (before === after) return [];
    if (after !== undefined)
      return [{ element: 'bin', attribute: name, live: true, text: `bin/${name} ${before === undefined ? 'added' : 'changed'}` }];
    if (!STOP_SCRIPT.test(name)) return [{ element: 'bin', attribute: name, live: true, text: `bin/${name} removed` }];
    const reason = `what runs could not be stopped without it; ${STOP_HERE}`;
    return [{ element: 'bin', attribute: name, live: false, text: `bin/${name} removed: ${reason}`, reason }];
  });
}

/** Names that the module's transitions call. */
export function isTransitionScript(name: string): boolean {
  return SCRIPT.test(name);
}
