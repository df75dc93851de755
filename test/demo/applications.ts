/** The applications that the demo can protect: a module of the catalogue and the client that writes to it. */
export interface Application {
  readonly name: string;
  /** Folder below modules-catalog. */
  readonly module: string;
  /** Replicated directory. */
  readonly directory: string;
  /** Program of the lab that writes to it, compiled. */
  readonly client: string;
  readonly clientArguments: (address: string) => readonly string[];
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
    client: 'ledger-client.js',
    clientArguments: (address) => [address, '8080'],
    processes: /^ledger(\s|:|$)|ledger\.mjs/,
  },
  postgresql: {
    name: 'postgresql',
    module: 'postgresql-mirror',
    directory: '/srv/pgdata',
    client: 'postgresql-client.js',
    clientArguments: (address) => [address, '5432'],
    processes: /^(postgres|\S*\/postgres)(\s|:|$)/,
    needs: { package: 'postgresql-15', file: '/usr/lib/postgresql/15/bin/postgres' },
  },
};
