/** The applications that the demo can protect: a module of the catalogue and the client that writes to it. */
export interface Application {
  readonly name: string;
  /** Folder below modules-catalog. */
  readonly module: string;
  /** Replicated directory. */
  readonly directory: string;
  /** Workload client of the lab that writes to it. */
  readonly service: 'ledger' | 'postgresql';
  /** Macros of its userconfig.xml that the lab needs otherwise. */
  readonly macros: Readonly<Record<string, string>>;
  /** Processes that are paused while the trees are compared, by command line. */
  readonly processes: RegExp;
  /** Debian package that must be there, and a file of it. */
  readonly needs?: { readonly package: string; readonly file: string };
}

export const VIRTUAL_IP = '10.50.1.100';

export const APPLICATIONS: Readonly<Record<string, Application>> = {
  ledger: {
    name: 'ledger',
    module: 'ledger-mirror',
    directory: '/srv/ledger',
    service: 'ledger',
    macros: { NODE: process.execPath },
    processes: /^ledger(\s|:|$)|ledger\.mjs/,
  },
  postgresql: {
    name: 'postgresql',
    module: 'postgresql-mirror',
    directory: '/srv/pgdata',
    service: 'postgresql',
    macros: { CLIENT_AUTHENTICATION: 'trust' },
    processes: /^(postgres|\S*\/postgres)(\s|:|$)/,
    needs: { package: 'postgresql-15', file: '/usr/lib/postgresql/15/bin/postgres' },
  },
};

/** Sets macros in a userconfig.xml. */
export function withMacros(xml: string, macros: Readonly<Record<string, string>>): string {
  return Object.entries(macros).reduce(
    (text, [name, value]) => text.replace(new RegExp(`(<macro name="${name}" value=")[^"]*(")`), `$1${value}$2`),
    xml,
  );
}
