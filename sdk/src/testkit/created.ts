/** Checks as the host creates them, without the host: the element completed with the defaults of its schema, then handed to the plug-in. */
import type { Check, Checker, CheckerOptions } from '../checker.js';
import type { ElementValue, Log, Plugin } from '../plugin.js';

interface Schema {
  readonly default?: string | number | boolean;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

const ignore = (): void => undefined;
const silentLog: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** @param schema parsed, without references. @throws HoldfastError of the plug-in */
export function createdChecks(
  plugin: Plugin,
  schema: unknown,
  element: ElementValue,
  options: Pick<CheckerOptions, 'scripts' | 'peerFigure'> = {},
): readonly Check[] {
  return registeredChecker(plugin).create({
    module: 'shop',
    localNode: 'node1',
    configuration: completed(schema as Schema, element),
    log: silentLog,
    ...options,
  });
}

/** @throws Error when the plug-in registers anything but one checker */
function registeredChecker(plugin: Plugin): Checker {
  let registered: Checker | undefined;
  const refuse = (): never => {
    throw new Error('a checker was expected');
  };
  plugin.register({
    heartbeatTransport: refuse,
    virtualIpDriver: refuse,
    replicationBackend: refuse,
    witness: refuse,
    checker: (_type, checker) => {
      registered = checker;
    },
  });
  return registered ?? refuse();
}

function completed(schema: Schema, element: ElementValue): ElementValue {
  const value: Record<string, ElementValue[string]> = { ...element };
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const written = value[name];
    const { items } = property;
    if (written === undefined && property.default !== undefined) value[name] = property.default;
    else if (typeof written === 'object' && items !== undefined) value[name] = written.map((child) => completed(items, child));
  }
  return value;
}
