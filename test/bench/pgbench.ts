/** PostgreSQL's own benchmark with the data of the server in the folder that is measured. The server runs as its user, only meanwhile. */
import type { Place } from './places.js';

/** Safe settings as installed (fsync, full_page_writes, synchronous_commit on); background work that comes by the clock is off. */
const SERVER_OPTIONS = '-p 5599 -k /tmp -c listen_addresses= -c max_wal_size=2GB -c checkpoint_timeout=30min -c autovacuum=off';

/** $1 data folder, $2 scale, $3 seconds. The data is made once, in the first round. */
const SCRIPT = `
cd /
PATH=/usr/lib/postgresql/15/bin:$PATH
as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
made=yes
if [ ! -e "$1/PG_VERSION" ]; then
  made=no
  mkdir -p "$1"; chown postgres:postgres "$1"; chmod 700 "$1"
  as_postgres initdb --no-sync -A trust -D "$1" >/dev/null
fi
log=/tmp/pgbench-server.log
touch "$log"; chown postgres "$log"
as_postgres pg_ctl -D "$1" -w -t 60 -s -l "$log" -o '${SERVER_OPTIONS}' start >/dev/null
trap 'as_postgres pg_ctl -D "$1" -m fast -w -s stop >/dev/null' EXIT
[ "$made" = yes ] || as_postgres pgbench -h /tmp -p 5599 -i -s "$2" -q postgres >/dev/null 2>&1
as_postgres pgbench -h /tmp -p 5599 -c 4 -j 2 -T "$3" -n postgres
`;

/** @returns transactions per second */
export async function runPgbench({ machine, folder }: Place, scale: number, seconds: number): Promise<number> {
  const argv = ['sh', '-euc', SCRIPT, 'pgbench', `${folder}/pgdata`, String(scale), String(seconds)];
  const output = await machine.run(argv, { timeoutMs: 600_000 });
  const tps = /^tps = ([\d.]+)/m.exec(output)?.[1];
  if (tps === undefined) throw new Error(`pgbench gave no result: ${output}`);
  return Number(tps);
}
